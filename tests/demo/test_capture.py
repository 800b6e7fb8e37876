"""The demonstration's capture is what its page says, and what the demonstration needs."""

from __future__ import annotations

import functools
from importlib.resources import as_file, files

from twisted.trial.unittest import SynchronousTestCase

from openmb.demo.load import FALLEN, RISEN
from tests.demo.facts import Facts, askedAt, openAt, readFacts


@functools.cache
def demoFacts() -> Facts:
    """What is in the capture that the package carries, read once."""
    with as_file(files("openmb.demo") / "traces" / "demo.pcap") as path:
        return readFacts(path)


class DemoCaptureTests(SynchronousTestCase):
    """The capture, read independently of our own decoder."""

    def setUp(self) -> None:
        self.facts = demoFacts()

    def test_page(self) -> None:
        """Packets, flows and length are those that the page beside the capture states."""
        page = (files("openmb.demo") / "traces" / "README.md").read_text(encoding="utf-8")
        for stated in (f"{self.facts.packets:,}", f"{len(self.facts.flows):,} (by", f"{self._seconds():.1f} s"):
            self.assertIn(stated, page)

    def test_size(self) -> None:
        """It is small enough to ship and long enough to watch."""
        size = len((files("openmb.demo") / "traces" / "demo.pcap").read_bytes())
        self.assertLessEqual(size, 6_000_000)
        self.assertGreaterEqual(len(self.facts.flows), 3000)
        self.assertTrue(58 <= self._seconds() <= 62)

    def test_checksums(self) -> None:
        """Every checksum is right, so that nothing is lost to an engine that checks."""
        self.assertEqual(self.facts.badChecksums, 0)

    def test_shares(self) -> None:
        """Both servers have about the same share."""
        first, second = self.facts.packetsOf["10"], self.facts.packetsOf["20"]
        self.assertLess(abs(first - second), 0.05 * (first + second))

    def test_variety(self) -> None:
        """Every kind of traffic is there."""
        kinds = {(flow[0], flow[4]) for flow in self.facts.flows}
        for kind in ((6, 80), (6, 8080), (6, 22), (6, 53), (17, 53), (6, 443), (1, 0), (58, 0)):
            self.assertIn(kind, kinds)
        self.assertGreater(self.facts.fragments, 100)
        self.assertGreater(self.facts.resets, 100)
        self.assertGreater(self.facts.protocols["IPv6 TCP"], 500)

    def test_rise(self) -> None:
        """The load in the middle is more than twice that of the first ten seconds."""
        early = sum(self.facts.perSecond[second] for second in range(10))
        middle = sum(self.facts.perSecond[second] for second in range(25, 35))
        self.assertGreater(middle, 2 * early)

    def test_openRequests(self) -> None:
        """Whenever state is moved, requests are in flight and half sent at both servers."""
        moments = [quarter / 4 for quarter in range(20 * 4, 40 * 4 + 1)]
        for moment, pending, half in openAt(self.facts, moments):
            for server in ("10", "20"):
                self.assertGreaterEqual(pending[server], 17, f"in flight at {moment} s")
                self.assertGreaterEqual(half[server], 10, f"half sent at {moment} s")

    def test_openQueries(self) -> None:
        """On average five DNS queries wait meanwhile, and nearly always one."""
        moments = [quarter / 4 for quarter in range(20 * 4, 40 * 4 + 1)]
        counts = [pending for _, pending in askedAt(self.facts, moments)]
        for server in ("10", "20"):
            waiting = [pending[server] for pending in counts]
            self.assertGreaterEqual(sum(waiting), 5 * len(moments), server)
            self.assertGreater(sum(number > 0 for number in waiting), 0.9 * len(moments), server)

    def test_load(self) -> None:
        """Between the moments when the load counts as risen and as fallen there is time for both moves."""
        load = sum(self.facts.perSecond[second] for second in range(3)) / 3
        risen = fallen = 0
        for second in range(3, int(self._seconds())):
            load += (self.facts.perSecond[second] - self.facts.perSecond[second - 3]) / 3
            risen = risen or second * (load >= RISEN)
            fallen = fallen or second * (risen > 0 and load < FALLEN)
        self.assertTrue(risen >= 20 and risen + 12 <= fallen <= 42, (risen, fallen))

    def _seconds(self) -> float:
        return self.facts.last - self.facts.first
