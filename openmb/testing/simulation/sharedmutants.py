"""
Mutants of clones and merges: each breaks one rule, in the shipped host or in the counting kind, and histories of
clones and merges must notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from openmb.middlebox.changes import ChangeQueue
from openmb.middlebox.following import Following
from openmb.middlebox.provisional import Provisional, ProvisionalShared
from openmb.middlebox.sharedsource import SharedSource
from openmb.middlebox.stream import StreamReceiver
from openmb.packets.headers import Decoded
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell
from openmb.testing.counter import CounterMiddlebox
from openmb.testing.simulation.mutants import Mutant
from openmb.testing.totals import SHARED, WRITTEN, SharedState, Tally, Totals
from openmb.wire.messages import Installed, Sort, StreamFrame
from openmb.wire.stream import GetDone, unpackPart


def _addsUp() -> Mutant:
    """A fold adds where the larger count of an origin holds: what was cloned before is counted twice."""

    def fold(self: SharedState, other: SharedState) -> int:
        for identifier, origins in other.origins.items():
            mine = self.origins[identifier]
            for origin, tally in origins.items():
                mine[origin] = mine.get(origin, Tally()).plus(tally.total, tally.count)
        return len(other)

    return Mutant("clone, then merge, counts twice", ((SharedState, "fold", fold),))


def _mergeTwice() -> Mutant:
    """The source goes on as if never asked after DELETE: destination and source both report it."""

    def delShared(self: Totals, operation: int) -> int:
        self.unmark(operation)
        return 0

    return Mutant("merge, and keep it", ((Totals, "delShared", delShared),))


def _repeatedFrames() -> Mutant:
    """A frame that comes again is put again, and a record that comes again adds up."""
    receive, put = StreamReceiver.receive, SharedState.put

    def again(self: StreamReceiver, frame: StreamFrame) -> bytes | None:
        plain = receive(self, frame)
        kept: dict[int, bytes] = self.__dict__.setdefault("_frames", {})
        return kept.setdefault(frame.number, plain) if plain is not None else kept.get(frame.number)

    def adding(self: SharedState, batch: RecordBatch) -> None:
        new = SharedState()
        put(new, batch)
        self.current = new.current or self.current
        for origin, tally in new.origins[batch.layout].items():
            mine = self.origins[batch.layout]
            mine[origin] = mine.get(origin, Tally()).plus(tally.total, tally.count)

    changes = ((StreamReceiver, "receive", again), (SharedState, "put", adding), (Provisional, "compare", _installed))
    return Mutant("a chunk counts as often as it comes", changes)


def _installed(provisional: Provisional, plain: bytes) -> Installed:
    """INSTALLED, whatever was counted."""
    done = unpackPart(GetDone, plain)
    provisional.installed = Installed(provisional._operation, done.records, done.bytes, 0)
    return provisional.installed


def _cloneReporting() -> Mutant:
    """A clone takes reporting state along: it is reported twice."""
    original = Totals.getShared

    def getShared(self: Totals, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[Any]:
        return original(self, operation, (*cells, Cell.REPORTING_SHARED), limit)

    def put(self: SharedState, batch: RecordBatch) -> None:
        original_put(self, batch)
        mine = self.origins[WRITTEN.identifier]
        if batch.layout == WRITTEN.identifier:  # what is reported is what is there, not what an origin has counted
            for origin in tuple(mine):
                mine[b"copied" + origin[6:]] = mine.pop(origin)

    original_put = SharedState.put
    stored = Provisional._stored

    def anything(self: Provisional, frame: StreamFrame, plain: bytes) -> int:
        self._cells = Sort.MERGE.cells
        return stored(self, frame, plain)

    changes = (
        (Totals, "getShared", getShared),
        (SharedState, "put", put),
        (SharedSource, "_checkCell", lambda self, batch: None),
        (Provisional, "_stored", anything),
    )
    return Mutant("clone reporting state", changes)


def _eventToFlows() -> Mutant:
    """An event of a clone updates the destination's flows too."""
    original = CounterMiddlebox.reprocess

    def reprocess(self: CounterMiddlebox, operation: int, packets: Decoded) -> None:
        original(self, operation, packets)
        for index, key in self._keys(packets):
            self._count(self._table, key, packets, index, 0, self._over)

    return Mutant("an event of a clone applied to flows", ((CounterMiddlebox, "reprocess", reprocess),))


