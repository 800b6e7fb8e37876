"""Bytes above a hole: the first copy counts, memory is bounded, and work does not grow with what is held."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.bro.analyzers.ahead import EACH_HELD, MOST_HELD, MOST_RUNS, Ahead
from tests.work import instructions

Segments = list[tuple[int, bytes]]


class AheadTests(SynchronousTestCase):
    """One direction."""

    def test_firstCopyCounts(self) -> None:
        ahead = Ahead()
        for sequence, data in ((10, b"cd"), (8, b"abXX"), (12, b"ef"), (9, b"YYYYYYYgh")):
            ahead.hold(0, sequence, data)
        self.assertEqual([3, b"abcdefYY"], ahead.release(0, 5, 16))
        self.assertEqual([(16, b"gh")], ahead.held(0))

    def test_holes(self) -> None:
        ahead = Ahead()
        ahead.hold(1, 10, b"abc")
        ahead.hold(1, 20, b"def")
        self.assertEqual([5, b"abc", 7, b"d"], ahead.release(1, 5, 21))
        self.assertEqual([(21, b"ef")], ahead.held(1))
        self.assertEqual(2 + EACH_HELD, ahead.weight)
        self.assertEqual([b"ef", 7], ahead.release(1, 21, 30))
        self.assertFalse(ahead.isWaiting)

    def test_passedOver(self) -> None:
        """What lies before the position is forgotten."""
        ahead = Ahead()
        ahead.hold(0, 10, b"abcdef")
        self.assertEqual([b"ef", 4], ahead.release(0, 14, 20))
        self.assertEqual(0, ahead.weight)

    @given(some.lists(some.tuples(some.integers(1, 60), some.binary(min_size=1, max_size=12)), max_size=25))
    def test_anyOrder(self, segments: Segments) -> None:
        """As a byte map has it where the first writer of a place wins."""
        ahead, wanted = Ahead(), dict[int, int]()
        for sequence, data in segments:
            ahead.hold(0, sequence, data)
            for place, octet in enumerate(data, sequence):
                wanted.setdefault(place, octet)
        held = ahead.held(0)
        self.assertEqual(held, Ahead([held, []]).held(0))
        self.assertEqual(ahead.weight, sum(len(data) + EACH_HELD for _, data in held))
        position, found = 1, dict[int, int]()
        for part in ahead.release(0, 1, 100):
            if isinstance(part, bytes):
                found.update(enumerate(part, position))
            position += part if isinstance(part, int) else len(part)
        self.assertEqual((100, wanted), (position, found))
        self.assertFalse(ahead.isWaiting)

    def test_bytesBounded(self) -> None:
        ahead = Ahead()
        for sequence in range(40000, 1, -1):
            ahead.hold(0, sequence, b"x")
        self.assertEqual(MOST_HELD // (1 + EACH_HELD), len(ahead.held(0)))
        self.assertLessEqual(ahead.weight, MOST_HELD)

    def test_runsBounded(self) -> None:
        """More holes than the kernel would follow are lost bytes."""
        ahead = Ahead()
        for sequence in range(2, 2 * MOST_RUNS + 40, 2):
            ahead.hold(0, sequence, b"x")
        self.assertEqual(MOST_RUNS, len(ahead.held(0)))

    def work(self, count: int, order: Callable[[int], int]) -> int:
        """Hold so many bytes, one by one, then release them all."""

        def run() -> None:
            ahead = Ahead()
            for place in range(count):
                ahead.hold(0, 2 + order(place), b"x")
            self.assertEqual([1, b"x" * count], ahead.release(0, 1, count + 2))

        return instructions(run)

    def test_work(self) -> None:
        """Descending, ascending and mixed: twice the segments are twice the work, of a few hundred steps each."""
        for order in (lambda count: lambda place: count - 1 - place), (lambda count: lambda place: place):
            half, whole = (self.work(count, order(count)) for count in (1000, 2000))
            self.assertLess(whole, 2.2 * half)
            self.assertLess(whole / 2000, 400)
