"""
Every shared capture, against dpkt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dpkt
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.headers import HEADERS, Kind, Status
from openmb.packets.stream import PcapStreamReader, PcapStreamWriter
from tests.shared import needSharedFolder, sharedCaptures


def readWithDpkt(path: Path) -> list[tuple[float, bytes]]:
    with open(path, "rb") as file:
        isNext = file.read(4) == b"\n\r\r\n"
        file.seek(0)
        reader: Any = dpkt.pcapng.Reader(file) if isNext else dpkt.pcap.Reader(file)
        return [(float(stamp), bytes(packet)) for stamp, packet in reader]


#: dpkt takes the first interface's resolution for all of them.
SEVERAL_INTERFACES = "z3950.pcapng"


class SharedCaptureTests(SynchronousTestCase):
    """Real captures are read and decoded as dpkt does it."""

    def batches(self, path: Path) -> list[PacketBatch]:
        return list(openCapture(path).batches(100))

    def test_packets(self) -> None:
        """The same packets, bytes and stamps (dpkt's stamps are floats: to the microsecond)."""
        for path in sharedCaptures():
            expected = readWithDpkt(path)
            batches = self.batches(path)
            found = [batch.packet(index) for batch in batches for index in range(len(batch))]
            self.assertEqual(found, [packet for _, packet in expected], path.name)
            stamps = [stamp for batch in batches for stamp in batch.stamps.tolist()]
            if path.name == SEVERAL_INTERFACES:
                continue
            for stamp, (other, _) in zip(stamps, expected, strict=True):
                self.assertLess(abs(stamp / 1e9 - other), 2e-6)

    def test_severalInterfaces(self) -> None:
        """One of two interfaces counts nanoseconds: the first stamp is that of Zeek's conn.log."""
        path = needSharedFolder() / "traces/ndpi" / SEVERAL_INTERFACES / SEVERAL_INTERFACES
        rows = [line.split("\t") for line in (path.parent / "conn.log").read_text().splitlines() if line[0] != "#"]
        stamps = [stamp for batch in self.batches(path) for stamp in batch.stamps.tolist()]
        self.assertEqual(f"{min(stamps) / 1e9:.5f}", f"{min(float(row[0]) for row in rows):.5f}")
        self.assertTrue(all(stamp // 10**18 == 1 for stamp in stamps))

    def test_decoded(self) -> None:
        """Addresses, ports and payload of plain Ethernet packets are those that dpkt finds."""
        compared = 0
        for path in sharedCaptures():
            decoder = Decoder(checksums=False)
            for batch in self.batches(path):
                decoded = decoder.decode(batch)
                self.assertEqual(len(decoded), len(batch))
                if batch.link == LinkType.ETHERNET:
                    compared += sum(self.compare(batch.packet(index), row) for index, row in enumerate(decoded.headers))
        self.assertGreater(compared, 10_000)

    def compare(self, packet: bytes, row: Any) -> bool:
        """Compare one packet where dpkt finds TCP or UDP in IP right behind the Ethernet header."""
        if row["kind"] not in (Kind.TCP, Kind.UDP) or int(row["status"]) & ~Status.IPV6 or row["network"] != 14:
            return False
        network = dpkt.ethernet.Ethernet(packet).data
        transport = network.data
        if not isinstance(network, dpkt.ip.IP | dpkt.ip6.IP6) or not isinstance(transport, dpkt.tcp.TCP | dpkt.udp.UDP):
            return False
        low = int.from_bytes(network.src[-4:], "big")
        self.assertEqual(int(row["source_low"]) & 0xFFFFFFFF, low)
        self.assertEqual((row["source_port"], row["destination_port"]), (transport.sport, transport.dport))
        self.assertEqual(row["length"], len(transport.data))
        start = int(row["payload"])
        self.assertEqual(packet[start : start + int(row["captured"])], bytes(transport.data))
        return True

    def test_fragmentedAnswer(self) -> None:
        """A DNS answer in three IPv6 fragments, with the length that Zeek logs."""
        path = needSharedFolder() / "traces/bro/core.ipv6-frag/ipv6-fragmented-dns.pcap"
        decoder = Decoder(checksums=True)
        (batch,) = openCapture(path).batches()
        row = decoder.decode(batch).headers[7]
        self.assertEqual((row["kind"], row["total"], row["length"]), (Kind.UDP, 3278, 3230))
        self.assertEqual((decoder.counts.reassembled, decoder.counts.badChecksums), (1, 0))

    def test_sentOn(self) -> None:
        """Through a stream and decoded in other batches: the same headers."""
        for path in sharedCaptures()[::7]:
            whole, pieces = Decoder(), Decoder()
            for batch in openCapture(path).batches():
                writer = PcapStreamWriter(batch.link)
                (other,) = PcapStreamReader().feed(writer.header() + writer.records(batch))
                half = slice(None, len(batch) // 2), slice(len(batch) // 2, None)
                expected = whole.decode(batch).headers
                found = [pieces.decode(other.select(part)).headers for part in half]
                self.assertEqual(b"".join(part.tobytes() for part in found), expected.tobytes())
                self.assertEqual(expected.dtype, HEADERS)
