"""
Reassembly of datagrams.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.fragments import FragmentLimits
from openmb.packets.headers import Decoded, Kind, Status
from tests.packets.build import CLIENT6, SERVER6, ethernet, fragment6, icmp, ip4, ip6, tcp, udp

SECOND = 1_000_000_000
BETWEEN6 = (CLIENT6, SERVER6)
BODY = udp(bytes(place * 31 & 0xFF for place in range(2000)))
BODY6 = udp(bytes(place * 31 & 0xFF for place in range(2000)), between=BETWEEN6)


def piece4(body: bytes, start: int, end: int, identification: int = 7, protocol: int = 17) -> bytes:
    """The Ethernet frame of bytes C{start:end} of C{body}; more fragments unless it is the end."""
    flags = start // 8 | (0x2000 if end < len(body) else 0)
    return ethernet(ip4(body[start:end], protocol, fragment=flags, identification=identification))


def piece6(body: bytes, start: int, end: int, before: bytes = b"", following: int = 17) -> bytes:
    fragment = fragment6(body[start:end], following, start, end < len(body))
    return ethernet(ip6(before + fragment, 60 if before else 44), 0x86DD)


def decode(frames: Sequence[bytes], stamps: Sequence[int] | None = None, **limits: int) -> tuple[Decoder, Decoded]:
    decoder = Decoder(limits=FragmentLimits(**limits))
    return decoder, decoder.decode(packetBatch(frames, stamps or range(len(frames))))


class ReassemblyTests(SynchronousTestCase):
    """The completing fragment becomes the datagram; the others stay fragments."""

    def assertWhole(self, decoded: Decoded, place: int, whole: bytes) -> None:
        self.assertEqual(decoded.packets.packet(place), whole)
        kinds = decoded.headers["kind"].tolist()
        self.assertEqual([index for index, kind in enumerate(kinds) if kind != Kind.FRAGMENT], [place])
        row = decoded.headers[place]
        self.assertEqual((row["kind"], row["status"] & ~Status.IPV6), (Kind.UDP, Status.REASSEMBLED))
        self.assertEqual((row["source_port"], row["length"], row["captured"]), (5353, 2000, 2000))
        self.assertEqual(row["stamp"], place)

    def test_four(self) -> None:
        frames = [piece4(BODY, 0, 800), piece4(BODY, 800, 1600), piece4(BODY, 1600, 2008)]
        decoder, decoded = decode(frames)
        self.assertWhole(decoded, 2, ethernet(ip4(BODY, 17)))
        self.assertEqual((decoder.counts.fragments, decoder.counts.reassembled), (3, 1))
        self.assertEqual([decoded.packets.packet(index) for index in (0, 1)], frames[:2])

    def test_six(self) -> None:
        _, decoded = decode([piece6(BODY6, 1600, 2008), piece6(BODY6, 0, 1600)])
        self.assertWhole(decoded, 1, ethernet(ip6(BODY6, 17), 0x86DD))

    def test_sixExtensions(self) -> None:
        """Extension headers before the fragment header stay; the last of them names the transport."""
        before = bytes((44, 0)) + bytes(6)
        _, decoded = decode([piece6(BODY6, 0, 800, before), piece6(BODY6, 800, 2008, before, 6)])
        self.assertWhole(decoded, 1, ethernet(ip6(bytes((17, 0)) + bytes(6) + BODY6, 60), 0x86DD))

    def test_atomic(self) -> None:
        """An IPv6 packet with a fragment header that is all of the datagram."""
        decoder, decoded = decode([piece6(BODY6, 0, len(BODY6))])
        self.assertWhole(decoded, 0, ethernet(ip6(BODY6, 17), 0x86DD))
        self.assertEqual((decoder.counts.fragments, decoder.counts.reassembled), (1, 1))

    def test_acrossBatches(self) -> None:
        decoder = Decoder()
        decoder.decode(packetBatch([piece4(BODY, 0, 800)], [0]))
        decoded = decoder.decode(packetBatch([piece4(BODY, 800, 2008)], [9]))
        self.assertEqual((decoded.headers[0]["kind"], decoded.headers[0]["stamp"]), (Kind.UDP, 9))

    @settings(max_examples=60, deadline=None)
    @given(some.randoms(use_true_random=False), some.sampled_from([4, 6]))
    def test_anyOrderAndOverlap(self, choose: Random, version: int) -> None:
        """Cut anywhere, with overlaps and repeats, in any order: the datagram of equal bytes comes out once."""
        body = BODY if version == 4 else BODY6
        cuts = sorted({0, *(8 * choose.randrange(1, 250) for _ in range(choose.randrange(6)))})
        ends = [*cuts[1:], len(body)]
        overlaps = [max(end, min(len(body) - 8, end + 8 * choose.randrange(20))) for end in ends[:-1]]
        spans = list(zip(cuts, [*overlaps, ends[-1]], strict=True))
        choose.shuffle(spans)
        if len(spans) == 1 and version == 4:
            return
        cut = piece4 if version == 4 else piece6
        decoder, decoded = decode([cut(body, start, end) for start, end in spans])
        self.assertEqual(decoder.counts.reassembled, 1)
        place = int(np.flatnonzero(decoded.headers["kind"] == Kind.UDP)[0])
        whole = ethernet(ip4(body, 17)) if version == 4 else ethernet(ip6(body, 17), 0x86DD)
        self.assertEqual(decoded.packets.packet(place), whole)
        self.assertEqual(decoded.headers[place]["status"] & Status.BAD_CHECKSUM, 0)

    def test_firstCopyWins(self) -> None:
        forged = BODY[:400] + bytes(1200) + BODY[1600:]
        frames = [piece4(BODY, 400, 1600), piece4(forged, 0, 1608), piece4(BODY, 1608, 2008)]
        _, decoded = decode(frames)
        self.assertWhole(decoded, 2, ethernet(ip4(BODY, 17)))

    def test_beyondTheEnd(self) -> None:
        """A fragment beyond the end that the last fragment gave enlarges the datagram."""
        long = BODY + bytes(8)
        frames = [piece4(BODY, 1600, 2008), piece4(long + b"x", 1608, 2016), piece4(BODY, 0, 1600)]
        _, decoded = decode(frames)
        self.assertEqual(decoded.packets.packet(2), ethernet(ip4(long, 17)))

    def test_firstHeader(self) -> None:
        """Options are those of the fragment that arrived first."""
        options = b"\x01" * 8
        first = ethernet(ip4(BODY[1600:], 17, fragment=200, options=options))
        _, decoded = decode([first, piece4(BODY, 0, 1600)])
        self.assertEqual(decoded.packets.packet(1), ethernet(ip4(BODY, 17, options=options)))

    def test_protocolIsNoKey(self) -> None:
        _, decoded = decode([piece4(BODY, 0, 1600), piece4(BODY, 1600, 2008, protocol=6)])
        self.assertEqual(decoded.headers[1]["kind"], Kind.UDP)

    def test_identificationIsKey(self) -> None:
        decoder, decoded = decode([piece4(BODY, 0, 1600), piece4(BODY, 1600, 2008, identification=8)])
        self.assertEqual(decoded.headers["kind"].tolist(), [Kind.FRAGMENT] * 2)
        self.assertEqual(decoder.counts.reassembled, 0)

    def test_linkTypes(self) -> None:
        frames = [frame[14:] for frame in (piece4(BODY, 0, 1600), piece4(BODY, 1600, 2008))]
        decoded = Decoder().decode(packetBatch(frames, [1, 2], LinkType.RAW))
        self.assertEqual(decoded.packets.packet(1), ip4(BODY, 17))

    def test_manyKinds(self) -> None:
        """TCP and ICMP come out of fragments too, among ordinary packets, several in one batch."""
        segment, ping = tcp(bytes(100)), icmp(8, 0, bytes(100))
        frames = [
            piece4(segment, 0, 64, 1, 6),
            ethernet(ip4(tcp(b"between"))),
            piece4(ping, 0, 64, 2, 1),
            piece4(ping, 64, 108, 2, 1),
            piece4(segment, 64, 120, 1, 6),
        ]
        _, decoded = decode(frames)
        kinds = [Kind.FRAGMENT, Kind.TCP, Kind.FRAGMENT, Kind.ICMP, Kind.TCP]
        self.assertEqual(decoded.headers["kind"].tolist(), kinds)
        self.assertEqual(decoded.packets.packet(1), frames[1])
        self.assertEqual(decoded.packets.packet(3), ethernet(ip4(ping, 1, identification=2)))
        self.assertEqual(decoded.packets.packet(4), ethernet(ip4(segment, 6, identification=1)))

    def test_off(self) -> None:
        decoder = Decoder(reassemble=False)
        decoded = decoder.decode(packetBatch([piece6(BODY6, 0, len(BODY6))], [0]))
        self.assertEqual(decoded.headers[0]["kind"], Kind.FRAGMENT)


class LimitTests(SynchronousTestCase):
    """What is held is bounded in number, memory and time; what is given up is counted."""

    def halves(self, *identifications: int) -> list[bytes]:
        return [piece4(BODY, 0, 1600, number) for number in identifications]

    def test_age(self) -> None:
        frames = [piece4(BODY, 0, 1600), piece4(BODY, 1600, 2008)]
        for wait, kind, expired in ((299, Kind.UDP, 0), (300, Kind.FRAGMENT, 1)):
            decoder, decoded = decode(frames, [0, wait * SECOND])
            self.assertEqual((decoded.headers[1]["kind"], decoder.counts.expired), (kind, expired))

    def test_datagrams(self) -> None:
        """The oldest makes room."""
        frames = [*self.halves(1, 2, 3), piece4(BODY, 1600, 2008, 3), piece4(BODY, 1600, 2008, 1)]
        decoder, decoded = decode(frames, datagrams=2)
        self.assertEqual(decoded.headers["kind"].tolist()[3:], [Kind.UDP, Kind.FRAGMENT])
        self.assertEqual((decoder.counts.evicted, decoder.counts.reassembled), (1, 1))

    def test_bytes(self) -> None:
        decoder, _ = decode(self.halves(*range(20)), bytes=10_000)
        self.assertEqual(decoder.counts.evicted, 15)

    def test_memoryIsGivenBack(self) -> None:
        """Completed and evicted datagrams leave nothing behind."""
        frames = [piece4(BODY, *span, number) for number in range(50) for span in ((0, 1600), (1600, 2008))]
        decoder, _ = decode(frames, bytes=4000)
        self.assertEqual((decoder.counts.evicted, decoder.counts.reassembled), (0, 50))

    def test_tooLarge(self) -> None:
        """What no length field could say is refused."""
        frame = ethernet(ip4(bytes(16), 17, fragment=8191))
        decoder, decoded = decode([frame])
        self.assertEqual((decoded.headers[0]["kind"], decoder.counts.refused), (Kind.FRAGMENT, 1))

    def test_tooLargeAsAWhole(self) -> None:
        body = bytes(65530)
        frames = [piece4(body, 0, 65000 // 8 * 8), piece4(body, 65000 // 8 * 8, 65530)]
        decoder, decoded = decode(frames)
        self.assertEqual(decoded.headers["kind"].tolist(), [Kind.FRAGMENT] * 2)
        self.assertEqual((decoder.counts.refused, decoder.counts.reassembled), (1, 0))

    def test_emptyFragment(self) -> None:
        decoder, _ = decode([ethernet(ip4(b"", 17, fragment=0x2000) + bytes(10))])
        self.assertEqual(decoder.counts.refused, 1)

    def test_cutOffFragment(self) -> None:
        """A fragment of which not all was captured is never used."""
        later = piece4(BODY, 1600, 2008)
        decoder = Decoder()
        batch = packetBatch([piece4(BODY, 0, 1600), later[:-1]], [0, 1], wire=[1634, len(later)])
        decoded = decoder.decode(batch)
        self.assertEqual((decoded.headers[1]["kind"], decoder.counts.reassembled), (Kind.FRAGMENT, 0))
