"""Messages to bytes and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from construct import Struct
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import FrameTooLarge, ProtocolError, Refusal
from openmb.wire.codec import decode, decodeAll, decodeFrame, encode
from openmb.wire.formats import BY_CLASS, CATALOGUE, HEADER, STREAM_BODY
from openmb.wire.framing import HEADER_SIZE, Deframer, Frame, Header, parseHeader
from openmb.wire.messages import (
    Committed,
    ConfigurationEntry,
    Credit,
    EnableEvents,
    Event,
    EventField,
    Events,
    Goodbye,
    Hello,
    Message,
    MessageType,
    Peer,
    Prepare,
    Refused,
    SetConfiguration,
    Side,
    StreamFrame,
    StreamType,
    Unmark,
    Warnings,
)
from openmb.wire.session import LAYOUTS_LIMIT, OPERATIONS_LIMIT
from tests.wire.samples import OPERATION, SAMPLES
from tests.wire.strategies import messages, streamFrames

_VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
_PEER = Peer("a", bytes(16))


def nameOf(message: Message) -> str:
    """The message type's name."""
    return BY_CLASS[type(message)].type.name


class WarningTests(SynchronousTestCase):
    """What a middlebox has a terminal show."""

    def test_controlCharacters(self) -> None:
        """A warning with control characters ends the session: it might rewrite what an operator sees."""
        frame = encode(Warnings(("all wrong",)))
        for bad in (b"\x1b", b"\n", b"\r", b"\x00", b"\x7f"):
            self.assertRaises(ProtocolError, decodeAll, frame.replace(b" ", bad))
        self.assertEqual([Warnings(("all.wrong",))], decodeAll(frame.replace(b" ", b".")))


class VectorTests(SynchronousTestCase):
    """The golden frames, which were packed by hand and not by the formats."""

    def test_everyTypeHasOne(self) -> None:
        self.assertEqual({nameOf(sample) for sample in SAMPLES}, {type.name for type in MessageType})
        self.assertEqual(set(_VECTORS), {type.name for type in MessageType})

    def test_encode(self) -> None:
        for sample in SAMPLES:
            self.assertEqual(encode(sample).hex(), _VECTORS[nameOf(sample)]["frame"], nameOf(sample))

    def test_decode(self) -> None:
        for sample in SAMPLES:
            vector = _VECTORS[nameOf(sample)]
            self.assertEqual(decodeAll(bytes.fromhex(vector["frame"])), [sample])
            self.assertEqual(repr(sample), vector["value"])

    def test_everyFieldOfEveryMessageIsDeclared(self) -> None:
        for entry in CATALOGUE.values():
            if entry.type is not MessageType.STREAM:
                declared = [field.name for field in entry.body]
                self.assertEqual(declared, [name for name in entry.names if name != "operation"], entry.type.name)


class HandPackedTests(SynchronousTestCase):
    """What is packed with the struct module agrees with the declaration in construct."""

    @given(streamFrames)
    def test_streamFrame(self, frame: StreamFrame) -> None:
        body = STREAM_BODY.build(
            {
                "side": frame.side,
                "type": frame.type,
                "clearLength": len(frame.clear),
                "clear": frame.clear,
                "sealed": frame.sealed,
            }
        )
        header = HEADER.build({"type": 64, "length": len(body), "operation": frame.operation, "sequence": frame.number})
        self.assertEqual(encode(frame), header + body)

    @given(messages)
    def test_header(self, message: Message) -> None:
        data = encode(message)
        parsed, declared = parseHeader(data), HEADER.parse(data)
        self.assertEqual(
            (parsed.type, parsed.length, parsed.operation, parsed.sequence),
            (declared.type, declared.length, declared.operation, declared.sequence),
        )
        self.assertEqual(HEADER_SIZE, HEADER.sizeof())

    @given(messages)
    def test_compiledAndInterpretedAgree(self, message: Message) -> None:
        entry = BY_CLASS[type(message)]
        if entry.type is not MessageType.STREAM:
            values = {name: getattr(message, name) for name in entry.names}
            self.assertEqual(encode(message)[HEADER_SIZE:], Struct(*entry.body).build(values))


class RoundTripTests(SynchronousTestCase):
    """Every message survives."""

    @given(st.lists(messages, max_size=4))
    def test_roundTrip(self, sent: list[Message]) -> None:
        self.assertEqual(decodeAll(b"".join(map(encode, sent))), sent)

    def test_longReasonsAreCut(self) -> None:
        for text in ("x" * 3000, "é" * 1000, "a" + "é" * 1000):
            (received,) = decodeAll(encode(Goodbye(text)))
            assert isinstance(received, Goodbye)
            self.assertTrue(text.startswith(received.reason))
            self.assertIn(len(received.reason.encode("utf-8")), (1023, 1024))

    def test_relayedFrameIsTheOneThatArrived(self) -> None:
        data = encode(SAMPLES[-1])
        (frame,) = Deframer().feed(data)
        message = decodeFrame(frame, keep=True)
        self.assertEqual(message, SAMPLES[-1])
        self.assertIs(encode(message), frame.data)

    def test_endpointsKeepNoFrame(self) -> None:
        (message,) = decodeAll(encode(SAMPLES[-1]))
        assert isinstance(message, StreamFrame)
        self.assertEqual(message.frame, b"")


