"""
What the flows of the counting kind share: three totals, each in one of the ways in which a kind may keep such state.

* C{traffic}, supporting: all packets.  A packet alone says what becomes of it, so a clone follows it by packets.
* C{endings}, supporting: flows that were over.  Timers and the flows' own history say when, so a clone gets records.
* C{written}, reporting: rows written, reported once, at the end.

Each is kept for each origin: an instance and its epoch, which begins anew whenever the state is taken away by a merge.
Whatever grows within one origin is the same count seen at different times, so that the larger one holds; different
origins have counted different things, so that they add up.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from construct import Bytes, Int8ul, Int32ul, Int64ul, Struct

from openmb.errors import OperationError, Refusal
from openmb.interfaces import CellUsage
from openmb.packets.headers import Decoded
from openmb.state.flowkey import FLOW_KEY
from openmb.state.layout import RecordLayout
from openmb.state.origins import originOf
from openmb.state.records import RecordBatch, recordBytes
from openmb.state.taxonomy import Cell


def _layout(cell: Cell, identifier: int, name: str, count: str, total: str) -> RecordLayout:
    struct = Struct(
        "origin" / Bytes(16) * "hash of the instance that counted",
        "epoch" / Int32ul * "how often its state had been taken away before",
        "current" / Int8ul * "1: the origin that the instance counts under now",
        "count" / Int64ul * count,
        "total" / Int64ul * total,
    )
    return RecordLayout(cell, identifier, 1, name, struct)


TRAFFIC = _layout(Cell.SUPPORTING_SHARED, 2, "traffic", "packets", "sum of their CRC-32")
ENDINGS = _layout(Cell.SUPPORTING_SHARED, 3, "endings", "flows that were over", "their packets")
WRITTEN = _layout(Cell.REPORTING_SHARED, 4, "written", "rows written", "packets in them")
SHARED = (TRAFFIC, ENDINGS, WRITTEN)
_BY_IDENTIFIER = {layout.identifier: layout for layout in SHARED}


@dataclass(frozen=True, slots=True, order=True)
class Tally:
    """A count, and the total that grows with it."""

    count: int = 0
    total: int = 0

    def plus(self, total: int, count: int = 1) -> Tally:
        """So much more."""
        return Tally(self.count + count, self.total + total)


#: Tallies of one total, by origin and epoch.
Origins = dict[bytes, Tally]


@dataclass
class SharedState:
    """
    All totals.

    @ivar origins: of each total, by the layout's identifier.
    @ivar current: the origin that counting goes on under; empty while it is not known.
    """

    current: bytes = b""
    origins: dict[int, Origins] = field(default_factory=lambda: {layout.identifier: {} for layout in SHARED})

    def add(self, layout: RecordLayout, total: int) -> None:
        """One more, under the current origin."""
        origins = self.origins[layout.identifier]
        origins[self.current] = origins.get(self.current, Tally()).plus(total)

    def fold(self, other: SharedState) -> int:
        """The rule by which shared state is merged; how many records there were."""
        for identifier, origins in other.origins.items():
            mine = self.origins[identifier]
            for origin, tally in origins.items():
                mine[origin] = max(tally, mine.get(origin, Tally()))
        return len(other)

    def sum(self, layout: RecordLayout) -> Tally:
        """A total over all origins."""
        found = Tally()
        for tally in self.origins[layout.identifier].values():
            found = found.plus(tally.total, tally.count)
        return found

    def copy(self) -> SharedState:
        """As it is now."""
        return SharedState(self.current, {identifier: dict(each) for identifier, each in self.origins.items()})

    def take(self, cells: Sequence[Cell]) -> SharedState:
        """Exchange the totals of C{cells} for empty ones."""
        taken = SharedState(self.current)
        for layout in SHARED:
            if layout.cell in cells:
                taken.origins[layout.identifier] = self.origins[layout.identifier]
                self.origins[layout.identifier] = {}
        return taken

    def __len__(self) -> int:
        return sum(len(origins) for origins in self.origins.values())

    def batch(self, layout: RecordLayout, origins: Iterable[bytes]) -> RecordBatch:
        """The tallies of some origins."""
        mine = self.origins[layout.identifier]
        chosen = [(origin, mine.get(origin, Tally())) for origin in origins]
        rows = np.zeros(len(chosen), layout.dtype)
        for row, (origin, tally) in zip(rows, chosen, strict=True):
            row["origin"] = np.frombuffer(origin[:16], np.uint8)
            row["epoch"] = int.from_bytes(origin[16:], "little")
            row["current"] = origin == self.current
            row["count"], row["total"] = tally.count, tally.total
        keys = np.zeros((len(chosen), FLOW_KEY.itemsize), np.uint8)
        return RecordBatch(*layout.names, keys, recordBytes(rows))

    def put(self, batch: RecordBatch) -> None:
        """Take records in; they are newer than what is here."""
        layout = _BY_IDENTIFIER[batch.layout]
        for row in layout.rows(batch.records):
            origin = row["origin"].tobytes() + int(row["epoch"]).to_bytes(4, "little")
            self.origins[layout.identifier][origin] = Tally(int(row["count"]), int(row["total"]))
            if row["current"]:
                self.current = origin

    def batches(self, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """All totals of C{cells}, so many records at a time; the current origin is among them, even if it is empty."""
        for layout in SHARED:
            origins = [*self.origins[layout.identifier]] if layout.cell in cells else []
            if layout is TRAFFIC and self.current not in origins:
                origins.append(self.current)
            for start in range(0, len(origins), limit):
                yield (self.batch(layout, origins[start : start + limit]),)


@dataclass
class Watch:
    """
    What a clone has been told.

    @ivar endings: as told last.
    @ivar changed: origins whose traffic has changed otherwise than by packets.
    """

    endings: Origins
    changed: set[bytes] = field(default_factory=set)


class Totals:
    """
    The shared state of one instance, and what operations make of it.

    @ivar own: what this instance counts, and what was merged into it.
    """

    def __init__(self) -> None:
        self.own = SharedState()
        self.watches: dict[int, Watch] = {}
        self.taken: dict[int, SharedState] = {}
        self.provisional: dict[int, SharedState] = {}
        self.identify("offline", bytes(16))

    def identify(self, name: str, incarnation: bytes) -> None:
        """See C{ISharedState}."""
        self._origin = originOf(name, incarnation)
        self._epoch = 0
        self.own.current = self._origin + bytes(4)

    # -- what is counted

    def packet(self, packet: bytes) -> None:
        """One more packet."""
        self.own.add(TRAFFIC, zlib.crc32(packet))

    def ended(self, packets: int) -> None:
        """A flow was over."""
        self.own.add(ENDINGS, packets)

    def wrote(self, packets: int) -> None:
        """A row was written."""
        self.own.add(WRITTEN, packets)

    def conclude(self) -> Tally:
        """What is to be reported at the end, and never again."""
        written = self.own.sum(WRITTEN)
        self.own.origins[WRITTEN.identifier] = {}
        return written

    # -- the source

    def getShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        self.watches[operation] = Watch(dict(self.own.origins[ENDINGS.identifier]))
        yield from self.own.copy().batches(cells, limit)

    def sharedChanges(self, operation: int) -> tuple[RecordBatch, ...]:
        """See C{ISharedState}."""
        watch, endings = self.watches[operation], self.own.origins[ENDINGS.identifier]
        over = [origin for origin, tally in endings.items() if watch.endings.get(origin) != tally]
        found = [self.own.batch(TRAFFIC, sorted(watch.changed))] if watch.changed else []
        found += [self.own.batch(ENDINGS, over)] if over else []
        watch.endings, watch.changed = dict(endings), set()
        return tuple(found)

    def takeShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        taken = self.taken[operation] = self.own.take(cells)
        self._epoch += 1
        self.own.current = self._origin + self._epoch.to_bytes(4, "little")
        self._changed((self.own.current,))
        yield from taken.batches(cells, limit)

    def unmark(self, operation: int) -> None:
        """See C{IStateAdapter}."""
        self.watches.pop(operation, None)
        if (taken := self.taken.pop(operation, None)) is not None:
            self._fold(taken)

    def delShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        self.watches.pop(operation, None)
        taken = self.taken.pop(operation, None)
        return 0 if taken is None else len(taken)

    def _fold(self, other: SharedState) -> int:
        records = self.own.fold(other)
        self._changed(other.origins[TRAFFIC.identifier])
        return records

    def _changed(self, origins: Iterable[bytes]) -> None:
        for watch in self.watches.values():
            watch.changed.update(origins)

    # -- the destination

    def prepareShared(self, operation: int, cells: Sequence[Cell]) -> None:
        """See C{ISharedState}."""
        self.provisional.setdefault(operation, SharedState())

    def putShared(self, operation: int, batch: RecordBatch) -> None:
        """See C{ISharedState}."""
        layout = _BY_IDENTIFIER.get(batch.layout)
        if layout is None or (batch.cell, batch.version) != (layout.cell, layout.version):
            raise OperationError(Refusal.INCOMPATIBLE_RECORDS, f"no shared layout {batch.layout}.{batch.version}")
        if batch.keys.shape != (len(batch), FLOW_KEY.itemsize) or batch.keys.any():
            raise OperationError(Refusal.BAD_REQUEST, "shared state has a key of zeros")
        if batch.records.shape[1] != layout.size:
            raise OperationError(Refusal.BAD_REQUEST, "records of the wrong size")
        self.provisional[operation].put(batch)

    def reprocess(self, operation: int, packets: Decoded, places: Iterable[int]) -> None:
        """Packets that the source has counted count here as the source's."""
        provisional = self.provisional[operation]
        if not provisional.current:
            raise OperationError(Refusal.BAD_REQUEST, "packets, but not under which origin the source counts")
        for place in places:
            provisional.add(TRAFFIC, zlib.crc32(packets.packets.packet(place)))

    def commitShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        return self._fold(self.provisional.pop(operation))

    def discard(self, operation: int) -> None:
        """See C{IStateAdapter}."""
        self.provisional.pop(operation, None)

    # -- how much there is

    def usage(self) -> Iterator[CellUsage]:
        """Both shared cells."""
        for cell in (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED):
            layouts = [layout for layout in SHARED if layout.cell is cell]
            own, taken = (_records(states, layouts) for states in ([self.own], self.taken.values()))
            marked = taken + (own if self.watches and cell is Cell.SUPPORTING_SHARED else 0)
            yield CellUsage(cell, own + taken, (own + taken) * layouts[0].size, marked)


def _records(states: Iterable[SharedState], layouts: Sequence[RecordLayout]) -> int:
    return sum(len(state.origins[layout.identifier]) for state in states for layout in layouts)
