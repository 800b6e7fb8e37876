"""
What all connections share: counters, each kept apart by who counted, and the connection id that was given last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import CellUsage
from openmb.plugins.prads.records import COUNTERS, NUMBER
from openmb.plugins.prads.statistics import SHOWN, Counter
from openmb.state.flowkey import FLOW_KEY
from openmb.state.layout import RecordLayout
from openmb.state.origins import LARGEST, Origin, added, originOf
from openmb.state.records import RecordBatch, recordBytes
from openmb.state.taxonomy import Cell

_LAYOUTS = {layout.names: layout for layout in (COUNTERS, NUMBER)}


@dataclass(slots=True)
class Share:
    """
    Shared state on its way, or from elsewhere.

    @ivar counts: C{int64[SHOWN]} by who counted.
    @ivar number: the connection id that was given last.
    """

    counts: dict[Origin, NDArray[np.int64]] = field(default_factory=dict)
    number: int = 0

    def fold(self, other: Share) -> None:
        """The rule of merges: the maximum for each who counted, and the larger id."""
        for origin, counts in other.counts.items():
            known = self.counts.get(origin)
            self.counts[origin] = counts.copy() if known is None else np.maximum(known, counts)
        self.number = max(self.number, other.number)

    def __len__(self) -> int:
        return len(self.counts) + (self.number > 0)


class Shares:
    """
    The shared state of one instance.

    @ivar others: what came from elsewhere, or was counted in an epoch of this instance that is over.
    """

    def __init__(self, counters: NDArray[np.int64]) -> None:
        self._counters = counters
        self._me, self._epoch = originOf("offline", bytes(16)), 0
        self.others = Share()
        self._taken: dict[int, Share] = {}
        self._watched: dict[int, int] = {}

    def identify(self, name: str, incarnation: bytes) -> None:
        """See C{ISharedState}."""
        self._me = originOf(name, incarnation)

    @property
    def total(self) -> NDArray[np.int64]:
        """What is known to have been counted, C{int64[SHOWN]}."""
        return added([self._counters[:SHOWN], *self.others.counts.values()], SHOWN)

    def check(self, share: Share) -> None:
        """@raise OperationError: somebody says what only this instance can know."""
        if any(origin == self._me and epoch >= self._epoch for origin, epoch in share.counts):
            raise OperationError(Refusal.BAD_REQUEST, "not shared records of PRADS: counters of this instance's own")

    @property
    def whole(self) -> Share:
        """A copy of everything."""
        share = Share(number=int(self._counters[Counter.NUMBER]))
        share.fold(self.others)
        if self._counters[:SHOWN].any():
            share.fold(Share({(self._me, self._epoch): self._counters[:SHOWN]}))
        return share

    def usage(self) -> tuple[CellUsage, ...]:
        """How much there is, what was taken included; that is marked, and so is the id while somebody watches it."""
        now, taken = self.whole, list(self._taken.values())
        marked = {NUMBER: sum(share.number > 0 for share in taken), COUNTERS: sum(len(each.counts) for each in taken)}
        there = {NUMBER: int(now.number > 0), COUNTERS: len(now.counts)}
        watched = {NUMBER: there[NUMBER] if self._watched else 0, COUNTERS: 0}
        return tuple(
            CellUsage(layout.cell, records, records * layout.size, marked[layout] + watched[layout])
            for layout in (NUMBER, COUNTERS)
            for records in (there[layout] + marked[layout],)
        )

    def watch(self, operation: int) -> Share:
        """From now on L{changes} tells of what becomes of the id; the cut."""
        self._watched[operation] = number = int(self._counters[Counter.NUMBER])
        return Share(number=number)

    def changes(self, operation: int) -> Share:
        """What is new since."""
        number = int(self._counters[Counter.NUMBER])
        if self._watched.get(operation, number) == number:
            return Share()
        self._watched[operation] = number
        return Share(number=number)

    def take(self, operation: int, cells: Sequence[Cell]) -> Share:
        """
        Exchange the counters for empty ones; the id goes on, so that no two connections have the same.
        """
        share = self.whole
        if Cell.SUPPORTING_SHARED not in cells:
            share.number = 0
        if Cell.REPORTING_SHARED in cells:
            self._counters[:SHOWN] = 0
            self._epoch += 1
            self.others = Share()
        else:
            share.counts = {}
        self._taken[operation] = share
        return share

    def end(self, operation: int) -> int:
        """What was taken is elsewhere now, or nobody watches any more; how many records were dropped."""
        self._watched.pop(operation, None)
        return len(self._taken.pop(operation, Share()))

    def giveBack(self, operation: int) -> None:
        """What was taken stays here."""
        self._watched.pop(operation, None)
        self.fold(self._taken.pop(operation, Share()))

    def fold(self, share: Share) -> int:
        """State from elsewhere is this instance's from now on; how many records."""
        self.others.fold(Share(share.counts))
        self._counters[Counter.NUMBER] = max(int(self._counters[Counter.NUMBER]), share.number)
        return len(share)


def exportShare(share: Share) -> tuple[RecordBatch, ...]:
    """The records of shared state; none for what is empty."""
    batches = []
    if share.counts:
        rows = np.zeros(len(share.counts), COUNTERS.dtype)
        for row, ((origin, epoch), counts) in zip(rows, share.counts.items(), strict=True):
            row["origin"] = np.frombuffer(origin, row["origin"].dtype)
            row["epoch"], row["counters"] = epoch, counts
        batches.append(_batch(COUNTERS, rows))
    if share.number:
        rows = np.array([(min(share.number, LARGEST),)], NUMBER.dtype)
        batches.append(_batch(NUMBER, rows))
    return tuple(batches)


def _batch(layout: RecordLayout, rows: NDArray[Any]) -> RecordBatch:
    return RecordBatch(*layout.names, np.zeros((len(rows), FLOW_KEY.itemsize), np.uint8), recordBytes(rows))


def parseShare(batch: RecordBatch) -> Share:
    """
    The inverse of L{exportShare}, of one batch.

    @raise OperationError: it cannot be accepted.
    """
    share = Share()
    layout = _LAYOUTS.get((batch.cell, batch.layout, batch.version))
    if layout is None:
        raise OperationError(Refusal.INCOMPATIBLE_RECORDS, f"no shared layout {batch.layout} in cell {batch.cell!r}")
    if batch.records.shape[1] != layout.size or batch.keys.any():
        raise OperationError(Refusal.BAD_REQUEST, f"{layout.name}: records of the wrong size, or with keys")
    rows = layout.rows(batch.records)
    for row in rows:
        numbers = row["counters"] if layout is COUNTERS else row["number"]
        if (numbers > LARGEST).any():
            raise OperationError(Refusal.BAD_REQUEST, f"{layout.name}: a number out of range")
        if layout is COUNTERS:
            share.fold(Share({(bytes(row["origin"]), int(row["epoch"])): row["counters"].astype(np.int64)}))
        else:
            share.fold(Share(number=int(row["number"])))
    return share
