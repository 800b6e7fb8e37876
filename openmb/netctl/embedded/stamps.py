"""
The switch's one clock: every packet that leaves gets a stamp of its own, each later than the one before.
"""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch


class StampMode(enum.Enum):
    """
    Where stamps come from.

    C{ARRIVAL}: the time at which the switch read the packet.  C{CAPTURE}: the stamp that the packet's own record
    carries, for replays.
    """

    ARRIVAL = "arrival"
    CAPTURE = "capture"


class StampClock:
    """
    Gives strictly increasing stamps, in nanoseconds since the epoch.

    @ivar last: the stamp given last.
    """

    def __init__(self, mode: StampMode) -> None:
        self._mode = mode
        self.last = 0

    def wishes(self, batch: PacketBatch, now: int) -> NDArray[np.int64]:
        """C{int64[n]}, the stamps that the packets would have if none were taken."""
        if self._mode is StampMode.CAPTURE:
            return batch.stamps
        return np.full(len(batch), now, np.int64)

    def assign(self, wishes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The stamps that packets get, in this order: as wished, but each at least 1 ns after the one before."""
        if not len(wishes):
            return wishes
        places = np.arange(len(wishes), dtype=np.int64)
        # stamp[i] = max(wish[i], stamp[i-1] + 1), so stamp[i] - i is the running maximum of wish[i] - i
        floor = np.maximum.accumulate(np.maximum(wishes - places, self.last + 1))
        stamps: NDArray[np.int64] = floor + places
        self.last = int(stamps[-1])
        return stamps

    def next(self, now: int) -> int:
        """A stamp for something that the switch itself sends."""
        wish = now if self._mode is StampMode.ARRIVAL else 0
        self.last = max(wish, self.last + 1)
        return self.last
