"""
pcap streams, in pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ProtocolError
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.stream import PcapStreamReader, PcapStreamWriter, StreamLimits
from tests.packets.test_capture import PACKETS, STAMP, pcap

Flat = list[tuple[bytes, int, int, int]]


def flat(batches: Iterable[PacketBatch]) -> Flat:
    """The packets of batches with stamp, wire length and link type."""
    return [
        (batch.packet(index), int(batch.stamps[index]), int(batch.wire[index]), batch.link)
        for batch in batches
        for index in range(len(batch))
    ]


class ReaderTests(SynchronousTestCase):
    """Whatever the pieces, the packets are the same."""

    def test_whole(self) -> None:
        for order in "<>":
            for nanoseconds in (False, True):
                stamp = STAMP if nanoseconds else STAMP // 1000 * 1000
                reader = PcapStreamReader()
                found = flat(reader.feed(pcap(order, nanoseconds, 276)))
                expected = [(packet, stamp, wire, 276) for packet, wire in zip(PACKETS, (12, 0, 9), strict=True)]
                self.assertEqual(found, expected)
                self.assertEqual(reader.pending, 0)
                reader.finish()

    def test_byteByByte(self) -> None:
        for order in "<>":
            data = pcap(order, True)
            reader = PcapStreamReader()
            arrived = [len(flat(reader.feed(data[place : place + 1]))) for place in range(len(data))]
            self.assertEqual({place + 1: count for place, count in enumerate(arrived) if count}, {52: 1, 68: 1, 89: 1})

    @given(some.lists(some.integers(1, 60)), some.sampled_from("<>"))
    def test_anyPieces(self, sizes: list[int], order: str) -> None:
        data = pcap(order, True)
        reader = PcapStreamReader()
        found: Flat = []
        place = 0
        for size in sizes:
            found += flat(reader.feed(data[place : place + size]))
            place += size
        found += flat(reader.feed(data[place:]))
        self.assertEqual(found, flat(PcapStreamReader().feed(data)))

    def test_nothing(self) -> None:
        self.assertEqual(PcapStreamReader().feed(b""), [])

    def test_batchLimit(self) -> None:
        batches = PcapStreamReader(StreamLimits(batch=2)).feed(pcap())
        self.assertEqual([len(batch) for batch in batches], [2, 1])

    def test_garbage(self) -> None:
        self.assertRaises(ProtocolError, PcapStreamReader().feed, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    def test_tooLong(self) -> None:
        """A record over the limit is refused as soon as its header is there."""
        reader = PcapStreamReader(StreamLimits(packet=100))
        data = pcap()[:24] + struct.pack("<IIII", 0, 0, 101, 101)
        self.assertEqual(reader.feed(data[:-1]), [])
        self.assertRaises(ProtocolError, reader.feed, data[-1:])

    def test_atTheLimit(self) -> None:
        whole = pcap()[:16] + struct.pack("<II", 262144, 1)
        record = struct.pack("<IIII", 0, 0, 262144, 262144) + bytes(262144)
        self.assertEqual(PcapStreamReader().feed(whole + record)[0].lengths.tolist(), [262144])

    def test_captureLength(self) -> None:
        """As with libpcap, a record is cut to what the file's header names; 0 and nonsense are no limit."""
        record = struct.pack("<IIII", 0, 0, 100, 100) + bytes(100)
        for snap, length in ((60, 60), (100, 100), (0, 100), (0xFFFFFFFF, 100)):
            start = pcap()[:16] + struct.pack("<II", snap, 1)
            batch = PcapStreamReader().feed(start + record + record)[0]
            self.assertEqual((batch.lengths.tolist(), batch.wire.tolist()), ([length] * 2, [100, 100]), snap)

    def test_modified(self) -> None:
        """The format whose record headers have eight bytes more, in both byte orders and any pieces."""
        for order in "<>":
            data = struct.pack(order + "IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
            for packet in (b"first", b"second packet"):
                data += struct.pack(order + "IIIIIHBB", 7, 9, len(packet), len(packet), 3, 0x800, 0, 0) + packet
            for size in (1, 5, len(data)):
                reader = PcapStreamReader()
                found = flat(b for at in range(0, len(data), size) for b in reader.feed(data[at : at + size]))
                expected = [(packet, 7_000_009_000, len(packet), 1) for packet in (b"first", b"second packet")]
                self.assertEqual((expected, 0), (found, reader.pending))

    def test_endWithinRecord(self) -> None:
        reader = PcapStreamReader()
        reader.feed(pcap()[:-1])
        self.assertEqual(reader.pending, 20)
        self.assertRaises(ProtocolError, reader.finish)

    @given(some.binary(max_size=200))
    def test_noise(self, noise: bytes) -> None:
        """After a good header, anything is either packets or a ProtocolError."""
        try:
            PcapStreamReader().feed(pcap()[:24] + noise)
        except ProtocolError:
            self.assertGreaterEqual(len(noise), 16)


class WriterTests(SynchronousTestCase):
    """What the writer makes."""

    def test_golden(self) -> None:
        writer = PcapStreamWriter(1)
        self.assertEqual(writer.header(), bytes.fromhex("4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000"))
        batch = packetBatch([b"abc"], [1_000_000_005], wire=[9])
        self.assertEqual(writer.records(batch), bytes.fromhex("01000000 05000000 03000000 09000000") + b"abc")
        micro = PcapStreamWriter(1, nanoseconds=False)
        self.assertEqual(micro.header()[:4], bytes.fromhex("d4c3b2a1"))
        self.assertEqual(micro.records(packetBatch([b""], [1_999_999_999]))[:8], struct.pack("<II", 1, 999_999))

    @given(some.lists(some.tuples(some.binary(max_size=80), some.integers(0, 2**32 * 10**9 - 1))))
    def test_roundTrip(self, packets: list[tuple[bytes, int]]) -> None:
        batch = packetBatch([data for data, _ in packets], [stamp for _, stamp in packets], 113)
        writer = PcapStreamWriter(113)
        found = PcapStreamReader().feed(writer.header() + writer.records(batch))
        self.assertEqual(flat(found), flat([batch]))

    def test_selection(self) -> None:
        """Packets need not lie side by side nor in order in the batch's data."""
        batch = packetBatch([b"one", b"two", b"three"], [1, 2, 3]).select(slice(None, None, -2))
        writer = PcapStreamWriter(1)
        found = PcapStreamReader().feed(writer.header() + writer.records(batch))
        self.assertEqual([packet for packet, *_ in flat(found)], [b"three", b"one"])

    def test_otherLinkType(self) -> None:
        self.assertRaises(ValueError, PcapStreamWriter(1).records, packetBatch([b"x"], [0], 113))

    def test_outsideData(self) -> None:
        batch = packetBatch([b"abc"], [0])
        for offset in (-1, 1, 2**62):
            batch.offsets[0] = offset
            self.assertRaises(ValueError, PcapStreamWriter(1).records, batch)
