"""
The link layer: where the IP header begins, for every link type and encapsulation.
"""

from __future__ import annotations

import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind
from tests.packets.build import CLIENT, CLIENT6, MACS, SERVER6, address, ethernet, ip4, ip6, tcp

FOUR = ip4(tcp(b"four"))
SIX = ip6(tcp(b"six", between=(CLIENT6, SERVER6)))
NONE = 0xFFFF


def header(frame: bytes, link: int = LinkType.ETHERNET) -> Any:
    return Decoder().decode(packetBatch([frame], [5], link)).headers[0]


class LinkTests(SynchronousTestCase):
    """Both IP versions are found behind every link header."""

    def assertFound(self, front: bytes, link: int = LinkType.ETHERNET, inner: bytes = FOUR) -> Any:
        row = header(front + inner, link)
        self.assertEqual((row["kind"], row["network"]), (Kind.TCP, len(front)))
        low = address(CLIENT if inner is FOUR else CLIENT6)
        self.assertEqual((row["source_high"], row["source_low"]), low)
        return row

    def test_ethernet(self) -> None:
        row = self.assertFound(ethernet(b""))
        self.assertEqual((row["vlan"], row["inner_vlan"], row["stamp"]), (NONE, NONE, 5))
        self.assertFound(ethernet(b"", 0x86DD), inner=SIX)

    def test_versionDecides(self) -> None:
        """The EtherType of the other version does no harm: the version nibble decides."""
        self.assertFound(ethernet(b"", 0x86DD))

    def test_vlan(self) -> None:
        for kind in (0x8100, 0x88A8, 0x9100):
            row = self.assertFound(ethernet(struct.pack("!HH", 0xE123, 0x0800), kind))
            self.assertEqual((row["vlan"], row["inner_vlan"]), (0x123, NONE))

    def test_nestedVlan(self) -> None:
        row = self.assertFound(ethernet(struct.pack("!HHHH", 100, 0x8100, 200, 0x86DD), 0x88A8), inner=SIX)
        self.assertEqual((row["vlan"], row["inner_vlan"]), (100, 200))
        for inner in (0x88A8, 0x9100):
            frame = ethernet(struct.pack("!HHHH", 100, inner, 200, 0x0800) + FOUR, 0x8100)
            self.assertEqual(header(frame)["kind"], Kind.IGNORED)

    def test_vlanZero(self) -> None:
        row = self.assertFound(ethernet(struct.pack("!HH", 0xE000, 0x0800), 0x8100))
        self.assertEqual(row["vlan"], 0)

    def test_mpls(self) -> None:
        labels = bytes.fromhex("00010040 00020140")
        self.assertFound(ethernet(labels, 0x8847))
        self.assertEqual(header(ethernet(labels + FOUR, 0x8848))["kind"], Kind.IGNORED)

    def test_pppoe(self) -> None:
        session = bytes.fromhex("1100 0001")
        self.assertFound(ethernet(session + struct.pack("!HH", len(FOUR) + 2, 0x0021), 0x8864))
        self.assertFound(ethernet(session + struct.pack("!HH", len(SIX) + 2, 0x0057), 0x8864), inner=SIX)
        row = header(ethernet(session + struct.pack("!HH", 10, 0xC021) + bytes(8), 0x8864))
        self.assertEqual(row["kind"], Kind.IGNORED)

    def test_snap(self) -> None:
        front = MACS + struct.pack("!H", len(FOUR) + 8) + bytes.fromhex("aaaa03 000000 0800")
        self.assertFound(front)

    def test_otherSnap(self) -> None:
        """SNAP of another organisation, and LLC without SNAP, are not IP."""
        for llc in ("aaaa03 00000c 2000", "424203 000000 0800"):
            row = header(MACS + struct.pack("!H", 38) + bytes.fromhex(llc) + bytes(30))
            self.assertEqual(row["kind"], Kind.IGNORED)

    def test_fabricPath(self) -> None:
        self.assertFound(MACS + bytes.fromhex("8903 0001") + ethernet(b""))

    def test_backbone(self) -> None:
        self.assertFound(ethernet(bytes.fromhex("00000001") + ethernet(b""), 0x88E7))

    def test_vnTag(self) -> None:
        for kind in (0x8100, 0x88A8, 0x9100):
            self.assertFound(ethernet(struct.pack("!IHHH", 0x00010002, kind, 7, 0x0800), 0x8926))
        self.assertEqual(header(ethernet(bytes.fromhex("00010002 0800") + FOUR, 0x8926))["kind"], Kind.IGNORED)

    def test_arp(self) -> None:
        self.assertEqual(header(ethernet(bytes(28), 0x0806))["kind"], Kind.IGNORED)

    def test_null(self) -> None:
        for family in (2, 24, 28, 30):
            inner = FOUR if family == 2 else SIX
            self.assertFound(struct.pack("<I", family), LinkType.NULL, inner)

    def test_nullOtherFamily(self) -> None:
        for front in ("07000000", "00000007", "00000002", "0000001e", "02010000", "02000001", "00010002"):
            self.assertEqual(header(bytes.fromhex(front) + FOUR, LinkType.NULL)["kind"], Kind.IGNORED)

    def test_raw(self) -> None:
        self.assertFound(b"", LinkType.RAW)
        self.assertFound(b"", LinkType.RAW, SIX)

    def test_unknownLinkType(self) -> None:
        """A link type that nobody knows is taken for raw IP."""
        self.assertFound(b"", 104)
        self.assertEqual(header(b"\x0f\x00\x08\x00" + FOUR, 104)["kind"], Kind.IGNORED)

    def test_pointToPoint(self) -> None:
        for link in (LinkType.PPP, LinkType.PPP_SERIAL):
            self.assertFound(bytes.fromhex("ff030021"), link)
            self.assertFound(bytes.fromhex("ff030057"), link, SIX)
            self.assertFound(bytes.fromhex("ff030281 00010140"), link)
            self.assertEqual(header(bytes.fromhex("ff03c021") + FOUR, link)["kind"], Kind.IGNORED)
        self.assertFound(bytes.fromhex("0021"), LinkType.PPP)
        self.assertFound(bytes.fromhex("0f000021"), LinkType.PPP_SERIAL)

    def test_fddi(self) -> None:
        self.assertFound(bytes(21), LinkType.FDDI)

    def test_netfilterLog(self) -> None:
        packet = struct.pack("<HH", len(FOUR) + 4, 9)
        for before in (b"", struct.pack("<HH4x", 8, 1), struct.pack("<HH4x", 5, 10)):
            self.assertFound(b"\x02\0\0\0" + before + packet, LinkType.NFLOG)
        self.assertFound(b"\x0a\0\0\0" + packet, LinkType.NFLOG, SIX)
        for front in (b"\x02\x01\0\0", b"\x03\0\0\0", b"\x02\0\0\0" + struct.pack("<HH", 3, 1)):
            self.assertEqual(header(front + packet + FOUR, LinkType.NFLOG)["kind"], Kind.IGNORED)
        self.assertEqual(header(b"\x02\0\0\0" + struct.pack("<HH4x", 8, 1), LinkType.NFLOG)["kind"], Kind.MALFORMED)

    def test_wireless(self) -> None:
        """Data frames, with four addresses and quality of service too; the others hold nothing."""
        snap = bytes.fromhex("aaaa03000000 0800")
        radiotap = bytes.fromhex("00000900 0000000000")
        fronts = {
            "data": bytes((0x08, 0x02)) + bytes(22),
            "between stations": bytes((0x08, 0x00)) + bytes(22),
            "four addresses": bytes((0x08, 0x03)) + bytes(28),
            "quality": bytes((0x88, 0x01)) + bytes(24),
            "aggregate": bytes((0x88, 0x01)) + bytes(22) + b"\x80\0" + bytes(12) + struct.pack("!H", len(FOUR) + 8),
        }
        for front in fronts.values():
            self.assertFound(front + snap, LinkType.IEEE802_11)
            self.assertFound(radiotap + front + snap, LinkType.IEEE802_11_RADIOTAP)
        silent = [
            bytes((0x80, 0x00)) + bytes(22),  # management
            bytes((0xC4, 0x00)) + bytes(22),  # control
            bytes((0x48, 0x00)) + bytes(22),  # no data
            bytes((0x88, 0x40)) + bytes(24),  # encrypted
        ]
        for front in silent:
            self.assertEqual(header(front + snap + FOUR, LinkType.IEEE802_11)["kind"], Kind.IGNORED, front.hex())

    def test_lengthFields(self) -> None:
        """The length fields of PPPoE and 802.3 end the packet."""
        session = bytes.fromhex("1100 0001")
        for cut in range(len(FOUR)):
            pppoe = ethernet(session + struct.pack("!HH", cut + 2, 0x0021), 0x8864)
            plain = MACS + struct.pack("!H", cut + 8) + bytes.fromhex("aaaa03 000000 0800")
            for front in (pppoe, plain):
                row = header(front + FOUR)
                if cut < 20:
                    self.assertEqual(row["kind"], Kind.MALFORMED, cut)
                else:
                    self.assertEqual((row["kind"], row["captured"]), (Kind.TCP, cut - (40 if cut >= 40 else 20)), cut)

    def test_lengthTooLarge(self) -> None:
        """A frame shorter than its 802.3 length is cut off; lengths from 1501 to 1535 are nothing."""
        snap = bytes.fromhex("aaaa03 000000 0800")
        self.assertEqual(header(MACS + struct.pack("!H", len(FOUR) + 9) + snap + FOUR)["kind"], Kind.MALFORMED)
        self.assertEqual(header(MACS + struct.pack("!H", 1501) + snap + FOUR)["kind"], Kind.IGNORED)

    def test_sll(self) -> None:
        front = bytes.fromhex("0000 0001 0006 020000000001 0000")
        self.assertFound(front + b"\x08\x00", LinkType.LINUX_SLL)
        self.assertFound(front + b"\x86\xdd", LinkType.LINUX_SLL, SIX)
        self.assertEqual(header(front + b"\x08\x06" + FOUR, LinkType.LINUX_SLL)["kind"], Kind.IGNORED)

    def test_sll2(self) -> None:
        rest = bytes.fromhex("0000 00000003 0001 00 06 0200000000010000")
        self.assertFound(b"\x08\x00" + rest, LinkType.LINUX_SLL2)
        self.assertFound(b"\x86\xdd" + rest, LinkType.LINUX_SLL2, SIX)
        self.assertEqual(header(b"\x08\x06" + rest + FOUR, LinkType.LINUX_SLL2)["kind"], Kind.IGNORED)

    def test_cutOff(self) -> None:
        """A frame that ends anywhere before the end of its IP header is malformed, whatever stands in front."""
        fronts = [
            (LinkType.ETHERNET, ethernet(b"")),
            (LinkType.ETHERNET, ethernet(struct.pack("!HHHH", 100, 0x8100, 200, 0x0800), 0x88A8)),
            (LinkType.ETHERNET, ethernet(bytes.fromhex("00010040 00020140"), 0x8847)),
            (LinkType.ETHERNET, ethernet(bytes.fromhex("1100000100520021"), 0x8864)),
            (LinkType.ETHERNET, MACS + struct.pack("!H", 52) + bytes.fromhex("aaaa030000000800")),
            (LinkType.ETHERNET, MACS + bytes.fromhex("8903 0001") + ethernet(b"")),
            (LinkType.NULL, b"\x02\0\0\0"),
            (LinkType.PPP, bytes.fromhex("ff030021")),
            (LinkType.PPP_SERIAL, bytes.fromhex("ff030021")),
            (LinkType.FDDI, bytes(21)),
            (LinkType.NFLOG, bytes.fromhex("02000000 18000900")),
            (LinkType.IEEE802_11, bytes((0x08, 0x02)) + bytes(22) + bytes.fromhex("aaaa03000000 0800")),
            (
                LinkType.IEEE802_11_RADIOTAP,
                bytes.fromhex("00000800 00000000")
                + bytes((0x08, 0x02))
                + bytes(22)
                + bytes.fromhex("aaaa03000000 0800"),
            ),
            (LinkType.RAW, b""),
            (LinkType.LINUX_SLL, bytes(14) + b"\x08\x00"),
            (LinkType.LINUX_SLL2, b"\x08\x00" + bytes(18)),
        ]
        for link, front in fronts:
            for length in range(len(front) + 20):
                row = header((front + FOUR)[:length], link)
                self.assertEqual(row["kind"], Kind.MALFORMED, (link, front.hex(), length))
