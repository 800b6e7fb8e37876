"""
What is inside tunnels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind, Status
from tests.packets.build import CLIENT6, SERVER6, address, ethernet, fragment6, ip4, ip6, tcp, udp

ENDS = ("198.51.100.1", "198.51.100.2")
BETWEEN6 = (CLIENT6, SERVER6)
FOUR = ip4(tcp(b"inside"))
SIX = ip6(udp(b"inside", between=BETWEEN6), 17)
FRAME = ethernet(bytes.fromhex("000586dd") + SIX, 0x8100)


def decodeOne(frame: bytes, checksums: bool = True, wire: int | None = None) -> Any:
    batch = packetBatch([frame], [5], wire=None if wire is None else [wire])
    return Decoder(checksums).decode(batch).headers[0]


def through(inner: bytes, protocol: int) -> bytes:
    return ethernet(ip4(inner, protocol, between=ENDS))


def gre(header: str, inner: bytes) -> bytes:
    return through(bytes.fromhex(header) + inner, 47)


class TunnelTests(SynchronousTestCase):
    """The inner packet is what counts, where Zeek would look inside; else the packet is one of the tunnel's ends."""

    def assertInside(self, frame: bytes, inner: bytes, **more: int) -> None:
        """C{frame} says what C{inner}, an IP packet, says in a frame of its own."""
        plain = decodeOne(ethernet(inner, 0x86DD if inner[0] >> 4 == 6 else 0x0800)).copy()
        shift = frame.index(inner) - 14
        for name in ("network", "transport", "payload"):
            plain[name] += shift
        plain["status"] |= Status.TUNNELLED
        plain["outer"] = more.pop("outer", 14)
        for name, value in more.items():
            plain[name] = value
        self.assertEqual(decodeOne(frame), plain)

    def assertOutside(self, frame: bytes, protocol: int) -> None:
        row = decodeOne(frame)
        self.assertEqual((row["kind"], row["protocol"]), (Kind.OTHER, protocol))
        self.assertEqual((row["status"] & Status.TUNNELLED, row["outer"]), (0, 0))
        self.assertEqual((row["source_high"], row["source_low"]), address(ENDS[0]))

    def test_internetInInternet(self) -> None:
        for inner, protocol in ((FOUR, 4), (SIX, 41)):
            self.assertInside(through(inner, protocol), inner)
            self.assertInside(ethernet(ip6(inner, protocol), 0x86DD), inner)

    def test_innerChecksums(self) -> None:
        """Those of the packet inside are verified, its header's too."""
        row = decodeOne(through(ip4(tcp(b"inside", spoil=1)), 4))
        self.assertEqual((row["kind"], row["status"]), (Kind.TCP, Status.TUNNELLED | Status.BAD_CHECKSUM))
        self.assertEqual(decodeOne(through(ip4(tcp(), spoil=1), 4))["kind"], Kind.MALFORMED)

    def test_generic(self) -> None:
        """GRE with any of its optional fields; what the type says of IP does not matter, as with Zeek."""
        for inner, kind in ((FOUR, "0800"), (SIX, "86dd"), (SIX, "0800"), (FOUR, "1234")):
            self.assertInside(gre("0000" + kind, inner), inner)
        self.assertInside(gre("b0000800" + "00" * 12, FOUR + b"behind"), FOUR)

    def test_genericFrames(self) -> None:
        """Bridged and mirrored frames; their VLAN is not that of the packet."""
        heads = ("00006558", "000088be", "100088be" + "00" * 12, "000022eb" + "00" * 12)
        for head in (*heads, "000022eb" + "00" * 11 + "01" + "00" * 8):
            self.assertInside(gre(head, FRAME), SIX)

    def test_pointToPoint(self) -> None:
        """Version 1 of GRE, with PPP."""
        self.assertInside(gre("3081880b" + "00" * 12 + "ff030021", FOUR), FOUR)
        self.assertInside(gre("3001880b" + "00" * 8 + "ff030057", SIX), SIX)

    def test_nested(self) -> None:
        """Two tunnels inside each other are followed; what a third one holds is not looked at."""
        twice = ip4(ip6(FOUR, 4), 41, between=ENDS)
        self.assertInside(ethernet(twice), FOUR)
        row = decodeOne(through(twice, 4))
        self.assertEqual((row["kind"], row["protocol"], row["outer"]), (Kind.OTHER, 4, 14))
        self.assertEqual(row["status"], Status.IPV6 | Status.TUNNELLED)

    def test_notFollowed(self) -> None:
        """Wrong versions, lengths that do not fit, flags that Zeek does not know."""
        for inner, protocol in ((SIX, 4), (FOUR, 41), (FOUR + b"x", 4), (FOUR[:-1], 4), (SIX[:39], 41), (b"", 4)):
            self.assertOutside(through(inner, protocol), protocol)
        for head in ("40000800", "00080800", "00020800", "00010800", "0001880b0000c021"):
            self.assertOutside(gre(head, FOUR), 47)
        for inner in (b"", FOUR[:19], FOUR[:-1], b"\x55" * 40):
            self.assertOutside(gre("00000800", inner), 47)
        self.assertOutside(gre("00006558", FRAME[:14]), 47)
        self.assertOutside(through(b"\0\0", 47), 47)

    def test_cutOff(self) -> None:
        """Wherever the capture ends, an inner packet that is not all there is not looked at."""
        for frame in (through(SIX, 41), gre("00000800", FOUR), gre("100088be" + "00" * 12, FRAME)):
            for size in range(34, len(frame)):
                row = decodeOne(frame[:size], wire=len(frame))
                self.assertEqual((row["kind"], row["status"]), (Kind.OTHER, Status.TRUNCATED), size)

    def test_farAway(self) -> None:
        """Behind more VLAN tags than the entry can say, nothing is followed."""
        tagged = MANY_TAGS + b"\x08\x00" + ip4(FOUR, 4, between=ENDS)
        self.assertOutside(ethernet(tagged, 0x8100), 4)


