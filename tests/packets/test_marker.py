"""
Drain markers.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ProtocolError
from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind
from openmb.packets.marker import MARKER_LENGTH, Marker, buildMarker, parseMarker

TOKEN = bytes(range(16))
GOLDEN = bytes.fromhex(
    "034f4d424d00 000000000000 88b5"
    "4f4d424d 01 01 000102030405060708090a0b0c0d0e0f"
    "1122334455667788 00000005"
    "00000000000000000000000000000000"
)


class MarkerTests(SynchronousTestCase):
    """Markers as bytes, and as the decoder sees them."""

    def test_golden(self) -> None:
        self.assertEqual(len(GOLDEN), MARKER_LENGTH)
        self.assertEqual(buildMarker(0x1122334455667788, TOKEN, 5, True), GOLDEN)
        self.assertEqual(parseMarker(GOLDEN), Marker(0x1122334455667788, TOKEN, 5, True))

    @given(
        some.integers(0, 2**64 - 1),
        some.binary(min_size=16, max_size=16),
        some.integers(0, 2**32 - 1),
        some.booleans(),
    )
    def test_roundTrip(self, operation: int, token: bytes, number: int, final: bool) -> None:
        frame = buildMarker(operation, token, number, final)
        self.assertEqual(parseMarker(frame), Marker(operation, token, number, final))

    def test_junk(self) -> None:
        """Other lengths, another address, type, magic, version or flags are refused."""
        for frame in (b"", GOLDEN[:-1], GOLDEN + b"\0"):
            self.assertRaises(ProtocolError, parseMarker, frame)
        for place in range(20):
            wrong = bytearray(GOLDEN)
            wrong[place] ^= 0x40
            self.assertRaises(ProtocolError, parseMarker, bytes(wrong))

    @given(some.binary(min_size=MARKER_LENGTH, max_size=MARKER_LENGTH))
    def test_noise(self, frame: bytes) -> None:
        self.assertRaises(ProtocolError, parseMarker, frame)

    def test_decoded(self) -> None:
        """The decoder knows a marker whatever the link type, and with its stamp."""
        for link in (LinkType.ETHERNET, LinkType.RAW, LinkType.NULL, LinkType.LINUX_SLL, 104):
            decoder = Decoder()
            row = decoder.decode(packetBatch([GOLDEN], [77], link)).headers[0]
            self.assertEqual((row["kind"], row["stamp"]), (Kind.MARKER, 77))
            self.assertEqual(decoder.counts.markers, 1)

    def test_almost(self) -> None:
        """One byte more or less, another type or magic: no marker."""
        for frame in (GOLDEN[:-1], GOLDEN + b"\0"):
            self.assertEqual(Decoder().decode(packetBatch([frame], [0])).headers[0]["kind"], Kind.IGNORED)
        for place in range(12, 18):
            wrong = bytearray(GOLDEN)
            wrong[place] ^= 0x01
            kind = Decoder().decode(packetBatch([bytes(wrong)], [0])).headers[0]["kind"]
            self.assertNotEqual(kind, Kind.MARKER)
