"""The bytes that encoder and decoder exchange."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ProtocolError
from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind as PacketKind
from openmb.plugins.smartre import format as wire
from openmb.plugins.smartre.envelope import Envelope

_LONG = st.integers(0, 0xFFFFFFFF)
_CACHES, _EPOCHS = st.integers(0, 255), st.integers(1, 0xFFFF)
_ROWS = st.lists(st.tuples(_LONG, st.integers(0, 0xFFFF), st.integers(0, (1 << 64) - 1)), min_size=1, max_size=64)
MESSAGES = st.one_of(
    st.builds(wire.Announce, _CACHES, _EPOCHS, _ROWS.map(lambda rows: np.array(rows, wire.ANNOUNCED_ROW))),
    st.builds(wire.Acknowledge, _CACHES, _EPOCHS, _LONG, st.binary(min_size=64, max_size=64)),
    st.builds(wire.Refuse, _CACHES, _EPOCHS, st.sampled_from(wire.Reason), _LONG, _LONG),
    st.builds(wire.Answer, _CACHES, _EPOCHS, _LONG, _LONG, st.binary(max_size=2048)),
    st.builds(wire.Fork, st.integers(0, 127), _EPOCHS, st.integers(128, 255), _EPOCHS, _LONG),
    st.builds(wire.Forked, _CACHES, _EPOCHS, _CACHES, _LONG, _LONG),
)
#: One message of each kind, and its bytes as docs/smartre.md has them; the last four are the check.
VECTORS = (
    (
        wire.Announce(2, 3, np.array([(4, 5, 6), (7, 8, 9)], wire.ANNOUNCED_ROW)),
        "4552 02 02 0300 02 04000000 0500 0600000000000000 07000000 0800 0900000000000000",
    ),
    (wire.Acknowledge(1, 0x1234, 9, b"\x07" + bytes(63)), "4552 03 01 3412 09000000 07" + "00" * 63),
    (wire.Refuse(1, 2, wire.Reason.STALE_EPOCH, 3, 4), "4552 04 01 0200 03 03000000 04000000"),
    (wire.Answer(0, 1, 0x01020304, 5, b"hello"), "4552 05 00 0100 04030201 0500 05000000 68656c6c6f"),
    (wire.Fork(1, 0x0203, 0, 1, 0xFFFFFFFF), "4552 06 01 0302 00 0100 ffffffff"),
    (wire.Forked(1, 1, 0, 100, 99), "4552 07 01 0100 00 64000000 63000000"),
)


def bytesOf(text: str) -> bytes:
    """Hexadecimal digits; the first two bytes, the magic, are written in network order and travel the other way."""
    octets = bytes.fromhex(text)
    return octets[1::-1] + octets[2:]


class ShimTests(SynchronousTestCase):
    """A shim is the same to construct and to numpy."""

    def test_vector(self) -> None:
        names = ("kind", "flags", "protocol", "header", "length", "cache", "matches", "epoch")
        fields = dict(zip(names, (1, 1, 6, 32, 1448, 1, 3, 0x0102), strict=True))
        row = np.array([(wire.MAGIC, *fields.values(), 0x01020304, 0xA1B2C3D4)], wire.SHIM_ROW)
        octets = bytesOf("4552 01 01 06 20 a805 01 03 0201 04030201 d4c3b2a1")
        self.assertEqual(row.tobytes(), octets)
        self.assertEqual(wire.SHIM.build({**fields, "id": 0x01020304, "checksum": 0xA1B2C3D4}), octets)
        self.assertEqual((wire.SHIM.sizeof(), wire.SHIM_LENGTH), (20, 20))

    def test_oneDeclarationForBoth(self) -> None:
        offset = 0
        for part in wire.SHIM.subcons:
            self.assertEqual(wire.SHIM_ROW.fields[part.name][1], offset)  # type: ignore[index]
            offset += part.sizeof()
        self.assertEqual(offset, wire.SHIM_ROW.itemsize)


class MessageTests(SynchronousTestCase):
    """Messages there and back, whole, damaged, and not messages at all."""

    def test_vectors(self) -> None:
        for message, text in VECTORS:
            body = bytesOf(text)
            self.assertEqual(wire.buildMessage(message), body + wire.checkOf(body))

    def test_check(self) -> None:
        """The low half of H, seed 0."""
        self.assertEqual(wire.checkOf(b""), (0x09DCD80E).to_bytes(4, "little"))

    @given(MESSAGES)
    def test_roundTrip(self, message: wire.Message) -> None:
        built = wire.buildMessage(message)
        again = wire.parseMessage(built)
        self.assertIs(type(again), type(message))
        self.assertEqual(wire.buildMessage(again), built)

    @given(MESSAGES, st.data())
    def test_damaged(self, message: wire.Message, data: st.DataObject) -> None:
        """One byte less, one more, one that is another: no message."""
        built = wire.buildMessage(message)
        place = data.draw(st.integers(0, len(built) - 1))
        other = bytes([built[place] ^ data.draw(st.integers(1, 255))])
        for damaged in (built[:place], built + b"\0", built[:place] + other + built[place + 1 :]):
            self.assertRaises(ProtocolError, wire.parseMessage, damaged)

    @given(MESSAGES, st.data())
    def test_cutOff(self, message: wire.Message, data: st.DataObject) -> None:
        """Nor is a part of one with a check of its own."""
        body = wire.buildMessage(message)[:-4]
        part = body[: data.draw(st.integers(0, len(body) - 1))]
        self.assertRaises(ProtocolError, wire.parseMessage, part + wire.checkOf(part))

    @given(st.binary(max_size=100))
    def test_junk(self, junk: bytes) -> None:
        self.assertRaises(ProtocolError, wire.parseMessage, junk)
        self.assertRaises(ProtocolError, wire.parseMessage, bytesOf("4552") + junk)

    def test_checkedJunk(self) -> None:
        """A right check does not make a message."""
        for text in (
            "04 01 0200 07 03000000 04000000",
            "02 02 0300 00",
            "06 01 0000 00 0100 ffffffff",
            "06 01 0100 00 0000 01000000",
            "06 01 0100 01 0100 01000000",
            "03 01 0100",
            "01",
        ):
            body = bytesOf("4552" + text)
            self.assertRaises(ProtocolError, wire.parseMessage, body + wire.checkOf(body))

    def test_cannotBeBuilt(self) -> None:
        rows = np.zeros(65, wire.ANNOUNCED_ROW)
        for message in (
            wire.Announce(1, 1, rows),
            wire.Fork(1, 0, 2, 1, 1),
            wire.Fork(1, 1, 2, 0, 1),
            wire.Fork(1, 1, 1, 1, 1),
            wire.Fork(256, 1, 1, 1, 1),
        ):
            self.assertRaises(ProtocolError, wire.buildMessage, message)


class SerialTests(SynchronousTestCase):
    """Ids of which half travels, and epochs."""

    def test_nearest(self) -> None:
        cases = (
            (5, 3, 5),
            (3, 5, 3),
            (0, 0xFFFFFFFF, 1 << 32),
            (0xFFFFFFFF, 1 << 32, 0xFFFFFFFF),
            (1, (1 << 64) - 1, 1),
            (0xFFFFFFFF, 0, (1 << 64) - 1),
            (7, 5 << 32, (5 << 32) + 7),
        )
        for low, newest, found in cases:
            self.assertEqual(wire.nearest(low, newest), found)

    def test_epochs(self) -> None:
        self.assertEqual([wire.nextEpoch(epoch) for epoch in (1, 65534, 65535)], [2, 65535, 1])
        self.assertTrue(wire.isNewer(2, 1) and wire.isNewer(1, 65535) and not wire.isNewer(1, 1))
        self.assertFalse(wire.isNewer(65535, 1) or wire.isNewer(1, 2))


_FOUR = bytes.fromhex("450005dc12344000400600000a0000010a000002")
_SIX = bytes.fromhex("6000000000000640") + bytes(15) + b"\1" + bytes(15) + b"\2"


class EnvelopeTests(SynchronousTestCase):
    """Packets that carry messages."""

    def _decoded(self, envelope: Envelope, message: bytes) -> tuple[int, int, int, int, int]:
        row = Decoder().decode(packetBatch([envelope.around(message)], [0], envelope.link)).headers[0]
        self.assertEqual(row["kind"], PacketKind.OTHER)
        low = int(row["source_low"]), int(row["destination_low"])
        return int(row["protocol"]), int(row["total"]), int(row["network"]), *low

    def test_around(self) -> None:
        """A packet that every router takes: lengths and header checksum are right."""
        four = 0xFFFF0A000001, 0xFFFF0A000002
        ethernet = bytes(range(12)) + b"\x08\0"
        self.assertEqual(self._decoded(Envelope(ethernet + _FOUR, 14, LinkType.ETHERNET), b"abc"), (253, 23, 14, *four))
        self.assertEqual(self._decoded(Envelope(_FOUR, 0, LinkType.RAW), b""), (253, 20, 0, *four))
        self.assertEqual(self._decoded(Envelope(_SIX, 0, LinkType.RAW), b"abc"), (253, 43, 0, 1, 2))

    def test_reversed(self) -> None:
        ethernet = bytes(range(12)) + b"\x08\0"
        back = Envelope(ethernet + _FOUR, 14, LinkType.ETHERNET).reversed()
        self.assertEqual(back.head[:14], bytes([6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]) + b"\x08\0")
        self.assertEqual(self._decoded(back, b"x")[3:], (0xFFFF0A000002, 0xFFFF0A000001))
        self.assertEqual(self._decoded(Envelope(_SIX, 0, LinkType.RAW).reversed(), b"x")[3:], (2, 1))
