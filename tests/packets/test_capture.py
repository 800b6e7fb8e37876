"""
Capture files, read and written.
"""

from __future__ import annotations

import struct
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import CaptureError
from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from openmb.packets.capture import openCapture
from openmb.packets.stream import writeCapture

STAMP = 1_700_000_000_123_456_789
PACKETS = [b"first packet", b"", b"third"]


def pcap(order: str = "<", nanoseconds: bool = False, link: int = 1, version: int = 2) -> bytes:
    """A capture of L{PACKETS}, made by hand; the third was sent with 9 bytes."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    data = struct.pack(order + "IHHiIII", magic, version, 4, 0, 0, 65535, link)
    for packet, wire in zip(PACKETS, (12, 0, 9), strict=True):
        fraction = 123_456_789 if nanoseconds else 123_456
        data += struct.pack(order + "IIII", 1_700_000_000, fraction, len(packet), wire) + packet
    return data


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, resolution: int | None = None, order: str = "<", offset: int | None = None) -> bytes:
    options = b"" if resolution is None else struct.pack(order + "HHB3x", 9, 1, resolution)
    options += b"" if offset is None else struct.pack(order + "HHq", 14, 8, offset)
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options + bytes(4 if options else 0), order)


def enhanced(packet: bytes, ticks: int, which: int = 0, order: str = "<", wire: int | None = None) -> bytes:
    sent = len(packet) if wire is None else wire
    head = struct.pack(order + "IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), sent)
    return block(6, head + packet, order)


class CaptureTestCase(SynchronousTestCase):
    """Writes files and reads them."""

    def file(self, data: bytes) -> Path:
        path = Path(self.mktemp())
        path.write_bytes(data)
        return path

    def read(self, data: bytes, limit: int = 4096) -> list[PacketBatch]:
        return list(openCapture(self.file(data)).batches(limit))

    def packets(self, data: bytes, limit: int = 4096) -> list[bytes]:
        return [batch.packet(index) for batch in self.read(data, limit) for index in range(len(batch))]

    def assertRefused(self, data: bytes, words: str) -> None:
        error = self.assertRaises(CaptureError, self.read, data)
        self.assertIn(words, str(error))


class PcapTests(CaptureTestCase):
    """pcap files."""

    def test_golden(self) -> None:
        """Both byte orders and both units."""
        for order in "<>":
            for nanoseconds in (False, True):
                (batch,) = self.read(pcap(order, nanoseconds, 113))
                self.assertEqual([batch.packet(index) for index in range(3)], PACKETS)
                self.assertEqual(batch.wire.tolist(), [12, 0, 9])
                stamp = STAMP if nanoseconds else STAMP // 1000 * 1000
                self.assertEqual((batch.stamps.tolist(), batch.link), ([stamp] * 3, 113))

    def test_limit(self) -> None:
        batches = self.read(pcap(), 2)
        self.assertEqual([len(batch) for batch in batches], [2, 1])
        self.assertEqual(self.packets(pcap(), 1), PACKETS)

    def test_twice(self) -> None:
        capture = openCapture(self.file(pcap()))
        self.assertEqual(len(list(capture.batches())), len(list(capture.batches())))

    def test_noPackets(self) -> None:
        self.assertEqual(self.read(pcap()[:24]), [])

    def test_cutOff(self) -> None:
        """Wherever the file ends: whole records are read, and a rest is remarked upon."""
        data = pcap()
        ends = {24: 0, 52: 1, 68: 2, 89: 3}
        for length in range(24, len(data) + 1):
            capture = openCapture(self.file(data[:length]))
            count = sum(map(len, capture.batches()))
            self.assertEqual(count, max(number for end, number in ends.items() if end <= length))
            self.assertEqual(len(capture.remarks), length not in ends)

    def test_nonsense(self) -> None:
        for length in (262145, 2**31, 2**32 - 1):
            self.assertRefused(pcap() + struct.pack("<IIII", 0, 0, length, length), "byte 89 claims more")

    def test_wireShorterThanCaptured(self) -> None:
        data = pcap()[:24] + struct.pack("<IIII", 0, 0, 4, 1) + b"four"
        self.assertEqual(self.read(data)[0].wire.tolist(), [4])

    def test_flagsInLinkType(self) -> None:
        """The upper bits of the link type field say something on check sequences, not on the type."""
        self.assertEqual(self.read(pcap(link=0x54000001))[0].link, 1)

    def test_garbage(self) -> None:
        self.assertRefused(b"", "is empty")
        self.assertRefused(b"GIF89a" + bytes(100), "is not a capture")
        self.assertRefused(b"\xd4", "is not a capture")
        self.assertRefused(pcap()[:23], "header is cut off")
        self.assertRefused(pcap(version=3), "version 2")

    def test_noFile(self) -> None:
        error = self.assertRaises(CaptureError, openCapture, self.mktemp())
        self.assertIn("No such file", str(error))
        self.assertRaises(CaptureError, openCapture, Path("."))


class PcapngTests(CaptureTestCase):
    """pcapng files."""

    def test_resolutions(self) -> None:
        """Decimal and binary resolutions, exact to the nanosecond."""
        ticks = {None: STAMP // 1000, 6: STAMP // 1000, 9: STAMP, 3: STAMP // 10**6, 0x80 | 20: 3 << 20 | 1}
        stamps = {None: STAMP // 1000 * 1000, 6: STAMP // 1000 * 1000, 9: STAMP, 3: STAMP // 10**6 * 10**6}
        stamps[0x80 | 20] = 3 * 10**9 + 953
        for order in "<>":
            for resolution, count in ticks.items():
                data = section(order) + interface(1, resolution, order) + enhanced(b"data", count, 0, order)
                (batch,) = self.read(data)
                self.assertEqual(batch.stamps.tolist(), [stamps[resolution]], (order, resolution))
                self.assertEqual(batch.packet(0), b"data")

    def test_offset(self) -> None:
        data = section() + interface(1, 9, offset=-5) + enhanced(b"data", 7_000_000_001)
        self.assertEqual(self.read(data)[0].stamps.tolist(), [2_000_000_001])

    def test_interfaces(self) -> None:
        """Interfaces of one link type make one batch; where the type changes, a new batch begins."""
        data = section() + interface(1, 6) + interface(1, 9) + interface(113, 6)
        data += enhanced(b"a", 1, 0) + enhanced(b"b", 2000, 1) + enhanced(b"c", 3, 2) + enhanced(b"d", 4, 0)
        batches = self.read(data)
        self.assertEqual([(batch.link, len(batch)) for batch in batches], [(1, 2), (113, 1), (1, 1)])
        self.assertEqual([stamp for batch in batches for stamp in batch.stamps.tolist()], [1000, 2000, 3000, 4000])
        self.assertEqual(self.packets(data, 1), [b"a", b"b", b"c", b"d"])

    def test_simplePacket(self) -> None:
        """A simple packet block has no stamp: that of the packet before."""
        data = section() + interface() + enhanced(b"data", 5) + block(3, struct.pack("<I", 6) + b"simple")
        (batch,) = self.read(data)
        self.assertEqual((batch.stamps.tolist(), batch.packet(1)), ([5000, 5000], b"simple"))

    def test_truncatedPacket(self) -> None:
        data = section() + interface() + enhanced(b"data", 5, wire=1500)
        self.assertEqual(self.read(data)[0].wire.tolist(), [1500])

    def test_otherBlocks(self) -> None:
        """Blocks that hold no packets are passed over."""
        data = section() + interface() + block(0x0BAD, b"whatever") + enhanced(b"data", 5)
        self.assertEqual(self.packets(data), [b"data"])

    def test_twoSections(self) -> None:
        data = section() + interface(1, 6) + enhanced(b"a", 1)
        data += section(">") + interface(1, 9, ">") + enhanced(b"b", 2, 0, ">")
        (batch,) = self.read(data)
        self.assertEqual(batch.stamps.tolist(), [1000, 2])

    def test_cutOff(self) -> None:
        """A cut-off last block costs that block only."""
        data = section() + interface() + enhanced(b"data", 5)
        for length in range(len(data), len(data) + 36):
            capture = openCapture(self.file((data + enhanced(b"more", 6))[:length]))
            self.assertEqual(sum(map(len, capture.batches())), 1)
            self.assertEqual(len(capture.remarks), length > len(data))

    def test_wrong(self) -> None:
        """Nonsense is refused with one kind of error."""
        good = section() + interface()
        self.assertRefused(good + enhanced(b"data", 5, which=3), "block is wrong")
        self.assertRefused(good + enhanced(b"data", 2**63), "out of range")
        self.assertRefused(section()[:8] + bytes(20), "block is wrong")
        self.assertRefused(good + block(6, b"short")[:-4] + bytes(4), "block is wrong")


class WriteTests(CaptureTestCase):
    """Captures that were written can be read."""

    def test_roundTrip(self) -> None:
        batch = packetBatch(PACKETS, [STAMP, STAMP + 1, STAMP - 1], LinkType.RAW, [12, 0, 9])
        for nanoseconds, unit in ((True, 1), (False, 1000)):
            path = Path(self.mktemp())
            self.assertEqual(writeCapture(path, [batch, batch], nanoseconds=nanoseconds), 6)
            (back,) = openCapture(path).batches()
            self.assertEqual([back.packet(index) for index in range(6)], PACKETS * 2)
            self.assertEqual(back.stamps.tolist(), [stamp // unit * unit for stamp in batch.stamps.tolist()] * 2)
            self.assertEqual((back.wire.tolist(), back.link), ([12, 0, 9] * 2, LinkType.RAW))

    def test_empty(self) -> None:
        path = Path(self.mktemp())
        self.assertEqual(writeCapture(path, [], link=113), 0)
        self.assertEqual(list(openCapture(path).batches()), [])

    def test_cannotWrite(self) -> None:
        self.assertRaises(CaptureError, writeCapture, Path(self.mktemp()) / "no" / "such", [])
