"""
A queue of packets in order of arrival, with the merge by stamp that the hand-over needs.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from openmb.packets.batch import PacketBatch, joinBatches


class PacketQueue:
    """
    Packets that wait; what one costs does not depend on how many there are.

    The sort key of a packet is the largest stamp so far, so that taking by stamp never reorders a sequence in itself.

    @ivar bytes: captured bytes that wait.
    @ivar reached: the largest stamp that this sequence is known to have reached.
    """

    def __init__(self) -> None:
        self._batches: deque[tuple[float, PacketBatch]] = deque()
        self._count = 0
        self.bytes = 0
        self.reached = -1

    def __len__(self) -> int:
        return self._count

    def append(self, batch: PacketBatch, now: float) -> None:
        """C{batch} arrived at time C{now} (seconds)."""
        if not len(batch):
            return
        self._batches.append((now, batch))
        self._count += len(batch)
        self.bytes += int(batch.lengths.sum())
        self.reached = max(self.reached, int(batch.stamps.max()))

    def passed(self, stamp: int) -> None:
        """A marker shows that nothing with a stamp up to C{stamp} will come any more."""
        self.reached = max(self.reached, stamp)

    def longest(self, now: float) -> float:
        """How long the oldest packet has waited, in seconds; 0 when nothing waits."""
        return now - self._batches[0][0] if self._batches else 0.0

    def takeUpTo(self, stamp: int | None) -> PacketBatch | None:
        """Take every packet whose sort key is at most C{stamp} (None: all); None when there is none."""
        if stamp is None:
            return self.drain()
        taken: list[PacketBatch] = []
        while self._batches:
            now, batch = self._batches[0]
            count = int(np.searchsorted(np.maximum.accumulate(batch.stamps), stamp, side="right"))
            if count:
                taken.append(batch.select(slice(0, count)))
            if count < len(batch):
                self._batches[0] = (now, batch.select(slice(count, len(batch))))
                break
            self._batches.popleft()
        return self._account(taken)

    def drain(self) -> PacketBatch | None:
        """Take everything."""
        taken = [batch for _, batch in self._batches]
        self._batches.clear()
        return self._account(taken)

    def clear(self) -> None:
        """Drop everything."""
        self._batches.clear()
        self.bytes = self._count = 0

    def _account(self, taken: list[PacketBatch]) -> PacketBatch | None:
        if not taken:
            return None
        self.bytes -= sum(int(batch.lengths.sum()) for batch in taken)
        self._count -= sum(map(len, taken))
        return joinBatches(taken)

    @staticmethod
    def merge(first: PacketBatch | None, second: PacketBatch | None) -> PacketBatch | None:
        """Both in the order of the stamps; at equal stamps C{first} goes first; neither is reordered in itself."""
        if first is None or second is None:
            return second if first is None else first
        keys = np.concatenate([np.maximum.accumulate(first.stamps), np.maximum.accumulate(second.stamps)])
        return joinBatches([first, second]).select(np.argsort(keys, kind="stable"))
