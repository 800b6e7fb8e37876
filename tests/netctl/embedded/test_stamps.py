"""The switch's clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.netctl.embedded.stamps import StampClock, StampMode
from tests.netctl.embedded.frames import batch


class StampTests(SynchronousTestCase):
    """Both modes."""

    def test_arrival(self) -> None:
        """Packets read together follow each other by 1 ns."""
        clock = StampClock(StampMode.ARRIVAL)
        self.assertEqual([500, 501, 502], clock.assign(clock.wishes(batch([b"a"] * 3), 500)).tolist())
        self.assertEqual([503], clock.assign(clock.wishes(batch([b"a"]), 400)).tolist())

    def test_capture(self) -> None:
        """The record's own stamp, unless it was taken."""
        clock = StampClock(StampMode.CAPTURE)
        wishes = clock.wishes(batch([b"a"] * 5, [10, 10, 9, 50, 51]), 999)
        self.assertEqual([10, 11, 12, 50, 51], clock.assign(wishes).tolist())

    @given(st.lists(st.lists(st.integers(0, 40), max_size=6), max_size=5))
    def test_againstRule(self, batches: list[list[int]]) -> None:
        """Vectorised, it is max(stamp, last + 1) one after the other."""
        clock, last = StampClock(StampMode.CAPTURE), 0
        for stamps in batches:
            expected = []
            for stamp in stamps:
                last = max(stamp, last + 1)
                expected.append(last)
            found = clock.assign(clock.wishes(batch([b"a"] * len(stamps), stamps), 0)).tolist()
            self.assertEqual(expected, found)

    def test_own(self) -> None:
        """The switch's own packets: now, or directly after the last of a replay."""
        arrival, capture = StampClock(StampMode.ARRIVAL), StampClock(StampMode.CAPTURE)
        for clock in (arrival, capture):
            clock.assign(clock.wishes(batch([b"a"], [100]), 100))
        self.assertEqual([900, 901], [arrival.next(900), arrival.next(900)])
        self.assertEqual([101, 102], [capture.next(900), capture.next(900)])
