"""Shared records of PRADS that no middlebox wrote."""

from __future__ import annotations

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.plugins.prads.shares import Share, exportShare
from openmb.plugins.prads.statistics import SHOWN, Counter
from openmb.state.origins import LARGEST, originOf
from openmb.state.taxonomy import Cell
from tests.plugins.prads.running import makePrads

BOTH = (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)


def named(name: str) -> PradsMiddlebox:
    """A middlebox of that name."""
    middlebox = makePrads(None)
    middlebox.identify(name, bytes(16))
    return middlebox


def give(middlebox: PradsMiddlebox, share: Share) -> None:
    """Shared state from somewhere, merged."""
    middlebox.prepareShared(1, BOTH)
    for batch in exportShare(share):
        middlebox.putShared(1, batch)
    middlebox.commitShared(1)


class HostileTests(SynchronousTestCase):
    """What is accepted can be handed on."""

    def test_ownCounters(self) -> None:
        """Nobody else knows what this instance is counting; what it handed over may come back."""
        middlebox = named("prads")
        counted = np.ones(SHOWN, np.int64)
        with self.assertRaises(OperationError) as caught:
            give(middlebox, Share({(originOf("prads", bytes(16)), 0): counted}))
        self.assertIs(Refusal.BAD_REQUEST, caught.exception.refusal)
        middlebox.discard(1)
        list(middlebox.takeShared(2, BOTH, 9))
        middlebox.delShared(2)
        give(middlebox, Share({(originOf("prads", bytes(16)), 0): counted}))
        self.assertEqual(counted.tolist(), middlebox.shares.total.tolist())

    def test_extremes(self) -> None:
        """The largest counts and the last id: sums do not wrap, and merges go on when one more is counted."""
        one, two = named("one"), named("two")
        counts = {(bytes([n]) * 16, 0): np.full(SHOWN, LARGEST, np.int64) for n in range(200)}
        give(one, Share(counts, LARGEST))
        one._own.counters[Counter.NUMBER] += 1
        self.assertEqual((1 << 63) - 1, int(one.shares.total.max()))
        two.prepareShared(2, BOTH)
        for step in one.takeShared(2, BOTH, 9):
            for batch in step:
                two.putShared(2, batch)
        self.assertEqual(201, two.commitShared(2))
        with self.assertRaises(OperationError):
            give(two, Share({(bytes(16), 0): np.full(SHOWN, LARGEST + 1, np.int64)}))
