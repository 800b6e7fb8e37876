"""The lines of the local protocol."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import FrameTooLarge, ProtocolError, Refusal
from openmb.rpc.codec import (
    Answer,
    Failure,
    LineReader,
    Notice,
    Request,
    Result,
    encode,
    parseAnswer,
    parseRequest,
)

GOLDEN: tuple[tuple[Request | Answer, bytes], ...] = (
    (Request(7, "route", {"a": [1]}), b'{"id":7,"verb":"route","arguments":{"a":[1]}}\n'),
    (Notice(7, {"moved": 3}), b'{"id":7,"notice":{"moved":3}}\n'),
    (Result(7, None), b'{"id":7,"result":null}\n'),
    (
        Failure(7, Refusal.ROUTE_FAILED, "no port x"),
        b'{"id":7,"error":{"refusal":"ROUTE_FAILED","reason":"no port x"}}\n',
    ),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)
NUMBERS = st.integers(0, (1 << 63) - 1)


class CodecTests(SynchronousTestCase):
    """Values to lines and back."""

    def test_golden(self) -> None:
        """The bytes are those that the documentation of the module shows."""
        for message, line in GOLDEN:
            self.assertEqual(line, encode(message))
            parse = parseRequest if isinstance(message, Request) else parseAnswer
            self.assertEqual(message, parse(line.strip()))

    @given(NUMBERS, st.text(), OBJECTS)
    def test_requestRoundTrip(self, number: int, verb: str, arguments: dict[str, object]) -> None:
        """Any request survives."""
        request = Request(number, verb, arguments)
        self.assertEqual(request, parseRequest(encode(request)[:-1]))

    @given(NUMBERS, JSON, OBJECTS, st.text(), st.sampled_from(Refusal))
    def test_answerRoundTrip(
        self, number: int, result: object, notice: dict[str, object], why: str, no: Refusal
    ) -> None:
        """Any answer survives."""
        for answer in (Result(number, result), Notice(number, notice), Failure(number, no, why)):
            self.assertEqual(answer, parseAnswer(encode(answer)[:-1]))

    @given(st.binary(max_size=60))
    def test_junk(self, junk: bytes) -> None:
        """Whatever is no message raises ProtocolError and nothing else."""
        self.assertRaises(ProtocolError, parseRequest, b"#" + junk)
        self.assertRaises(ProtocolError, parseAnswer, b"#" + junk)

    def test_wrongShapes(self) -> None:
        """JSON that is no message is refused, too deep or too long numbers included."""
        shapes = (
            b"[]",
            b"{}",
            b'{"id":1}',
            b'{"id":-1,"verb":"a"}',
            b'{"id":true,"verb":"a"}',
            b'{"id":1.0,"verb":"a"}',
            b'{"id":9223372036854775808,"verb":"a"}',
            b'{"id":1,"verb":2}',
            b'{"id":1,"verb":"a","arguments":[]}',
            b'{"id":1,"verb":"a","more":1}',
            b'{"id":1,"verb":"a","arguments":{"x":NaN}}',
            b'{"id":' + b"1" * 5000 + b"}",
            b"[" * 100_000,
        )
        for line in shapes:
            self.assertRaises(ProtocolError, parseRequest, line)

    def test_wrongAnswers(self) -> None:
        """An answer is exactly one of three things."""
        shapes = (
            b'{"id":1}',
            b'{"id":1,"result":1,"notice":{}}',
            b'{"id":1,"notice":1}',
            b'{"id":1,"error":"x"}',
            b'{"id":1,"error":{"refusal":"NO_SUCH","reason":"x"}}',
            b'{"id":1,"error":{"refusal":"DEADLINE"}}',
        )
        for line in shapes:
            self.assertRaises(ProtocolError, parseAnswer, line)

    def test_tooLongToSend(self) -> None:
        """What the peer would refuse for its length is not sent."""
        self.assertRaises(FrameTooLarge, encode, Result(1, "x" * 100), 100)


class LineReaderTests(SynchronousTestCase):
    """Bytes to lines."""

    @given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.integers(1, 9))
    def test_anySegmentation(self, lines: list[bytes], step: int) -> None:
        """The lines are the same, however the bytes come."""
        stream = b"".join(line + b"\n" for line in lines) + b"rest"
        reader = LineReader()
        found = [line for at in range(0, len(stream), step) for line in reader.feed(stream[at : at + step])]
        self.assertEqual(lines, found)

    def test_limit(self) -> None:
        """A line of just the limit passes; one byte more does not, even before its end has come."""
        reader = LineReader(limit=10)
        self.assertEqual([b"x" * 10, b""], list(reader.feed(b"x" * 10 + b"\n\n")))
        list(reader.feed(b"y" * 10))
        with self.assertRaises(FrameTooLarge) as caught:
            list(reader.feed(b"y"))
        self.assertEqual((11, 10), (caught.exception.length, caught.exception.limit))
