"""
Mutants of the shipped code: each breaks one rule of the hand-over, and the simulation must notice.

A mutant replaces methods of shipped classes while a history runs; nothing else knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from openmb.controller.markers import Markers
from openmb.middlebox.destination import DestinationOperation
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.queue import PacketQueue
from openmb.middlebox.source import SourceOperation
from openmb.middlebox.states import UNDECIDED, DestinationState, SourceState
from openmb.packets.batch import PacketBatch, joinBatches
from openmb.plugins.bro.adapter import BroAdapter
from openmb.plugins.bro.core import BroCore
from openmb.plugins.bro.engine import BroEngine
from openmb.plugins.bro.tracking.tracker import Tracker
from openmb.state.table import FlowTable
from openmb.wire.messages import StreamFrame, StreamType
from openmb.wire.stream import unpackEvents


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    One broken rule.

    @ivar name: the rule, as the documents name it.
    @ivar changes: (class, attribute, replacement).
    @ivar focus: what the histories that should notice are about; see L{openmb.testing.simulation.faults.drawFaults}.
    """

    name: str
    changes: tuple[tuple[type, str, Any], ...]
    focus: str = ""

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Break the rule for a while."""
        kept = [(owner, name, owner.__dict__[name]) for owner, name, _ in self.changes]
        for owner, name, replacement in self.changes:
            setattr(owner, name, replacement)
        try:
            yield
        finally:
            for owner, name, original in kept:
                setattr(owner, name, original)


def _skipMark() -> Mutant:
    """Exported records are not marked: what happens to them later stays at the source."""
    original = FlowTable.mark

    def mark(self: FlowTable, slots: Any, operation: int) -> None:
        # the export must end: a mark that no operation has, so that nothing is exported twice and nothing raises events
        original(self, slots, operation ^ (1 << 63) if operation else 0)

    return Mutant("skip the mark", ((FlowTable, "mark", mark),))


def _skipHold() -> Mutant:
    """Direct packets do not wait for the hand-over."""
    held = (DestinationState.MERGING, DestinationState.RETURNING)
    return Mutant("skip the hold", ((DestinationOperation, "intercepting", property(lambda self: self.state in held)),))


def _reprocessOn() -> Mutant:
    """After DIVERT the source goes on processing and sends re-process events, as before."""

    def tapping(self: SourceOperation) -> bool:
        return self.state not in (SourceState.WINDOW, SourceState.CLOSING)

    def reprocess(self: DestinationOperation, frame: StreamFrame, plain: bytes) -> None:
        decoded = self._host.decodeEvents(unpackEvents(frame.clear, plain))
        if self.state in UNDECIDED:
            self._host.engine.reprocess(self.identifier, decoded)
        else:
            tracker = self._host.engine._own  # type: ignore[attr-defined]
            output, tracker._output = tracker._output, None
            tracker.process(decoded, None)
            tracker._output = output

    return Mutant(
        "go on with re-process events",
        ((SourceOperation, "tapping", property(tapping)), (DestinationOperation, "_reprocess", reprocess)),
    )


def _eventBeforeChunk() -> Mutant:
    """A slice's records are sent one slice later than they are marked: events overtake them."""
    original = SourceOperation.exportSlice

    def exportSlice(self: SourceOperation) -> None:
        sender, late = self.sender, self.__dict__.setdefault("_overtaken", [])
        waiting, late[:] = list(late), []
        append = sender.append

        def delayed(type_: StreamType, clear: bytes, plain: bytes) -> None:
            if type_ is StreamType.RECORDS:
                late.append((type_, clear, plain))
            else:
                append(type_, clear, plain)

        for frame in waiting:
            append(*frame)
        sender.append = delayed  # type: ignore[method-assign]
        try:
            original(self)
        finally:
            del sender.append

    return Mutant("an event before its chunk", ((SourceOperation, "exportSlice", exportSlice),))


def _drainedEarly() -> Mutant:
    """Every marker counts as final, also before the network has settled."""
    original = Markers._mark

    def mark(self: Markers, ports: tuple[str, ...]) -> None:
        self._settled = 0.0
        original(self, ports)

    return Mutant("drained before the settling time", ((Markers, "_mark", mark),))


def _mergeUnsorted() -> Mutant:
    """Re-directed and held packets are applied one queue after the other."""

    def merge(first: PacketBatch | None, second: PacketBatch | None) -> PacketBatch | None:
        if first is None or second is None:
            return second if first is None else first
        return joinBatches([second, first])

    return Mutant("merge unsorted", ((PacketQueue, "merge", staticmethod(merge)),))


def _commonTable() -> Mutant:
    """Provisional records live in the destination's own table."""

    def prepare(self: BroAdapter, operation: int, flows: Any) -> None:
        self._provisional[operation] = self._own

    def conflicts(self: BroAdapter, operation: int) -> int:
        return 0

    def commit(self: BroAdapter, operation: int) -> int:
        self._provisional.pop(operation)
        return 0

    return Mutant(
        "provisional records in the common table",
        ((BroAdapter, "prepare", prepare), (BroAdapter, "conflicts", conflicts), (BroAdapter, "commit", commit)),
    )


def _outputBeforeCommit() -> Mutant:
    """Re-processing writes rows, as if the destination were the owner already."""
    original = BroEngine.reprocess

    def reprocess(self: BroEngine, operation: int, packets: Any) -> None:
        tracker: Tracker = self._provisionalOf(operation)
        tracker._output = self.logs
        original(self, operation, packets)
        tracker._output = None

    return Mutant("output before commit", ((BroEngine, "reprocess", reprocess),))


def _windowLeftOpen() -> Mutant:
    """A HOLD does not end the late window of an earlier move away: packets that came back are sent away again."""

    def endWindows(self: MiddleboxHost, flows: Any) -> None:
        return None

    return Mutant("a re-direct window left open on a move back", ((MiddleboxHost, "endWindows", endWindows),))


def _timersFire() -> Mutant:
    """Sweeps remove marked and frozen records too."""

    def removable(self: BroCore, slots: Any) -> Any:
        return slots

    return Mutant("timers fire for marked records", ((BroCore, "_removable", removable),))


def _deleteWithOutput() -> Mutant:
    """The source reports what it deletes."""

    def delPerflow(self: BroAdapter, operation: int, flows: Any) -> int:
        slots = self._own.table.marked(operation)
        self._own.finish(np.asarray(slots))
        return len(slots)

    return Mutant("delete with output", ((BroAdapter, "delPerflow", delPerflow),))


MAKERS: tuple[Callable[[], Mutant], ...] = (
    _skipMark,
    _skipHold,
    _reprocessOn,
    _eventBeforeChunk,
    _drainedEarly,
    _mergeUnsorted,
    _commonTable,
    _outputBeforeCommit,
    _windowLeftOpen,
    _timersFire,
    _deleteWithOutput,
)

#: Every mutant; each must be noticed within 200 seeds.
MUTANTS = tuple(make() for make in MAKERS)
