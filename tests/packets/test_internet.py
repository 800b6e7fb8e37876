"""
IPv4 and IPv6 headers.
"""

from __future__ import annotations

import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import DecodeCounts, Decoder
from openmb.packets.headers import Kind, Status
from tests.packets.build import CLIENT, CLIENT6, SERVER, SERVER6, address, ethernet, fragment6, icmp, ip4, ip6, tcp, udp

BETWEEN6 = (CLIENT6, SERVER6)


def decode(packet: bytes, *, checksums: bool = True, wire: int | None = None) -> tuple[Any, DecodeCounts]:
    """Headers of one raw IP packet, and the decoder's counts."""
    decoder = Decoder(checksums, reassemble=False)
    batch = packetBatch([packet], [0], LinkType.RAW, None if wire is None else [wire])
    return decoder.decode(batch).headers[0], decoder.counts


class FourTests(SynchronousTestCase):
    """IPv4."""

    def test_golden(self) -> None:
        """Every field of a packet written out by hand."""
        packet = bytes.fromhex(
            "4500002a000700004006ac730a010203c0000250"  # 42 bytes, identification 7, TTL 64, TCP
            "9c400050000003e8000007d050182000b0c40000"  # 40000 > 80, 1000, 2000, ACK PUSH, window 8192
            "6869"
        )
        self.assertEqual(packet, ip4(tcp(b"hi")))
        row, counts = decode(packet)
        expected = {
            "kind": Kind.TCP,
            "protocol": 6,
            "status": 0,
            "total": 42,
            "network": 0,
            "transport": 20,
            "payload": 40,
            "length": 2,
            "captured": 2,
            "source_port": 40000,
            "destination_port": 80,
            "sequence": 1000,
            "acknowledgement": 2000,
            "flags": 0x18,
            "window": 8192,
            "vlan": 0xFFFF,
            "inner_vlan": 0xFFFF,
            "fragment_id": 0,
            "fragment_offset": 0,
            "more_fragments": 0,
        }
        self.assertEqual({name: int(row[name]) for name in expected}, expected)
        self.assertEqual((row["source_high"], row["source_low"]), address(CLIENT))
        self.assertEqual((row["destination_high"], row["destination_low"]), address(SERVER))
        self.assertEqual((counts.packets, counts.malformed, counts.ignored), (1, 0, 0))

    def test_options(self) -> None:
        row, _ = decode(ip4(tcp(b"x"), options=b"\x07\x07\x04" + bytes(5)))
        self.assertEqual((row["kind"], row["transport"], row["payload"], row["total"]), (Kind.TCP, 28, 48, 49))

    def test_padding(self) -> None:
        """What follows the total length, as Ethernet's padding, does not count."""
        row, _ = decode(ip4(tcp(b"hi")) + bytes(6))
        self.assertEqual((row["length"], row["captured"], row["total"], row["status"]), (2, 2, 42, 0))

    def test_badHeaderChecksum(self) -> None:
        row, counts = decode(ip4(tcp(), spoil=0x0100))
        self.assertEqual((row["kind"], counts.badHeaderChecksums, counts.malformed), (Kind.MALFORMED, 1, 1))
        row, counts = decode(ip4(tcp(), spoil=0x0100), checksums=False)
        self.assertEqual((row["kind"], counts.badHeaderChecksums), (Kind.TCP, 0))

    def test_totalExceedsWire(self) -> None:
        row, _ = decode(ip4(tcp(b"hello"), total=46))
        self.assertEqual(row["kind"], Kind.MALFORMED)

    def test_truncatedCapture(self) -> None:
        """Fewer bytes captured than sent: decoded as far as possible, transport checksum not judged."""
        row, counts = decode(ip4(tcp(b"hello", spoil=1))[:42], wire=45)
        self.assertEqual((row["kind"], row["status"]), (Kind.TCP, Status.TRUNCATED))
        self.assertEqual((row["length"], row["captured"], counts.truncated), (5, 2, 1))

    def test_totalZero(self) -> None:
        """Segmentation offload: the rest of the frame counts without checksums; with them the packet is malformed."""
        packet = ip4(tcp(b"hello"), total=0)
        row, _ = decode(packet, checksums=False)
        self.assertEqual((row["kind"], row["total"], row["length"]), (Kind.TCP, 45, 5))
        self.assertEqual(row["status"], Status.NO_LENGTH)
        self.assertEqual(decode(packet)[0]["kind"], Kind.MALFORMED)

    def test_impossibleHeader(self) -> None:
        good = ip4(tcp(b"hello"))
        for first, total in ((0x44, 45), (0x4F, 45), (0x45, 19)):
            packet = bytes((first, 0)) + struct.pack("!H", total) + good[4:]
            self.assertEqual(decode(packet, checksums=False)[0]["kind"], Kind.MALFORMED)

    def test_otherVersion(self) -> None:
        for version in set(range(16)) - {4, 6}:
            self.assertEqual(decode(bytes((version << 4,)) + bytes(59))[0]["kind"], Kind.IGNORED)

    def test_otherProtocol(self) -> None:
        row, _ = decode(ip4(b"sctp?", 132))
        self.assertEqual((row["kind"], row["protocol"], row["payload"], row["length"]), (Kind.OTHER, 132, 20, 5))

    def test_firstFragment(self) -> None:
        row, counts = decode(ip4(udp(bytes(24)), 17, fragment=0x2000, identification=0xABCD))
        self.assertEqual((row["kind"], row["protocol"], row["fragment_id"]), (Kind.FRAGMENT, 17, 0xABCD))
        self.assertEqual((row["fragment_offset"], row["more_fragments"]), (0, 1))
        self.assertEqual((row["source_port"], row["destination_port"], row["length"]), (5353, 53, 32))
        self.assertEqual((counts.fragments, counts.reassembled), (1, 0))

    def test_laterFragment(self) -> None:
        row, _ = decode(ip4(b"rest", 17, fragment=0x1FFF))
        self.assertEqual((row["kind"], row["fragment_offset"], row["more_fragments"]), (Kind.FRAGMENT, 65528, 0))
        self.assertEqual((row["source_port"], row["transport"], row["captured"]), (0, 20, 4))

    def test_firstFragmentCutOff(self) -> None:
        """As it can never be completed, it stands for itself."""
        row, _ = decode(ip4(udp(bytes(24)), 17, fragment=0x2000)[:40], wire=52)
        self.assertEqual((row["kind"], row["status"]), (Kind.UDP, Status.TRUNCATED))

    def test_outsideData(self) -> None:
        """Offsets that point outside the data are malformed packets, not crashes."""
        batch = packetBatch([ip4(tcp())] * 4, range(4), LinkType.RAW)
        batch.offsets[:] = (-1, 2**62, -(2**63), 121)
        kinds = Decoder().decode(batch).headers["kind"].tolist()
        self.assertEqual(kinds, [Kind.MALFORMED] * 4)


