"""
The source's end of a move: export in slices, re-process events, divert, keep, delete.

The machine's table stands in C{docs/handover.md}.
"""

from __future__ import annotations

from openmb.errors import OperationError, Refusal
from openmb.middlebox.environment import Environment
from openmb.middlebox.faults import engineFaults
from openmb.middlebox.inlet import Inlet
from openmb.middlebox.look import LastLook
from openmb.middlebox.queue import PacketQueue
from openmb.middlebox.selection import Selection
from openmb.middlebox.states import SourceState
from openmb.middlebox.stream import StreamReceiver, StreamSender, contextOf
from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.packets.marker import BACK_MARKERS
from openmb.state.headers import HeaderFieldList
from openmb.wire.messages import (
    Delete,
    Deleted,
    Divert,
    Get,
    Refused,
    Side,
    StreamFrame,
    StreamType,
    Unmark,
    Unmarked,
    WindowClosed,
)
from openmb.wire.stream import Drained, GetDone, Marked, packPart, unpackEvents


class SourceOperation:
    """One move of which this middlebox is the source."""

    side = Side.SOURCE

    def __init__(self, host: Environment, request: Get) -> None:
        self._host = host
        self.identifier = request.operation
        self.request = request
        self.flows = HeaderFieldList.parse(request.flows)
        host.capabilities.perflow.check(self.flows)
        self.selection = Selection(host.engine, request.operation, self.flows, request.destination.name)
        self.sender = StreamSender(
            request.operation,
            Side.SOURCE,
            host.keyring,
            contextOf(host.kind, request, Side.SOURCE, request.nonce),
            request.window,
            host.send,
        )
        back = contextOf(host.kind, request, Side.DESTINATION, request.nonce + self.sender.salt)
        self.receiver = StreamReceiver(host.keyring, back)
        self._inlet = Inlet(host, self, self._returnedFrame)
        self.state = SourceState.EXPORTING
        self.token: bytes | None = None
        self._slices = host.capabilities.perflow.getPerflow(self.flows, request.operation, host.settings.sliceSlots)
        self._kept = PacketQueue()
        self._returned = PacketQueue()
        self._windowEnds = self._creditEnds = 0.0
        self._deleted = self._exported = self._exportedBytes = self._events = self._redirected = self._late = 0
        self._uncopied = 0
        self.lost = 0  # packets of these flows that the engine threw on
        self._given = False  # a marker has come: they begin only after COMMIT was sent, so the destination owns
        self._drained = False
        self._returnDone = False  # everything was returned
        self._goOnBy: float | None = None  # then: when to wait no longer for earlier packets
        self._look: LastLook | None = None

    @property
    def decided(self) -> bool:
        """Has this end given its vote?"""
        return not self.tapping

    @property
    def over(self) -> bool:
        """Has the other end taken over, with everything that was sent?"""
        return self.state in (SourceState.WINDOW, SourceState.CLOSING) and self.sender.isIdle

    # -- bulk transfer

    @property
    def exporting(self) -> bool:
        """Is there more to export, and credit for it?"""
        return self.state is SourceState.EXPORTING and self.sender.roomy

    def exportSlice(self) -> None:
        """Export and mark up to one slice of the table, as one step; what cannot travel ends the operation."""
        try:
            self._exportSlice()
        except OperationError as error:
            self.giveUp(error.refusal, error.reason)

    def giveUp(self, refusal: Refusal, reason: str) -> None:
        """Before the vote: go on as if never asked, and say why."""
        refused = Refused(self.identifier, 0, refusal, reason)
        untouched = (Unmarked(self.identifier, 0, self.lost),)
        self._host.ended(self, {Get: (refused,), Divert: (refused,), Unmark: untouched})
        with self._host.setAside.enduring("freeing records"):
            self._host.capabilities.perflow.unmark(self.identifier)
        self._host.send(refused)

    def _exportSlice(self) -> None:
        with engineFaults("exporting records"):
            batches = next(self._slices, None)
        if batches is None:
            self.state = SourceState.TAPPING
            counts = packPart(GetDone(self._exported, self._exportedBytes, self._events))
            self.sender.append(StreamType.GET_DONE, b"", counts)
            return
        for batch in batches:
            self._exported += len(batch)
            self._exportedBytes += self.sender.records(StreamType.RECORDS, batch)

    @property
    def tapping(self) -> bool:
        """Do packets that update marked records raise re-process events?"""
        return self.state in (SourceState.EXPORTING, SourceState.TAPPING)

    def raised(self, packets: PacketBatch) -> None:
        """These packets updated records marked by this operation."""
        self._events += len(packets)
        self.sender.events(StreamType.REPROCESS, packets)
        if self.sender.backlog > self._host.settings.eventBuffer:
            waiting = f"{self.sender.backlog} bytes of re-process events wait for the destination"
            self.giveUp(Refusal.BUFFER_FULL, waiting)

    # -- switch-over

    def divert(self, message: Divert) -> None:
        """Vote: from here on no matching packet is processed."""
        if self.state is SourceState.EXPORTING:
            raise OperationError(Refusal.WRONG_STATE, "records are still being exported")
        if self.state is SourceState.TAPPING:
            self.token = message.token
            self.state = SourceState.DIVERTED
            self._host.capabilities.perflow.freeze(self.flows, self.identifier)
            self.sender.append(StreamType.DIVERTED, b"", b"")

    @property
    def intercepting(self) -> bool:
        """Does this operation take matching packets away from the engine?"""
        return not self.tapping and self.state is not SourceState.CLOSING

    def take(self, packets: Decoded) -> None:
        """Matching packets that are not to be processed here."""
        if self.state is SourceState.WINDOW:
            self._late += len(packets)
            self.sender.events(StreamType.REDIRECT, packets.packets)
            return
        batch = packets.packets.compact()
        if self._look is not None:
            self._look.read(int(batch.lengths.sum()))
        if self._kept.bytes <= self._host.settings.keptBytes:
            self._kept.append(batch, self._host.now())
        else:
            self._kept.passed(int(batch.stamps.max()))
            # copies serve an abort only; to stop reading instead would keep the drain markers from coming, for ever
            self._uncopied += len(batch)
        if self.state is SourceState.DIVERTED:
            self._redirected += len(packets)
            self.sender.events(StreamType.REDIRECT, batch)
        self._goOnInOrder()

    def marker(self, stamp: int, number: int, final: bool) -> None:
        """A genuine drain marker came down the old path."""
        if self.state is not SourceState.DIVERTED or self._drained or number >= BACK_MARKERS:
            return
        self._given = True
        self.sender.append(StreamType.MARKED, b"", packPart(Marked(stamp)))
        if final:
            self._drained = True
            self.sender.append(StreamType.DRAINED, b"", packPart(Drained(stamp, self._redirected)))

    def delete(self, message: Delete) -> None:
        """The destination has taken over: drop everything in silence, watch for late packets."""
        if self.state in (SourceState.EXPORTING, SourceState.TAPPING, SourceState.RETURNING):
            raise OperationError(Refusal.WRONG_STATE, f"DELETE while {self.state.value}: nobody else owns the records")
        if self.state is SourceState.DIVERTED:
            self._deleteRecords()
            self.state = SourceState.WINDOW
            self._windowEnds = self._host.now() + message.window / 1000
        self._host.send(self._deletedAnswer)

    @property
    def _deletedAnswer(self) -> Deleted:
        return Deleted(self.identifier, self._deleted, self._redirected)

    def _deleteRecords(self) -> None:
        """Drop records and copies in silence."""
        perflow, setAside = self._host.capabilities.perflow, self._host.setAside
        with setAside.enduring("deleting records"):
            self._deleted = perflow.delPerflow(self.identifier, self.flows)
        with setAside.enduring("the end of a hand-over"):
            perflow.thaw(self.identifier)
        self._kept.clear()

    def closeWindow(self) -> None:
        """Late packets are no longer re-directed; what was has still to arrive."""
        self.state = SourceState.CLOSING
        self._creditEnds = self._host.now() + self._host.settings.windowQuiet
        if self.sender.isIdle:
            self._closed()

    def _closed(self) -> None:
        """Over; packets that the destination has not acknowledged may be lost."""
        closed = WindowClosed(self.identifier, self._late, self.sender.packetsUnacknowledged() + self.lost)
        self._host.ended(self, {Delete: (self._deletedAnswer, closed)})
        self._host.send(closed)

    # -- abort

    def unmark(self, message: Unmark) -> None:
        """Go on as if never asked; with C{returned}, first wait for what the destination gives back."""
        if self.state in (SourceState.WINDOW, SourceState.CLOSING):
            raise OperationError(Refusal.WRONG_STATE, "UNMARK after DELETE: the records are gone")
        if message.returned and self.state is SourceState.DIVERTED:
            self.state = SourceState.RETURNING
            self._awaitOrder()
        elif not message.returned or self.state is not SourceState.RETURNING:
            self.goOn()

    def goOn(self) -> None:
        """Process what was kept and returned, in the order of the stamps, and everything from here on."""
        host = self._host
        packets = PacketQueue.merge(self._kept.drain(), self._returned.drain())
        self.state = SourceState.CLOSING  # takes no packets any more, but counts those that are lost
        with host.setAside.enduring("freeing records"):
            host.capabilities.perflow.unmark(self.identifier)
        with host.setAside.enduring("the end of a hand-over"):
            host.capabilities.perflow.thaw(self.identifier)
        if packets is not None:
            host.reinject(packets)
        answer = Unmarked(self.identifier, 0 if packets is None else len(packets), self._uncopied + self.lost)
        host.ended(self, {Unmark: (answer,)})
        host.send(answer)

    def streamed(self, frame: StreamFrame) -> None:
        """The destination's own stream: what it gives back."""
        self._inlet.take(frame)

    def _returnedFrame(self, frame: StreamFrame, plain: bytes) -> None:
        if frame.type is StreamType.OPENED:
            return
        if self.state not in (SourceState.DIVERTED, SourceState.RETURNING):
            raise OperationError(Refusal.WRONG_STATE, f"{frame.type.name} came back while {self.state.value}")
        if frame.type is StreamType.RETURNED:
            self._keepReturned(unpackEvents(frame.clear, plain))
        elif frame.type is StreamType.RETURN_DONE:
            self._returnDone = True
            self._awaitOrder()
        else:
            raise OperationError(Refusal.BAD_REQUEST, f"{frame.type.name} does not come from a destination")

    def _keepReturned(self, packets: PacketBatch) -> None:
        """What does not belong to the operation's flows is left out, and told: going back has no other way."""
        decoded = self._host.decodeEvents(packets)
        if (error := self.selection.complaint(decoded)) is not None:
            self._host.send(Refused(self.identifier, 0, error.refusal, error.reason))
            packets = packets.select(self.selection.packets(decoded))
        self._returned.append(packets, self._host.now())

    def _awaitOrder(self) -> None:
        """Everything was returned, and the controller has said that it is to be waited for: go on soon."""
        if self._returnDone and self.state is SourceState.RETURNING:
            self._goOnBy = self._host.now() + self._host.settings.mergeQuiet
            self._goOnInOrder()

    def _goOnInOrder(self) -> None:
        """Go on once what comes down this end's own path has reached what was returned, or nothing comes."""
        if self._goOnBy is None:
            return
        if self._kept.reached >= self._returned.reached or self._host.now() >= self._goOnBy:
            self.goOn()

    # -- bounds and time

    @property
    def full(self) -> bool:
        """Must the host stop reading packets?  The backlog shrinks meanwhile: its credit does not wait for markers."""
        sending = self.state in (SourceState.DIVERTED, SourceState.WINDOW)
        return sending and self.sender.backlog > self._host.settings.eventBuffer and self._look is None

    def timePassed(self, now: float) -> None:
        """End the late window, the wait for its credit, and a last look, when their time is over."""
        if self.state is SourceState.WINDOW and now >= self._windowEnds:
            self.closeWindow()
        elif self.state is SourceState.CLOSING:
            if self.sender.isIdle or (self._host.connected and now >= self._creditEnds):
                self._closed()
        elif self._look is not None and (self._given or self._look.isOver(now)):
            self.orphaned()
        else:
            self._goOnInOrder()

    def connectionMade(self) -> None:
        """A controller is there again: it says how this ends, and credit has time to come."""
        self._look = None
        self._creditEnds = self._host.now() + self._host.settings.windowQuiet

    def leaseEnded(self) -> None:
        """No controller came back within the lease: decide, if need be after a look at what waits unread."""
        if self.state is SourceState.DIVERTED and not self._given and self.full:
            self._look = LastLook(self._host.now())
        elif self._look is None:
            self.orphaned()

    def orphaned(self) -> None:
        """
        Nobody will say any more how this ends: go on alone, unless the destination has taken over.

        It has when a drain marker came, for these follow COMMIT; then going on would report everything twice.
        """
        if self.state is SourceState.DIVERTED and self._given:
            self._deleteRecords()
            self._closed()
        elif self.state in (SourceState.WINDOW, SourceState.CLOSING):
            self._closed()
        else:
            self.goOn()
