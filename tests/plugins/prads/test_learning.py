"""What another PRADS has logged is known here, and not logged again."""

from __future__ import annotations

import ipaddress
import struct
import subprocess
import sys
from collections import Counter as Tally
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis.strategies import binary, lists, sampled_from
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.packets.headers import Decoded
from openmb.plugins.prads.announcing import octetsOf, textOf
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.state.announcements import Announced
from openmb.state.headers import HeaderFieldList
from tests.packets.build import CLIENT, SERVER, ethernet, ip4, tcp
from tests.plugins.prads.crafting import SECONDS
from tests.plugins.prads.running import (
    EVERYTHING_ON,
    decodeCapture,
    different,
    makePrads,
    ourLines,
    realLines,
    written,
)
from tests.plugins.prads.test_split import EVERYTHING, facts, merge, move
from tests.shared import needSharedFolder

ALL_EVENTS = frozenset(("system-found", "service-found", "card-found"))
SYSTEM = Announced("system-found", 5 * 10**9, b"", ("10.0.0.1", 0, "SYN", 0, "Linux:x"))
SERVICE = Announced("service-found", 5 * 10**9, b"", ("10.0.0.1", 0, 80, 6, 2, "http", "Apache", 60))
CARD = Announced("card-found", 5 * 10**9, b"", ("10.0.0.1", 0, "020000000001", None))


class Pair:
    """
    Two instances with a relay between them.

    @param delay: after so many packets more an announcement is told; None: never.
    @ivar late: facts that one instance found while the other's announcement of the same was under way.
    """

    def __init__(self, test: SynchronousTestCase, delay: int | None) -> None:
        self.folders = [Path(test.mktemp()) for _ in range(2)]
        self.boxes = [makePrads(folder, EVERYTHING_ON) for folder in self.folders]
        self._delay, self._now = delay, 0
        self._waiting: deque[tuple[int, int, Announced]] = deque()
        self.late: set[tuple[Any, ...]] = set()
        self._under: list[set[tuple[Any, ...]]] = [set(), set()]
        for place, box in enumerate(self.boxes):
            box.identify(f"prads{place}", bytes(16))
            box.listen(ALL_EVENTS, lambda events, place=place: self._heard(place, events))  # type: ignore[misc]

    def _heard(self, place: int, events: Any) -> None:
        for event in events:
            about = _about(event)
            if about in self._under[place]:
                self.late.add(about)
            if self._delay is not None:
                self._under[1 - place].add(about)
                self._waiting.append((self._now + self._delay, 1 - place, event))

    def packet(self, place: int, packet: Decoded) -> None:
        """One packet for one of them; what is due is told before the next."""
        self._now += 1
        self.boxes[place].process(packet, None)
        while self._waiting and self._waiting[0][0] <= self._now:
            _, listener, event = self._waiting.popleft()
            self._under[listener].discard(_about(event))
            self.boxes[listener].learn([Announced(event.name, event.stamp, b"", event.values)])

    def facts(self) -> Tally[bytes]:
        """What both have written in the end."""
        move(self.boxes[1], self.boxes[0], EVERYTHING)
        merge(self.boxes[1], self.boxes[0])
        for box in reversed(self.boxes):
            box.finish()
        return Tally(fact for folder in self.folders for fact in facts(written(folder)))


def _about(event: Announced) -> tuple[Any, ...]:
    """What an event is about: the same for both who discover it."""
    return event.name, *event.values[:-1]


class RelayTests(SynchronousTestCase):
    """A part of the flows moves, and each instance is told what the other has logged."""

    def split(self, packets: Decoded, flows: HeaderFieldList, delay: int | None) -> tuple[Pair, Tally[bytes]]:
        """Half of a capture at one instance, the rest divided; the facts that were written."""
        pair = Pair(self, delay)
        matching = flows.matchHeaders(packets.headers).tolist()
        cut = len(packets) // 2
        for place in range(len(packets)):
            if place == cut:
                move(pair.boxes[0], pair.boxes[1], flows)
            here = int(place >= cut and matching[place])
            pair.packet(here, packets.select(slice(place, place + 1)))
        return pair, pair.facts()

    def test_repeats(self) -> None:
        """
        Without a relay what both discover after the split stands twice, once for each.  Told at once nothing does, and
        the union is what one instance writes; told late, only what both found while the telling was under way.
        """
        shared, capture = needSharedFolder(), Path(self.mktemp())
        tool = [sys.executable, str(shared / "tools" / "gen_traffic.py"), "--seed", "3", "--out", str(capture)]
        subprocess.run([*tool, "--packets", "5000", "--flows", "400"], check=True, capture_output=True, timeout=60)
        packets = decodeCapture(capture, 1 << 20)[0]
        folder = Path(self.mktemp())
        single = makePrads(folder, EVERYTHING_ON)
        single.process(packets, None)
        single.finish()
        alike = Tally(facts(written(folder)))
        flows, twice = HeaderFieldList.parse("tcp,tp_dst=80"), dict[int | None, int]()
        for delay in (None, 0, 20, 400):
            pair, found = self.split(packets, flows, delay)
            self.assertEqual(Tally(), alike - found, f"missing with a delay of {delay}")
            twice[delay] = sum((found - alike).values())
            if delay is not None:
                self.assertEqual(len(pair.late), twice[delay], f"with a delay of {delay}")
        self.assertGreater(twice[None], 20)
        self.assertEqual(0, twice[0])
        self.assertTrue(0 < twice[400] < twice[None], twice)