class SixTests(SynchronousTestCase):
    """IPv6 and its extension headers."""

    def segment(self, payload: bytes = b"hi") -> bytes:
        return tcp(payload, between=BETWEEN6)

    def test_golden(self) -> None:
        packet = bytes.fromhex(
            "60000000001606402001 0db8000000000000000000000001 20010db8000000010000000000000050"
            "9c400050000003e8000007d050182000235500006869"
        )
        self.assertEqual(packet, ip6(self.segment()))
        row, _ = decode(packet)
        self.assertEqual((row["kind"], row["protocol"], row["status"]), (Kind.TCP, 6, Status.IPV6))
        self.assertEqual((row["total"], row["transport"], row["payload"], row["length"]), (62, 40, 60, 2))
        self.assertEqual((row["source_high"], row["source_low"]), address(CLIENT6))
        self.assertEqual((row["destination_high"], row["destination_low"]), address(SERVER6))

    def test_extensionHeaders(self) -> None:
        """Hop-by-hop, destination options, routing without segments left, authentication: all are walked over."""
        chain = bytes((60, 0)) + bytes(6)
        chain += bytes((43, 1)) + bytes(14)
        chain += bytes((51, 2, 0, 0)) + bytes(20)
        chain += bytes((6, 4)) + bytes(22)
        row, _ = decode(ip6(chain + self.segment(), 0))
        self.assertEqual((row["kind"], row["protocol"], row["status"]), (Kind.TCP, 6, Status.IPV6))
        self.assertEqual((row["transport"], row["length"]), (40 + len(chain), 2))

    def test_routing(self) -> None:
        """With segments left, the flow and the pseudo header are those of the final destination."""
        hop = "2001:db8:ffff::1"
        last, other = ip6(b"", between=(hop, SERVER6))[24:40], ip6(b"", between=(SERVER6, hop))[24:40]
        routes = {
            0: bytes((6, 4, 0, 1)) + bytes(4) + other + last,
            2: bytes((6, 2, 2, 1)) + bytes(4) + last,
            4: bytes((6, 4, 4, 1)) + bytes(4) + last + other,
        }
        for kind, route in routes.items():
            row, _ = decode(ip6(route + self.segment(), 43, between=(CLIENT6, hop)))
            self.assertEqual((row["kind"], row["status"]), (Kind.TCP, Status.IPV6), kind)
            self.assertEqual((row["destination_high"], row["destination_low"]), address(SERVER6))

    def test_firstRouting(self) -> None:
        """Of several routing headers the first that names a final destination counts."""
        first, second = ip6(b"", between=(SERVER6, CLIENT6))[8:24], ip6(b"")[8:24]
        chain = bytes((43, 2, 2, 1)) + bytes(4) + first + bytes((6, 2, 2, 1)) + bytes(4) + second
        row, _ = decode(ip6(chain + self.segment(), 43))
        self.assertEqual((row["destination_high"], row["destination_low"]), address(SERVER6))

    def test_homeAddress(self) -> None:
        """Mobile IPv6: the flow and the pseudo header are those of the sender's home address, the first there is."""
        home, other = ip6(b"")[8:24], ip6(b"", between=("2001:db8::9", SERVER6))[8:24]
        options = bytes((0, 1, 1, 0)) + bytes((201, 16)) + home + bytes((201, 16)) + other + bytes((1, 0))
        chain = bytes((6, (2 + len(options)) // 8)) + options + bytes(-(2 + len(options)) % 8)
        row, _ = decode(ip6(chain + self.segment(), 60, between=("2001:db8::aa", SERVER6)))
        self.assertEqual((row["kind"], row["status"]), (Kind.TCP, Status.IPV6))
        self.assertEqual((row["source_high"], row["source_low"]), address(CLIENT6))

    def test_hostileOptions(self) -> None:
        """Options that are cut off, of every length, are no home address and are not read over."""
        for size in range(256):
            options = bytes((201, size)) + bytes(4)
            row, _ = decode(ip6(bytes((6, 0)) + options + self.segment(), 60))
            self.assertEqual((row["kind"], row["source_low"]), (Kind.TCP, address(CLIENT6)[1]), size)

    def test_chainCutOff(self) -> None:
        """A header longer than the packet is one of a protocol that nobody speaks, as in Zeek."""
        for following in (0, 43, 51, 60):
            row, _ = decode(ip6(bytes((6, 4)) + bytes(14), following))
            found = row["kind"], row["protocol"], row["transport"], row["length"]
            self.assertEqual(found, (Kind.OTHER, following, 40, 16))
        row, _ = decode(ip6(bytes(7), 44))
        self.assertEqual((row["kind"], row["protocol"]), (Kind.OTHER, 44))

    def test_lengthExceedsWire(self) -> None:
        self.assertEqual(decode(ip6(self.segment(), length=23))[0]["kind"], Kind.MALFORMED)

    def test_lastHeaders(self) -> None:
        """ESP, mobility and no next header end the chain: their contents are nobody's business."""
        for following in (50, 135, 59):
            row, _ = decode(ip6(bytes(16), following))
            self.assertEqual((row["kind"], row["protocol"], row["length"]), (Kind.OTHER, following, 16))

    def test_fragment(self) -> None:
        row, _ = decode(ip6(fragment6(bytes(16), 17, 1480, True, 0xDEADBEEF), 44))
        self.assertEqual((row["kind"], row["protocol"]), (Kind.FRAGMENT, 17))
        self.assertEqual((row["fragment_id"], row["fragment_offset"]), (0xDEADBEEF, 1480))
        self.assertEqual((row["more_fragments"], row["transport"], row["length"]), (1, 48, 16))

    def test_icmp(self) -> None:
        row, _ = decode(ip6(icmp(128, 0, b"ping", BETWEEN6), 58))
        self.assertEqual((row["kind"], row["protocol"], row["source_port"], row["length"]), (Kind.ICMP, 58, 128, 4))
        self.assertEqual(row["status"], Status.IPV6)


class CountTests(SynchronousTestCase):
    """The decoder counts what it meets, over all batches."""

    def test_counts(self) -> None:
        frames = [
            ethernet(ip4(tcp())),
            ethernet(bytes(30), 0x0806),
            ethernet(ip4(tcp(spoil=1))),
            ethernet(ip4(tcp(), spoil=1)),
            ethernet(ip4(b"abc")),
            ethernet(ip4(udp(bytes(8)), 17, fragment=0x2000)),
        ]
        decoder = Decoder()
        for _ in range(2):
            decoder.decode(packetBatch(frames, [0] * 6))
        counts = decoder.counts
        self.assertEqual((counts.packets, counts.ignored, counts.malformed, counts.fragments), (12, 2, 2, 2))
        self.assertEqual((counts.badChecksums, counts.badHeaderChecksums, counts.badTransports), (2, 2, 2))