MANY_TAGS = bytes.fromhex("00058100") * 70 + b"\0\5"


class FragmentsTests(SynchronousTestCase):
    """Fragments outside and inside tunnels."""

    def decode(self, frames: Sequence[bytes]) -> Any:
        decoder = Decoder()
        rows = [decoder.decode(packetBatch([frame], [n])) for n, frame in enumerate(frames)]
        together = Decoder().decode(packetBatch(frames, list(range(len(frames)))))
        for one, other in zip(rows, together.headers, strict=True):
            self.assertEqual(one.headers[0], other)
        return together

    def assertInside(self, row: Any) -> None:
        self.assertEqual((row["kind"], row["length"], row["captured"]), (Kind.UDP, 600, 600))
        self.assertEqual(row["status"], Status.TUNNELLED | Status.REASSEMBLED | Status.IPV6)
        self.assertEqual((row["source_high"], row["source_low"]), address(CLIENT6))

    def inner(self) -> tuple[bytes, bytes, bytes]:
        body = udp(bytes(600), between=BETWEEN6)
        first, second = (fragment6(body[a:b], 17, a, b < 608) for a, b in ((0, 400), (400, 608)))
        return ip6(body, 17), ip6(first, 44), ip6(second, 44)

    def outer(self, inner: bytes, identification: int) -> list[bytes]:
        pieces = ((inner[:200], 0x2000), (inner[200:], 25))
        parts = (ip4(*(part, 41), fragment=place, identification=identification) for part, place in pieces)
        return [ethernet(part) for part in parts]

    def test_outside(self) -> None:
        """A tunnel's packet that was fragmented on its way."""
        decoded = self.decode(self.outer(self.inner()[0], 3))
        self.assertEqual(decoded.headers["kind"].tolist(), [Kind.FRAGMENT, Kind.UDP])
        self.assertInside(decoded.headers[1])

    def test_inside(self) -> None:
        """Fragments that were sent through a tunnel: the datagram is whole, without the tunnel's headers."""
        whole, *pieces = self.inner()
        decoded = self.decode([through(piece, 41) for piece in pieces])
        self.assertEqual(decoded.headers["kind"].tolist(), [Kind.FRAGMENT, Kind.UDP])
        self.assertInside(decoded.headers[1])
        self.assertEqual((decoded.headers[1]["outer"], decoded.packets.packet(1)[14:]), (14, whole))

    def test_both(self) -> None:
        """Fragments inside, and fragments of the packets that carry them, in any order."""
        _, first, second = self.inner()
        for order in itertools.permutations([*self.outer(first, 3), *self.outer(second, 4)]):
            self.assertInside(self.decode(order).headers[3])
        for order in itertools.permutations([*self.outer(first, 3), through(second, 41)]):
            self.assertInside(self.decode(order).headers[2])
