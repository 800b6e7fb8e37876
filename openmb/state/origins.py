"""
Who counted: additive shared state is kept for each origin, so that what was merged or cloned before is not added again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

#: No count is larger: sums over all instances there may be fit 64 bits.
LARGEST = 1 << 56
_MOST = (1 << 63) - 1
#: An instance (L{originOf}), and how often it had handed its counters over before.
Origin = tuple[bytes, int]


def originOf(name: str, incarnation: bytes) -> bytes:
    """An instance, in 16 bytes; with how often its state was taken away before, an origin."""
    return hashlib.sha256(name.encode() + b"\0" + incarnation).digest()[:16]


def added(many: Iterable[NDArray[np.int64]], size: int) -> NDArray[np.int64]:
    """The sum of counters that are not negative, C{int64[size]}; the largest number there is where it would be more."""
    sums = np.zeros(size, np.int64)
    for counts in many:
        sums += np.minimum(counts, _MOST - sums)
    return sums


class Tallies:
    """
    Counters, kept apart by who counted.

    Within one origin a count only grows, so the larger of two is the later one; different origins have counted
    different things.  Hence the rule of merges: the maximum within an origin, the sum over them.

    @ivar counts: C{int64[size]} by origin.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.counts: dict[Origin, NDArray[np.int64]] = {}

    def of(self, origin: Origin) -> NDArray[np.int64]:
        """What C{origin} has counted, to be counted on."""
        if origin not in self.counts:
            self.counts[origin] = np.zeros(self._size, np.int64)
        return self.counts[origin]

    def fold(self, others: Iterable[tuple[Origin, NDArray[np.int64]]]) -> None:
        """What others know."""
        for origin, counts in others:
            mine = self.of(origin)
            np.maximum(mine, counts, out=mine)

    @property
    def total(self) -> NDArray[np.int64]:
        """Over all origins, C{int64[size]}; never beyond what that holds, whatever others say they counted."""
        return added(self.counts.values(), self._size)

    def claims(self, me: bytes, epoch: int) -> bool:
        """Does this say what C{me} counted in an epoch that it has not handed over?  Nobody else can know that."""
        return any(origin == me and each >= epoch for origin, each in self.counts)

    def __len__(self) -> int:
        return len(self.counts)