def _exportThenClear() -> Mutant:
    """A merge copies the state, and clears it when the destination has it: what came between is lost."""

    def takeShared(self: Totals, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[Any]:
        copy = self.own.copy()
        self.taken[operation] = SharedState(copy.current)
        yield from copy.batches(cells, limit)

    def delShared(self: Totals, operation: int) -> int:
        self.watches.pop(operation, None)
        if self.taken.pop(operation, None) is not None:
            for layout in SHARED:
                self.own.origins[layout.identifier].clear()
            self._epoch += 1
            self.own.current = self._origin + self._epoch.to_bytes(4, "little")
        return 0

    return Mutant("export, then clear", ((Totals, "takeShared", takeShared), (Totals, "delShared", delShared)))


def _cloneWithoutEvents() -> Mutant:
    """Nothing follows the cut."""
    return Mutant("clone without events", ((Following, "processed", lambda self, packets, processed: self.ask()),))


def _cloneWithoutChanges() -> Mutant:
    """Of what no packet explains nothing follows the cut."""
    return Mutant("clone without changes by timers", ((Following, "ask", lambda self: None),))


def _eventBeforeCut() -> Mutant:
    """What happens during the export of a cut does not wait for its end: the cut undoes it."""
    original = ChangeQueue.__init__

    def atOnce(self: ChangeQueue, sender: Any) -> None:
        original(self, sender)
        self._kept = None

    changes = (
        (ChangeQueue, "__init__", atOnce),
        (ProvisionalShared, "_checkFollowing", lambda self: None),
    )
    return Mutant("an event before the cut", changes)


def _sameEpoch() -> Mutant:
    """After the exchange the source counts on under the same origin, from nothing."""

    def takeShared(self: Totals, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[Any]:
        taken = self.taken[operation] = self.own.take(cells)
        yield from taken.batches(cells, limit)

    return Mutant("no new epoch after the exchange", ((Totals, "takeShared", takeShared),))


def _notFoldedBack() -> Mutant:
    """An aborted merge drops what was taken."""

    def unmark(self: Totals, operation: int) -> None:
        self.delShared(operation)

    return Mutant("an aborted merge is not folded back", ((Totals, "unmark", unmark),))


def _foldedAtOnce() -> Mutant:
    """Provisional shared state is folded in as it comes."""
    original = Totals.putShared

    def putShared(self: Totals, operation: int, batch: RecordBatch) -> None:
        original(self, operation, batch)
        self._fold(self.provisional[operation])

    return Mutant("fold before COMMIT", ((Totals, "putShared", putShared),))


def _goesOnInDoubt() -> Mutant:
    """After its vote the source of a merge folds back when its lease is over, although the destination may have it."""
    return Mutant("fold back in doubt", ((SharedSource, "leaseEnded", SharedSource.orphaned),))


def _ownOrigin() -> Mutant:
    """What a clone's event counts is counted as the destination's own, not as the source's."""

    def reprocess(self: Totals, operation: int, packets: Decoded, places: Any) -> None:
        provisional, source = self.provisional[operation], self.provisional[operation].current
        provisional.current = self.own.current
        original(self, operation, packets, places)
        provisional.current = source

    original = Totals.reprocess
    return Mutant("events counted as the destination's own", ((Totals, "reprocess", reprocess),))


MAKERS: tuple[Callable[[], Mutant], ...] = (
    _addsUp,
    _mergeTwice,
    _repeatedFrames,
    _cloneReporting,
    _eventToFlows,
    _exportThenClear,
    _cloneWithoutEvents,
    _cloneWithoutChanges,
    _eventBeforeCut,
    _sameEpoch,
    _notFoldedBack,
    _foldedAtOnce,
    _goesOnInDoubt,
    _ownOrigin,
)

#: Every mutant; each must be noticed within 200 seeds.
SHARED_MUTANTS = tuple(make() for make in MAKERS)
