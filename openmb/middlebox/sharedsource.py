"""
The source's end of a clone or a merge: export what flows share, tell what becomes of it, hand it over.

The machine's table stands in C{docs/protocol.md}.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.logger import Logger

from openmb.errors import OperationError, Refusal
from openmb.middlebox.changes import ChangeQueue
from openmb.middlebox.environment import Environment
from openmb.middlebox.faults import engineFaults
from openmb.middlebox.states import SharedSourceState
from openmb.middlebox.stream import StreamReceiver, StreamSender, contextOf
from openmb.packets.batch import PacketBatch
from openmb.state.records import RecordBatch
from openmb.wire.messages import (
    Delete,
    Deleted,
    Finish,
    Get,
    Message,
    Refused,
    Side,
    Sort,
    StreamFrame,
    StreamType,
    Unmark,
    Unmarked,
)
from openmb.wire.stream import Finished, GetDone, packPart


class SharedSource:
    """
    One clone or merge of which this middlebox is the source.  No packet waits for it.

    @ivar watching: what packets and time do to the shared state is to be told: a clone, from its cut on.
    """

    side = Side.SOURCE
    log = Logger()

    def __init__(self, host: Environment, request: Get) -> None:
        self._host, self.request = host, request
        self.identifier = request.operation
        context = contextOf(host.kind, request, Side.SOURCE, request.nonce)
        self.sender = StreamSender(request.operation, Side.SOURCE, host.keyring, context, request.window, host.send)
        self.receiver = StreamReceiver(host.keyring, contextOf(host.kind, request, Side.DESTINATION, request.nonce))
        self.state = SharedSourceState.EXPORTING
        self.watching = False
        shared = host.capabilities.shared
        export = shared.getShared if request.sort is Sort.CLONE else shared.takeShared
        self._slices = export(request.operation, request.cells, host.settings.sliceSlots)
        self._changes = ChangeQueue(self.sender)
        self._exported = self._exportedBytes = 0

    @property
    def decided(self) -> bool:
        """Has this end given its vote?"""
        return self.state is SharedSourceState.VOTED

    @property
    def over(self) -> bool:
        """May this middlebox end without doubt about what was taken?"""
        return self.decided and not self.inDoubt and self.sender.isIdle

    @property
    def inDoubt(self) -> bool:
        """Has this end voted, and only the controller knows whether the destination has what was taken?"""
        return self.decided and self.request.sort is Sort.MERGE

    # -- transfer

    @property
    def exporting(self) -> bool:
        """Is there more to export, and credit for it?"""
        return self.state is SharedSourceState.EXPORTING and self.sender.roomy

    def exportSlice(self) -> None:
        """Export up to one slice, the first with the cut or the exchange; what cannot travel ends the operation."""
        try:
            self._exportSlice()
        except OperationError as error:
            self.giveUp(error.refusal, error.reason)

    def _exportSlice(self) -> None:
        with engineFaults("exporting shared state"):
            batches = next(self._slices, None)
        self.watching = self.request.sort is Sort.CLONE
        if batches is None:
            self.state = SharedSourceState.FOLLOWING
            counts = packPart(GetDone(self._exported, self._exportedBytes, 0))
            self.sender.append(StreamType.GET_DONE, b"", counts)
            self._changes.open()
            return
        for batch in batches:
            self._checkCell(batch)
            self._exported += len(batch)
            self._exportedBytes += self.sender.records(StreamType.RECORDS, batch)

    def _checkCell(self, batch: RecordBatch) -> None:
        """What was not asked for must not leave: reporting state that is cloned would be reported twice."""
        if batch.cell not in self.request.cells:
            raise OperationError(Refusal.ENGINE_FAILED, f"the engine handed out {batch.cell.name}, not asked for")

    # -- what becomes of it

    def raised(self, packets: PacketBatch) -> None:
        """These packets have changed the shared state."""
        self._follow((), packets)

    def changed(self, batches: Sequence[RecordBatch]) -> None:
        """These records have changed otherwise."""
        self._follow(batches, None)

    def _follow(self, batches: Sequence[RecordBatch], packets: PacketBatch | None) -> None:
        try:
            for batch in batches:
                self._checkCell(batch)
                self._changes.records(batch)
            if packets is not None:
                self._changes.packets(packets)
        except OperationError as error:
            self.giveUp(error.refusal, error.reason)
            return
        if self._changes.backlog > self._host.settings.eventBuffer:
            waiting = f"{self._changes.backlog} bytes of changes wait for the destination"
            self.giveUp(Refusal.BUFFER_FULL, waiting)

    # -- the end

    def finish(self, message: Finish) -> None:
        """Vote: nothing more is told, and only the controller can say how this ends."""
        if self.state is SharedSourceState.EXPORTING:
            raise OperationError(Refusal.WRONG_STATE, "shared state is still being exported")
        if self.state is SharedSourceState.FOLLOWING:
            self.state, self.watching = SharedSourceState.VOTED, False
            counts = packPart(Finished(self._changes.events, self._changes.changed))
            self.sender.append(StreamType.FINISHED, b"", counts)

    def delete(self, message: Delete) -> None:
        """The destination has it: drop in silence what was taken."""
        if not self.decided:
            raise OperationError(Refusal.WRONG_STATE, f"DELETE while {self.state.value}: nobody else has this state")
        deleted = Deleted(self.identifier, self._drop(), 0)
        self._end(deleted, {Delete: (deleted,)})

    def _drop(self) -> int:
        with self._host.setAside.enduring("dropping shared state"):
            return self._host.capabilities.shared.delShared(self.identifier)
        return 0

    def unmark(self, message: Unmark) -> None:
        """Go on as if never asked."""
        self._goOn()

    def giveUp(self, refusal: Refusal, reason: str) -> None:
        """Before the vote: go on as if never asked, and say why."""
        refused = Refused(self.identifier, 0, refusal, reason)
        untouched = (Unmarked(self.identifier, 0, 0),)
        self._restore()
        self._end(refused, {Get: (refused,), Finish: (refused,), Unmark: untouched})

    def _goOn(self) -> None:
        self._restore()
        unmarked = Unmarked(self.identifier, 0, 0)
        self._end(unmarked, {Unmark: (unmarked,)})

    def _restore(self) -> None:
        """Watch no longer, and fold back what was taken."""
        self.watching = False
        with self._host.setAside.enduring("folding back shared state"):
            self._host.capabilities.shared.unmark(self.identifier)

    def _end(self, last: Message, answers: dict[type[Message], tuple[Message, ...]]) -> None:
        self._host.ended(self, answers)
        self._host.send(last)

    def streamed(self, frame: StreamFrame) -> None:
        """A destination of shared state has nothing to give back."""
        raise OperationError(Refusal.BAD_REQUEST, f"{frame.type.name} came to the source of a {self._what}")

    # -- time

    @property
    def _what(self) -> str:
        return self.request.sort.name.lower()

    def timePassed(self, now: float) -> None:
        """Nothing here waits for time."""

    def connectionMade(self) -> None:
        """A controller is there again: it says how this ends."""

    def leaseEnded(self) -> None:
        """
        No controller came back within the lease: before the vote, go on alone.

        After it, what a merge has taken may be the destination's: it is kept until a controller knows.  A clone has
        taken nothing.
        """
        if not self.decided:
            self._goOn()
        elif not self.inDoubt:
            self._restore()
            unmarked, deleted = Unmarked(self.identifier, 0, 0), Deleted(self.identifier, 0, 0)
            self._end(unmarked, {Unmark: (unmarked,), Delete: (deleted,)})

    def orphaned(self) -> None:
        """Nobody will say any more how this ends: go on alone, rather reporting twice than losing anything."""
        if self.inDoubt:
            self.log.warn(
                "nobody says whether {peer} has the shared state that operation {op:016x} took: it is kept here, and "
                "is reported twice if it has",
                peer=self.request.destination.name,
                op=self.identifier,
            )
        self._goOn()