class LearningTests(SynchronousTestCase):
    """One instance that is told things."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.middlebox: PradsMiddlebox = makePrads(self.folder, EVERYTHING_ON)

    def test_told(self) -> None:
        """News once; nothing is written or counted, and it travels with the host."""
        self.assertEqual(3, self.middlebox.learn([SYSTEM, SERVICE, CARD]))
        self.assertEqual(0, self.middlebox.learn([SYSTEM, SERVICE, CARD]))
        self.middlebox.finish()
        self.assertEqual([], written(self.folder).assets[1:])
        self.assertFalse(self.middlebox.shares.total.any())
        (step,) = [step for step in self.middlebox.getPerflow(HeaderFieldList.parse("nw_src=10.0.0.1"), 1, 99) if step]
        other = makePrads(Path(self.mktemp()), EVERYTHING_ON)
        other.prepare(1, EVERYTHING)
        for batch in step:
            other.putPerflow(1, batch)
        other.commit(1)
        self.assertEqual(0, other.learn([SYSTEM, SERVICE, CARD]))

    def test_wholeCapture(self) -> None:
        """Told everything beforehand, an instance has nothing to log, and announces nothing."""
        capture = needSharedFolder() / "traces" / "prads" / "real_small.pcap"
        teller, heard, said = makePrads(None, EVERYTHING_ON), list[Announced](), list[Announced]()
        teller.listen(ALL_EVENTS, heard.extend)
        for packets in decodeCapture(capture, 4096):
            teller.process(packets, None)
        self.assertGreater(len(heard), 20)
        self.middlebox.learn([Announced(each.name, each.stamp, b"", each.values) for each in heard])
        self.middlebox.listen(ALL_EVENTS, said.extend)
        for packets in decodeCapture(capture, 4096):
            self.middlebox.process(packets, None)
        self.middlebox.finish()
        self.assertEqual([], written(self.folder).assets[1:])
        self.assertEqual([], said)

    def test_refused(self) -> None:
        """Events that say nothing sensible: then nothing at all is learned."""
        wrong = (
            Announced("system-found", 0, b"", ("10.0.0", 0, "SYN", 0, "x")),
            Announced("system-found", 0, b"", ("10.0.0.1", 0, "PUSH", 0, "x")),
            Announced("system-found", 0, b"", ("10.0.0.1", 0, "SYN", 1 << 20, "x")),
            Announced("system-found", 0, b"", ("10.0.0.1", 0, "SYN", None, "x")),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 80, 7, 2, "http", "x", 60)),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 65536, 6, 2, "http", "x", 60)),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 80, 6, 3, "http", "x", 60)),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 80, 6, 2, None, "x", 60)),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 80, 6, 2, "http", "x", 256)),
            Announced("card-found", 0, b"", ("10.0.0.1", 0, "02", None)),
            Announced("card-found", 0, b"", ("10.0.0.1", 0, "000000000000", None)),
            Announced("card-found", 0, b"", (None, 0, "020000000001", None)),
            Announced("card-found", 0, b"", ("10.0.0.1", 65536, "020000000001", None)),
            Announced("card-found", 0, b"", ("10.0.0.1",)),
            Announced("card-found", 0, b"", ("10.0.0.1", 0, "020000000001", "v" * 128)),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 80, 6, 2, "n" * 256, "x", 60)),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 80, 6, 2, "http", "x" * 512, 60)),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 80, 6, 2, "http", "\\xff" * 512, 60)),
            Announced("service-found", 0, b"", ("10.0.0.1", 0, 80, 6, 2, "http", "\xff" * 256, 60)),
            Announced("other", 0, b"", ("10.0.0.1",)),
        )
        for event in wrong:
            with self.assertRaises(OperationError) as caught:
                self.middlebox.learn([SERVICE, event])
            self.assertIs(Refusal.BAD_REQUEST, caught.exception.refusal)
        self.assertEqual(3, self.middlebox.learn([SYSTEM, SERVICE, CARD]))

    def test_longest(self) -> None:
        """The longest texts and the latest time that there may be travel with the host."""
        texts = "n" * 255, "\\xff" * 511
        service = Announced("service-found", (1 << 63) - 1, b"", ("10.0.0.1", 7, 80, 6, 2, *texts, 60))
        card = Announced("card-found", 0, b"", ("10.0.0.1", 0, "020000000001", "v" * 127))
        self.assertEqual(2, self.middlebox.learn([service, card]))
        other = makePrads(Path(self.mktemp()), EVERYTHING_ON)
        move(self.middlebox, other, HeaderFieldList.parse("nw_src=10.0.0.1"))
        self.assertEqual(0, other.learn([service, card]))


class TextTests(SynchronousTestCase):
    """Texts of the files are any octets; those of events are UTF-8."""

    @given(binary(max_size=40) | lists(sampled_from([b"\\", b"x", b"5c", b"ff", b"\xff", b"\xc3"])).map(b"".join))
    def test_inverse(self, octets: bytes) -> None:
        """Whatever it is, it comes back, and is at most four times as long."""
        text = textOf(octets)
        self.assertEqual(octets, octetsOf(text))
        self.assertLessEqual(len(text.encode()), 4 * len(octets))

    def test_same(self) -> None:
        """A banner of octets that are no UTF-8 is, once told, known however often it is seen."""
        for version in (b"\xff\xfe\xe9", b"9.2\\xff", b"\\x5c", b"\xff" * 480):
            capture, folder = Path(self.mktemp()), Path(self.mktemp())
            capture.write_bytes(
                _capture([_banner(b"SSH-2.0-OpenSSH_" + version + b"\r\n", 1024 + n) for n in range(250)])
            )
            teller, listener = makePrads(None), makePrads(folder)
            heard, said = list[Announced](), list[Announced]()
            teller.listen(frozenset(("service-found",)), heard.extend)
            listener.listen(frozenset(("service-found",)), said.extend)
            (packets,) = decodeCapture(capture)
            teller.process(packets, None)
            self.assertEqual(1, len(heard), version)
            listener.learn(heard)
            listener.process(packets, None)
            listener.finish()
            self.assertEqual(([], []), (said, [line for line in written(folder).assets if b"SSH" in line]), version)


class VlanTests(SynchronousTestCase):
    """The line of an ARP reply names the VLAN of the packet that was seen last of its host."""

    def test_told(self) -> None:
        """Also where that packet was seen elsewhere: the line is that of one instance, and of the real program."""
        first, reply = Path(self.mktemp()), Path(self.mktemp())
        banner, card = _banner(b"SSH-2.0-OpenSSH_9.2\r\n", 1024, tag=7), _arpReply(tag=9)
        first.write_bytes(_capture([banner]))
        reply.write_bytes(_capture([[card]]))
        whole, single = Path(self.mktemp()), Path(self.mktemp())
        whole.write_bytes(_capture([[*banner, card]]))
        alike = ourLines(whole, single, EVERYTHING_ON).assets
        teller, folder = makePrads(None, EVERYTHING_ON), Path(self.mktemp())
        listener, heard = makePrads(folder, EVERYTHING_ON), list[Announced]()
        teller.listen(ALL_EVENTS, heard.extend)
        teller.process(decodeCapture(first)[0], None)
        listener.learn(heard)
        listener.process(decodeCapture(reply)[0], None)
        listener.finish()
        (line,) = written(folder).assets[1:]
        self.assertIn(line, alike)
        self.assertTrue(line.startswith(b"192.0.2.80,7,0,0,ARP"), line)
        real = realLines(whole, Path(self.mktemp()), "-M", "-A")
        self.assertEqual("", different(alike, real.assets))


def _tagged(frame: bytes, tag: int | None) -> bytes:
    return frame if tag is None else frame[:12] + struct.pack("!HH", 0x8100, tag) + frame[12:]


def _banner(text: bytes, port: int, tag: int | None = None) -> list[bytes]:
    """A client, and what the server says to it."""
    asks = ip4(tcp(b"\0" * 4, ports=(port, 22)))
    back = SERVER, CLIENT
    says = ip4(tcp(text, ports=(22, port), between=back), between=back)
    return [_tagged(ethernet(each), tag) for each in (asks, says)]


def _arpReply(tag: int) -> bytes:
    about = bytes.fromhex("020000000001") + ipaddress.ip_address(SERVER).packed
    said = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + about + bytes(6) + ipaddress.ip_address(CLIENT).packed
    return _tagged(ethernet(said, 0x0806), tag)


def _capture(frames: Sequence[Sequence[bytes]]) -> bytes:
    records = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    flat = [each for some in frames for each in some]
    records += [
        struct.pack("<IIII", SECONDS + place // 50, 0, len(each), len(each)) + each for place, each in enumerate(flat)
    ]
    return b"".join(records)
