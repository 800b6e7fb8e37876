"""The time of day jumps by a day in both directions: stamps go on, and nothing expires or hangs for it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.clock import SLEW, SteadyDay
from openmb.netctl.embedded.stamps import StampClock, StampMode
from openmb.packets.batch import packetBatch

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
BEGIN = 1_700_000_000 * SECOND


class SteadyDayTests(SynchronousTestCase):
    """On injected clocks."""

    def setUp(self) -> None:
        self.wall, self.real = BEGIN, 5 * SECOND
        self.day = SteadyDay(lambda: self.wall, lambda: self.real)

    def passes(self, nanoseconds: int) -> int:
        """Let time pass on both clocks; the time that is told."""
        self.wall += nanoseconds
        self.real += nanoseconds
        return self.day()

    def test_undisturbed(self) -> None:
        self.assertEqual(BEGIN + SECOND, self.passes(SECOND))
        self.assertEqual(BEGIN + 3 * DAY + SECOND, self.passes(3 * DAY))

    def test_jumps(self) -> None:
        """A day forth and two back: a second later it is about a second later, and never earlier."""
        for jump in (DAY, -2 * DAY, DAY):
            before = self.passes(0)
            self.wall += jump
            self.assertEqual(before, self.passes(0))
            after = self.passes(SECOND)
            self.assertLessEqual(abs(after - before - SECOND), SLEW * SECOND)

    def test_comesCloser(self) -> None:
        """A correction of some milliseconds is made good in as many seconds times two."""
        self.wall += 4_000_000
        for _ in range(10):
            self.passes(SECOND)
        self.assertEqual(self.wall, self.passes(0))

    def test_stamps(self) -> None:
        """What the switch gives: increasing, and without a gap."""
        clock, stamps = StampClock(StampMode.ARRIVAL), []
        for jump in (0, DAY, -2 * DAY, 0):
            self.wall += jump
            self.passes(SECOND // 10)
            stamps += clock.assign(clock.wishes(packetBatch([b"x"] * 2, [0, 0]), self.day())).tolist()
        self.assertEqual(sorted(set(stamps)), stamps)
        self.assertLess(stamps[-1] - stamps[0], SECOND)
