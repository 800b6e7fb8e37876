"""Frames out of bytes that were cut anywhere."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import FrameTooLarge, ProtocolError
from openmb.wire.codec import decodeFrame, encode
from openmb.wire.framing import HEADER_SIZE, Deframer, packHeader, parseHeader
from openmb.wire.messages import Message, Ping, Side, StreamFrame, StreamType
from tests.wire.samples import SAMPLES

_ALL = b"".join(map(encode, SAMPLES))


def received(deframer: Deframer, pieces: list[bytes]) -> list[Message]:
    """What comes out when C{pieces} go in one after the other."""
    return [decodeFrame(frame) for piece in pieces for frame in deframer.feed(piece)]


class DeframerTests(SynchronousTestCase):
    """L{Deframer}."""

    def test_whole(self) -> None:
        self.assertEqual(received(Deframer(), [_ALL]), list(SAMPLES))

    def test_byteByByte(self) -> None:
        self.assertEqual(received(Deframer(), [_ALL[i : i + 1] for i in range(len(_ALL))]), list(SAMPLES))

    @given(st.lists(st.integers(0, 12_000), max_size=12), st.lists(st.integers(0, 9000), min_size=1, max_size=6))
    def test_anySegmentation(self, cuts: list[int], sizes: list[int]) -> None:
        sent = [
            StreamFrame(1, Side.SOURCE, number, StreamType.RECORDS, b"c" * (size % 7), number.to_bytes(4, "big") * size)
            for number, size in enumerate(sizes)
        ]
        data = b"".join(map(encode, sent))
        places = sorted({min(cut * 9, len(data)) for cut in cuts} | {0, len(data)})
        pieces = [data[a:b] for a, b in itertools.pairwise(places)]
        self.assertEqual(received(Deframer(), pieces), sent)

    def test_framesAreGivenAsSoonAsTheyAreWhole(self) -> None:
        deframer, data = Deframer(), encode(Ping(1))
        self.assertEqual(list(deframer.feed(data[:-1])), [])
        self.assertEqual(len(list(deframer.feed(data[-1:]))), 1)

    def test_goodFramesBeforeTheBadOne(self) -> None:
        found = []
        with self.assertRaises(ProtocolError):
            for frame in Deframer().feed(encode(Ping(1)) + encode(Ping(2)) + bytes(HEADER_SIZE)):
                found.append(decodeFrame(frame))
        self.assertEqual(found, [Ping(1), Ping(2)])

    def test_dataIsTakenEvenWhenNobodyIterates(self) -> None:
        deframer, data = Deframer(), encode(Ping(1))
        deframer.feed(data[:5])
        self.assertEqual(len(list(deframer.feed(data[5:]))), 1)

    def test_headerIsJudgedBeforeTheBodyComes(self) -> None:
        header = parseHeader(encode(Ping(1)))
        data = packHeader(header)[:8] + (1 << 20 | 1).to_bytes(4, "little") + bytes(16)
        with self.assertRaises(FrameTooLarge) as caught:
            list(Deframer().feed(data))
        self.assertEqual((caught.exception.length, caught.exception.limit), ((1 << 20) + 1, 1 << 20))

    def test_largestFrame(self) -> None:
        frame = StreamFrame(1, Side.SOURCE, 0, StreamType.RECORDS, b"", bytes((1 << 20) - 6))
        self.assertEqual(received(Deframer(), [encode(frame)]), [frame])

    def test_smallPiecesAreGathered(self) -> None:
        deframer = Deframer()
        data = encode(StreamFrame(1, Side.SOURCE, 0, StreamType.RECORDS, b"", bytes(300_000)))
        for start in range(len(data) - 1):
            list(deframer.feed(data[start : start + 1]))
        self.assertLess(len(deframer._pieces), 10)

    def test_usedBytesAreForgotten(self) -> None:
        deframer, data = Deframer(), encode(Ping(1))
        stream = data * 30_000
        for start in range(0, len(stream), 35):  # never at the end of a frame
            list(deframer.feed(stream[start : start + 35]))
        self.assertLess(sum(map(len, deframer._pieces)), 100_000)


class HeaderTests(SynchronousTestCase):
    """L{parseHeader} refuses what is not a header, and says what is wrong."""

    def assertRefused(self, place: int, value: int, expected: str) -> None:
        data = bytearray(encode(Ping(1)))
        data[place] = value
        with self.assertRaises(ProtocolError) as caught:
            parseHeader(data)
        self.assertIn(expected, str(caught.exception))

    def test_magic(self) -> None:
        self.assertRefused(0, ord("G"), "not an OpenMB frame")

    def test_version(self) -> None:
        self.assertRefused(2, 2, "frame version 2")

    def test_type(self) -> None:
        self.assertRefused(3, 200, "unknown message type 200")

    def test_flags(self) -> None:
        self.assertRefused(4, 1, "must be 0")

    def test_reserved(self) -> None:
        self.assertRefused(7, 1, "must be 0")
