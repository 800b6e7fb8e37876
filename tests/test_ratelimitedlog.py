"""Log lines that peers cause are bounded, whatever the peers do, and nothing is hidden."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from openmb.ratelimitedlog import INTERVAL, LIMIT, PEERS, TOTAL, RateLimitedLog


class RateLimitedLogTests(SynchronousTestCase):
    """On a clock of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.levels: list[object] = []
        self.log = RateLimitedLog(Logger("test", observer=cast(ILogObserver, self.observe)), self.clock.seconds)

    def observe(self, event: dict[str, Any]) -> None:
        self.lines.append(formatEvent(event))
        self.levels.append(event["log_level"])

    def test_fewLines(self) -> None:
        """As if it were not there."""
        for number in range(LIMIT):
            self.log.warn("dropping {peer}: line {number}", "a", peer="a:1", number=number)
        self.clock.advance(INTERVAL)
        self.log.timePassed()
        self.assertEqual([f"dropping a:1: line {number}" for number in range(LIMIT)], self.lines)

    def test_flood(self) -> None:
        """A million lines of one peer are a few, and one that says how many there were, with the last of them."""
        for number in range(1_000_000):
            self.log.warn("dropping {peer}", "a", peer=number)
        self.assertEqual(LIMIT, len(self.lines))
        self.clock.advance(INTERVAL - 0.5)
        self.log.timePassed()
        self.assertEqual((LIMIT, 999980), (len(self.lines), self.log.unwritten))
        self.clock.advance(0.5)
        self.log.timePassed()
        self.assertEqual(["… and 999980 more in the last 10 s, the last: dropping 999999"], self.lines[LIMIT:])

    def test_again(self) -> None:
        """After the summary lines are written again; a quiet log sums up at the next line, however late that comes."""
        for _ in range(LIMIT + 1):
            self.log.info("x", "a")
        self.clock.advance(60)
        self.log.info("x", "a")
        self.assertEqual(["… and 1 more in the last 60 s, the last: x", "x"], self.lines[LIMIT:])
        self.assertEqual({LogLevel.info}, set(self.levels))

    def test_othersAreHeard(self) -> None:
        """Who floods does not silence the first lines of others, nor lines of another sort."""
        for peer in map(str, range(TOTAL)):
            for _ in range(LIMIT):
                self.log.warn("x", peer)
        before = len(self.lines)
        self.log.warn("x", "somebody else")
        self.log.error("y", "0")
        self.assertEqual(2, len(self.lines) - before)

    def test_flushed(self) -> None:
        """At the end nothing stays uncounted."""
        for _ in range(LIMIT + 5):
            self.log.warn("x")
        self.log.flush()
        self.assertEqual("… and 5 more in the last 0 s, the last: x", self.lines[-1])

    @given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 3)), max_size=300))
    def test_bound(self, causes: list[tuple[int, float]]) -> None:
        """Lines of one sort within any interval, and what is remembered, have a bound; each event is counted once."""
        self.setUp()
        for peer, later in causes:
            self.clock.advance(later)
            for _ in range(10):
                self.log.warn("x", str(peer))
        self.log.flush()
        told = [int(line.split()[2]) for line in self.lines if line.startswith("…")]
        self.assertEqual(10 * len(causes), len(self.lines) - len(told) + sum(told))
        spans = sum(later for _, later in causes) / INTERVAL + 1
        self.assertLessEqual(len(self.lines), spans * (TOTAL + PEERS + 1))