class HostileTests(SynchronousTestCase):
    """Only L{ProtocolError}, and always where something is wrong."""

    def assertRefused(self, data: bytes, expected: str) -> None:
        with self.assertRaises(ProtocolError) as caught:
            decodeAll(data)
        self.assertIn(expected, str(caught.exception))

    def reframed(self, data: bytes, body: bytes) -> bytes:
        """The frame C{data} with another body and its right length."""
        return data[:8] + len(body).to_bytes(4, "little") + data[12:HEADER_SIZE] + body

    @given(st.sampled_from(MessageType), st.integers(0, 3), st.integers(0, 3), st.binary(max_size=200))
    def test_junkBodies(self, type: MessageType, operation: int, sequence: int, body: bytes) -> None:
        try:
            message = decode(Header(type, len(body), operation, sequence), body)
        except ProtocolError:
            return
        self.assertEqual(encode(message)[HEADER_SIZE:], body)

    @given(st.binary(max_size=200))
    def test_junkStreams(self, data: bytes) -> None:
        try:
            decodeAll(data)
        except ProtocolError:
            return
        self.assertEqual(data, b"")

    @given(st.sampled_from(SAMPLES), st.data())
    def test_oneBitWrong(self, message: Message, data: st.DataObject) -> None:
        good = encode(message)
        bit = data.draw(st.integers(0, len(good) * 8 - 1))
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            received = decodeAll(bytes(bad))
        except ProtocolError:
            return
        self.assertEqual(b"".join(map(encode, received)), bytes(bad))
        self.assertNotEqual(received, [message])

    def test_everyShorterBody(self) -> None:
        for sample in SAMPLES[:-1]:
            data = encode(sample)
            for size in range(len(data) - HEADER_SIZE):
                with self.assertRaises(ProtocolError, msg=f"{nameOf(sample)} cut to {size}"):
                    decodeAll(self.reframed(data, data[HEADER_SIZE : HEADER_SIZE + size]))

    def test_trailingByte(self) -> None:
        for sample in SAMPLES[:-1]:
            data = encode(sample)
            with self.assertRaises(ProtocolError, msg=nameOf(sample)):
                decodeAll(self.reframed(data, data[HEADER_SIZE:] + b"\0"))

    def test_clearPartBeyondTheBody(self) -> None:
        data = encode(SAMPLES[-1])
        body = bytearray(data[HEADER_SIZE:])
        body[2] = len(body) - 6 + 1
        self.assertRefused(self.reframed(data, bytes(body)), "clear part")

    def test_longLists(self) -> None:
        """A HELLO with more operations or layouts than there may be is refused before any of them is read."""
        hello = SAMPLES[0]
        assert isinstance(hello, Hello)
        good = encode(hello)
        for name, limit in (("operations", OPERATIONS_LIMIT), ("layouts", LAYOUTS_LIMIT)):
            encode(replace(hello, **{name: getattr(hello, name)[:1] * limit}))
            with self.assertRaises(ProtocolError):
                encode(replace(hello, **{name: getattr(hello, name)[:1] * (limit + 1)}))
        place = good.index(OPERATION.to_bytes(8, "little"), HEADER_SIZE) - 2
        for count in (OPERATIONS_LIMIT + 1, 36_000, 0xFFFF):
            body = good[HEADER_SIZE:place] + count.to_bytes(2, "little") + good[place + 2 :]
            self.assertRefused(self.reframed(good, body), f"{count} items where {OPERATIONS_LIMIT} are allowed")

    def test_lengthsMustAgree(self) -> None:
        with self.assertRaises(ProtocolError):
            decode(Header(MessageType.PREPARED, 1, 1, 0), b"")

    def test_operationWhereNoneBelongs(self) -> None:
        self.assertRefused(encode(Goodbye("x"))[:12] + b"\1" + encode(Goodbye("x"))[13:], "concerns no operation")

    def test_operationMissing(self) -> None:
        data = encode(Committed(1, 2))
        self.assertRefused(data[:12] + bytes(8) + data[20:], "names no operation")
        with self.assertRaises(ProtocolError):
            encode(Committed(0, 2))

    def test_sequenceWhereNoneBelongs(self) -> None:
        data = encode(Committed(1, 2))
        self.assertRefused(data[:20] + b"\1" + data[21:], "sequence number")

    def test_unknownEnumerationValues(self) -> None:
        self.assertRefused(encode(Unmark(1, True))[:-1] + b"\2", "neither 0 nor 1")
        self.assertRefused(encode(Credit(1, Side.SOURCE, 1))[:HEADER_SIZE] + b"\2" + bytes(8), "Side")
        refused = encode(Refused(0, 0, Refusal.DEADLINE, ""))
        self.assertRefused(refused[: HEADER_SIZE + 1] + b"\xff\0" + refused[HEADER_SIZE + 3 :], "Refusal")

    def test_numbersOfFrames(self) -> None:
        self.assertRefused(encode(Credit(1, Side.SOURCE, -1))[:-8] + b"\xfe" + b"\xff" * 7, "not the number")
        frame = StreamFrame(1, Side.SOURCE, 0, StreamType.DIVERTED, b"", b"")
        for number in (-1, 1 << 63):
            with self.assertRaises(ProtocolError):
                encode(replace(frame, number=number))
        self.assertRefused(encode(frame)[:27] + b"\x80" + encode(frame)[28:], "not the number")

    def test_namesThatAreNone(self) -> None:
        hello = SAMPLES[0]
        assert isinstance(hello, Hello)
        for name in ("", "..", ".", "-x", "a/b", "a b", "é", "x" * 65, "a\n"):
            with self.assertRaises(ProtocolError, msg=name):
                encode(replace(hello, name=name))
        for kind in ("", "x" * 33):
            with self.assertRaises(ProtocolError, msg=kind):
                encode(replace(hello, kind=kind))

    def test_valuesThatDoNotFit(self) -> None:
        prepare = Prepare(1, "", (), _PEER, _PEER, 1, 1)
        for bad in (
            replace(prepare, window=1 << 32),
            replace(prepare, window=-1),
            replace(prepare, flows="x" * 1025),
            replace(prepare, flows="\ud800"),
            replace(prepare, source=Peer("a", bytes(15))),
            replace(prepare, operation=1 << 64),
            replace(prepare, operation=-1),
        ):
            with self.assertRaises(ProtocolError, msg=repr(bad)):
                encode(bad)

    def test_textThatIsNotUTF8(self) -> None:
        data = encode(Goodbye("xy"))
        self.assertRefused(data[:-2] + b"\xc3\x28", "GOODBYE")

    def test_tooLargeToSend(self) -> None:
        with self.assertRaises(FrameTooLarge):
            encode(StreamFrame(1, Side.SOURCE, 1, StreamType.RECORDS, b"", bytes(1 << 20)))
        with self.assertRaises(FrameTooLarge):
            encode(Goodbye("long enough"), limit=8)

    def test_frameBody(self) -> None:
        frame = Frame(Header(MessageType.PREPARED, 2, 1, 0), bytes(HEADER_SIZE) + b"ab")
        self.assertEqual(frame.body, b"ab")

    def test_valuesOfEvents(self) -> None:
        """Types that do not travel, numbers too large, fractions of nothing; and unknown types in what comes."""
        for bad in (b"bytes", 1 << 63, -(1 << 63) - 1, float("nan"), float("inf"), (1,)):
            with self.assertRaises(ProtocolError, msg=repr(bad)):
                encode(Events(1, 0, (Event("x", 0, (EventField("y", bad),)),)))  # type: ignore[arg-type]
        good = encode(Events(1, 0, (Event("x", 0, (EventField("y", None),)),)))
        self.assertRefused(good[:-1] + b"\5", "not the type of a value")
        self.assertRefused(self.reframed(good, good[HEADER_SIZE:-1] + b"\2" + b"\xff" * 8), "not finite")
        self.assertRefused(self.reframed(good, good[HEADER_SIZE:-1] + b"\3\2"), "neither 0 nor 1")

    def test_keysAndNamesThatAreNone(self) -> None:
        """Keys of configurations, names of events and fields."""
        for key in ("", "/", "a/", "/a", "a//b", "a b", "é", "*", "a/*", "x" * 256, "a\n", ".", "-a", "a/.."):
            with self.assertRaises(ProtocolError, msg=key):
                encode(SetConfiguration(1, (ConfigurationEntry(key, ()),)))
        for name in ("", "A", "1", "-a", "a b", "a\n", "x" * 65, "é"):
            with self.assertRaises(ProtocolError, msg=name):
                encode(EnableEvents(1, (name,), ""))
            with self.assertRaises(ProtocolError, msg=name):
                encode(Events(1, 0, (Event("x", 0, (EventField(name, None),)),)))

    def test_tooMany(self) -> None:
        """Fields of an event, values of a key, keys."""
        for bad in (
            Events(1, 0, (Event("x", 0, (EventField("y", None),) * 33),)),
            SetConfiguration(1, (ConfigurationEntry("a", ("",) * 4097),)),
            SetConfiguration(1, (ConfigurationEntry("a", ()),) * 4097),
        ):
            with self.assertRaises(ProtocolError):
                encode(bad)
