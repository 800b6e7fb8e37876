"""
The destination's end of a move: provisional records, hold, merge by stamp, give back.

The machine's table stands in C{docs/handover.md}.
"""

from __future__ import annotations

import os

from openmb.errors import OperationError, Refusal
from openmb.middlebox.environment import Environment
from openmb.middlebox.failing import Failing
from openmb.middlebox.faults import engineFaults
from openmb.middlebox.givingback import GivingBack
from openmb.middlebox.inlet import Inlet
from openmb.middlebox.look import LastLook
from openmb.middlebox.merge import StampMerge
from openmb.middlebox.provisional import ProvisionalRecords
from openmb.middlebox.selection import Selection
from openmb.middlebox.states import OVER, UNDECIDED, VOTED, DestinationState
from openmb.middlebox.stream import StreamReceiver, StreamSender, contextOf
from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.packets.marker import BACK_MARKERS
from openmb.state.headers import HeaderFieldList
from openmb.wire.messages import (
    Commit,
    Committed,
    Discard,
    Discarded,
    Hold,
    Holding,
    Merged,
    MessageType,
    Prepare,
    Prepared,
    Refused,
    Side,
    StreamFrame,
    StreamType,
)
from openmb.wire.stream import Marked, unpackEvents, unpackPart


class DestinationOperation(Failing):
    """One move of which this middlebox is the destination."""

    side = Side.DESTINATION

    def __init__(self, host: Environment, request: Prepare) -> None:
        super().__init__(host)
        self.identifier = request.operation
        self.request = request
        self.flows = HeaderFieldList.parse(request.flows)
        host.capabilities.perflow.check(self.flows)
        host.capabilities.perflow.prepare(request.operation, self.flows)
        self.selection = Selection(host.engine, request.operation, self.flows, request.source.name)
        self.nonce = os.urandom(16)
        self.receiver = StreamReceiver(host.keyring, contextOf(host.kind, request, Side.SOURCE, self.nonce))
        self.state = DestinationState.RECEIVING
        self.token: bytes | None = None
        self._merge = StampMerge(host.processAlone, host.now)
        self._givingBack: GivingBack | None = None
        self._provisional = ProvisionalRecords(host, request, self.selection)
        self._records = self._late = self.lost = 0
        self._inlet = Inlet(host, self, self._applyOrFail, self._withholding)
        self._witness = False  # a drain marker of the way forward has been met, here or by the source
        self._look: LastLook | None = None
        self._forgottenAt: float | None = None
        self._merged: Merged | None = None

    @property
    def decided(self) -> bool:
        """Has this end confirmed the source's vote?"""
        return self.state not in (DestinationState.RECEIVING, DestinationState.HOLDING)

    @property
    def over(self) -> bool:
        """Is everything that waited processed, or back at the source?"""
        return self.state in OVER and (self.sender is None or self.sender.isIdle)

    @property
    def sender(self) -> StreamSender | None:
        """This end's own stream, once there is one."""
        return None if self._givingBack is None else self._givingBack.sender

    def prepared(self) -> None:
        """Answer PREPARE, with what has been reached since if it comes again."""
        self._tell(Prepared(self.identifier, self.nonce), self._provisional.installed, self._failed)

    # -- the source's stream

    def streamed(self, frame: StreamFrame) -> None:
        """One frame of the source's stream."""
        if self.state in (DestinationState.RETURNING, DestinationState.RETURNED):
            return
        self._inlet.take(frame)

    @property
    def _mayFail(self) -> bool:
        return self.state in UNDECIDED

    def _withholding(self) -> bool:
        """
        Do too many re-directed packets wait to let more come?

        Not while the witness of COMMIT is missing: the source's own marker may stand behind them in its stream, and the
        one of this end's path behind packets that are not read because too many are held.
        """
        waiting = self._merge.redirectBytes > self._host.settings.redirectBytes
        return waiting and self.state is not DestinationState.COMMITTING

    def _apply(self, frame: StreamFrame, plain: bytes) -> None:
        match frame.type:
            case StreamType.RECORDS:
                self._provisional.put(frame, plain)
            case StreamType.REPROCESS:
                self._reprocess(frame, plain)
            case StreamType.REDIRECT:
                self._redirect(unpackEvents(frame.clear, plain))
            case StreamType.GET_DONE:
                self._host.send(self._provisional.compare(plain))
            case StreamType.DIVERTED:
                self._confirm()
            case StreamType.MARKED:
                self._merge.redirectsPassed(unpackPart(Marked, plain).stamp)
                self._witnessed()
                self._advance()
            case StreamType.DRAINED:
                self._sourceEnded()
            case _:
                if frame.type is not StreamType.OPENED:
                    raise OperationError(Refusal.BAD_REQUEST, f"{frame.type.name} does not come from a source")

    def _reprocess(self, frame: StreamFrame, plain: bytes) -> None:
        if self.state not in (DestinationState.RECEIVING, DestinationState.HOLDING):
            raise OperationError(Refusal.WRONG_STATE, "re-process events after DIVERTED")
        self._provisional.reprocess(frame, plain)

    def _confirm(self) -> None:
        if self.state is not DestinationState.HOLDING:
            raise OperationError(Refusal.WRONG_STATE, "DIVERTED came before HOLD")
        confirmed = self._provisional.confirm()
        self.state = DestinationState.CONFIRMED
        self._host.send(confirmed)

    def _redirect(self, packets: PacketBatch) -> None:
        if self.state is DestinationState.RECEIVING:
            raise OperationError(Refusal.WRONG_STATE, "re-direct events before HOLD")
        packets = self._asked(packets)
        if self.state is DestinationState.MERGED:
            self._late += len(packets)
            self._host.reinject(packets)
            return
        self._merge.redirect(packets)
        self._advance()

    def _asked(self, packets: PacketBatch) -> PacketBatch:
        """
        Those of the source's packets that belong to the operation's flows.

        One that does not ends the operation; when it is too late for that it is left out, and told.
        """
        decoded = self._host.decodeEvents(packets)
        error = self.selection.complaint(decoded)
        if error is None:
            return packets
        if self._mayFail:
            raise error
        self._host.send(Refused(self.identifier, 0, error.refusal, error.reason))
        return packets.select(self.selection.packets(decoded))

    # -- switch-over

    def hold(self, message: Hold) -> None:
        """Matching direct packets wait from here on; earlier windows of this middlebox that they match end."""
        if self.state is DestinationState.RECEIVING:
            self.token = message.token
            self.state = DestinationState.HOLDING
            self._host.capabilities.perflow.freeze(self.flows, self.identifier)
            self._host.endWindows(self.flows)
        self._tell(Holding(self.identifier), self._provisional.confirmed, self._failed)

    @property
    def intercepting(self) -> bool:
        """Does this operation take matching packets away from the engine?"""
        return self.state is not DestinationState.RECEIVING and self.state not in OVER

    def take(self, packets: Decoded) -> None:
        """Matching direct packets."""
        if self.state is DestinationState.RETURNING and self._givingBack is not None:
            self._givingBack.take(packets)
            return
        batch = packets.packets.compact()
        if self._look is not None:
            self._look.read(int(batch.lengths.sum()))
        self._merge.hold(batch)
        self._advance()

    def marker(self, stamp: int, number: int, final: bool) -> None:
        """A genuine drain marker came down the new path."""
        if self.state is DestinationState.RETURNING:
            # one of the way forward may still be on its path: it says nothing about the old route's return
            if final and number >= BACK_MARKERS:
                self._endReturn()
            return
        self._merge.heldPassed(stamp)
        if number < BACK_MARKERS:
            self._witnessed()
        self._advance()

    def commit(self) -> None:
        """COMMIT: own the records, once a marker bears witness; from there on there is output."""
        if self.state in (DestinationState.RETURNING, DestinationState.RETURNED):
            raise OperationError(Refusal.WRONG_STATE, "COMMIT after DISCARD: the records are gone")
        if self.state not in VOTED and self.state in UNDECIDED:
            raise OperationError(Refusal.WRONG_STATE, "COMMIT before the source's vote was confirmed")
        if self.state in VOTED and self._failed is None:
            self.state = DestinationState.COMMITTING
            self._inlet.release()
            self._decide()
        elif self.state in VOTED:
            self._refuseCommit()
        else:
            self._tell(self._committed, self._merged)

    def _fail(self, request: int, error: OperationError) -> None:
        """What fails between COMMIT and its witness refuses the COMMIT: nothing is owned yet."""
        if self.state is DestinationState.COMMITTING:
            self.state, request = DestinationState.CONFIRMED, MessageType.COMMIT
        super()._fail(request, error)

    @property
    def _committed(self) -> Committed:
        return Committed(self.identifier, self._records)

    def _witnessed(self) -> None:
        """
        A marker of the way forward: the controller has written COMMIT, and the source knows it too, or will.

        See "The marker decides" in C{docs/recovery.md}.
        """
        self._witness = True
        self._decide()

    def _decide(self) -> None:
        if self.state is DestinationState.COMMITTING and self._witness:
            self._own()

    def _own(self) -> None:
        """Take the records over, and tell; or tell why not."""
        try:
            with engineFaults("taking the records over"):
                self._records = self._host.capabilities.perflow.commit(self.identifier)
        except OperationError as error:
            self._fail(MessageType.COMMIT, error)
            self.state = DestinationState.CONFIRMED  # also where nobody had said COMMIT
            return
        self.state = DestinationState.MERGING
        self._host.send(self._committed)
        self._advance()

    def sourceGone(self) -> None:
        """The source died after its vote, and after COMMIT was written: what it has sent is all there is."""
        self._sourceEnded()
        self._witnessed()

    def _sourceEnded(self) -> None:
        """DRAINED, or the source is dead: nothing more will be re-directed in time."""
        if not self._merge.drained:
            self._merge.drain(self._host.settings.mergeQuiet)
        self._advance()

    def _advance(self) -> None:
        """Apply what both sequences have reached."""
        if self.state is DestinationState.MERGING:
            isAll = self._merge.advance()
            self._inlet.release()
            if isAll:
                self._endMerge()

    def _endMerge(self) -> None:
        self._merge.finish()
        self._inlet.release()
        self.state = DestinationState.MERGED
        self._thaw()
        merge = self._merge
        longest = int(merge.longest * 1e6)
        self._merged = Merged(self.identifier, merge.redirected, merge.held, self._late, longest, self.lost)
        self._host.send(self._merged)

    # -- abort

    def discard(self, message: Discard) -> None:
        """Drop what is provisional; held packets of its own flows are processed, the others perhaps given back."""
        if self.state in (DestinationState.MERGING, DestinationState.MERGED):
            raise OperationError(Refusal.WRONG_STATE, "the records are committed")
        if self.state is DestinationState.RETURNED:
            self._tell(self._discarded)
        elif self.state is not DestinationState.RETURNING:
            self._discard(message.giveBack)

    @property
    def _discarded(self) -> Discarded:
        return Discarded(self.identifier, 0 if self._givingBack is None else self._givingBack.returned)

    def _discard(self, giveBack: bool) -> None:
        self._look = None
        with self._host.setAside.enduring("dropping provisional records"):
            self._host.capabilities.perflow.discard(self.identifier)
        self._thaw()
        held = self._merge.abandon()
        if giveBack:
            self._giveBack(held)
            return
        self._host.ended(self, {Discard: (self._discarded,)})
        if held is not None:
            self._host.reinject(held)
        self._host.send(self._discarded)

    def _thaw(self) -> None:
        with self._host.setAside.enduring("the end of a hand-over"):
            self._host.capabilities.perflow.thaw(self.identifier)

    def _giveBack(self, held: PacketBatch | None) -> None:
        self.state = DestinationState.RETURNING
        nonce = self.nonce + self.receiver.salt
        context = contextOf(self._host.kind, self.request, Side.DESTINATION, nonce)
        keyring = self.receiver.keyring
        self._givingBack = GivingBack(self._host, self.identifier, keyring, context, self.request.window)
        if held is not None:
            self._givingBack.take(self._host.decodeEvents(held))

    def _endReturn(self) -> None:
        """No more packets come here; the operation stays until CLOSE, for what the source has not acknowledged."""
        if self._givingBack is not None:
            self._givingBack.end()
        self.state = DestinationState.RETURNED
        self._host.send(self._discarded)

    # -- bounds and time

    @property
    def full(self) -> bool:
        """Must the host stop reading packets?"""
        settings = self._host.settings
        if self.state is DestinationState.RETURNING:
            return self.sender is not None and self.sender.backlog > settings.eventBuffer
        return self._merge.heldBytes > settings.holdBytes and self._look is None

    def timePassed(self, now: float) -> None:
        """After DRAINED, do not wait for ever for the direct path's marker; a last look has an end."""
        if self.state is DestinationState.MERGING and self._merge.isQuiet(now):
            self._endMerge()
        elif self._look is not None and (self._witness or self._look.isOver(now)):
            self._look = None
            self.orphaned()

    def connectionMade(self) -> None:
        """A controller is there again: it says how this ends."""
        self._look = self._forgottenAt = None

    def leaseEnded(self) -> None:
        """
        No controller came back within the lease: decide, if need be after a look at what waits unread.

        What is over is kept for a second lease: the source's is longer, and what it still has may come.
        """
        if self.state in UNDECIDED and not self._witness and self.full:
            self._look = LastLook(self._host.now())
        elif self._look is None and self.state in OVER:
            self._forgetLater()
        elif self._look is None:
            self.orphaned()

    def _forgetLater(self) -> None:
        now = self._host.now()
        if self._forgottenAt is None:
            self._forgottenAt = now + self.request.lease / 1000
        elif now >= self._forgottenAt:
            committed = (self._committed,) if self._merged is None else (self._committed, self._merged)
            merged = self.state is DestinationState.MERGED
            self._host.ended(self, {Commit: committed} if merged else {Discard: (self._discarded,)})

    def orphaned(self) -> None:
        """
        Nobody will say any more how this ends: own the records if a marker came, since then the source gives them up.

        Otherwise what is provisional goes: the source goes on alone.
        """
        if self.state in VOTED and self._witness and self._failed is None:
            self._own()
        if self.state is DestinationState.MERGING:
            self._endMerge()
        elif self.state is DestinationState.RETURNING:
            self._endReturn()
        elif self.state in UNDECIDED:
            self._discard(False)
