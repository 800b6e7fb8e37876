"""Counters, kept apart by who counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.state.origins import LARGEST, Tallies, added, originOf

ME = originOf("me", bytes(16))


class TalliesTests(SynchronousTestCase):
    """Sums and claims."""

    @given(some.lists(some.integers(0, (1 << 63) - 1), max_size=6))
    def test_sum(self, numbers: list[int]) -> None:
        """The sum, or the largest number there is."""
        found = added([np.array([number], np.int64) for number in numbers], 1)
        self.assertEqual(min(sum(numbers), (1 << 63) - 1), int(found[0]))

    def test_total(self) -> None:
        """Each origin adds what it counted, once."""
        tallies = Tallies(2)
        tallies.of((ME, 0))[:] = 3, 4
        tallies.fold([((ME, 0), np.array([2, 5])), ((ME, 1), np.array([LARGEST, 1]))])
        self.assertEqual([3 + LARGEST, 6], tallies.total.tolist())

    def test_claims(self) -> None:
        """What an instance counts now nobody else can know; what it handed over everybody may."""
        tallies = Tallies(1)
        tallies.of((ME, 3))
        self.assertEqual([True, True, False], [tallies.claims(ME, epoch) for epoch in (2, 3, 4)])
        self.assertFalse(tallies.claims(originOf("other", bytes(16)), 0))
