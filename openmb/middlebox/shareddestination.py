"""
The destination's end of a clone or a merge: provisional shared state, folded into its own at COMMIT.

The machine's table stands in C{docs/protocol.md}.
"""

from __future__ import annotations

import os

from openmb.errors import OperationError, Refusal
from openmb.middlebox.environment import Environment
from openmb.middlebox.failing import Failing
from openmb.middlebox.faults import engineFaults
from openmb.middlebox.inlet import Inlet
from openmb.middlebox.provisional import ProvisionalShared
from openmb.middlebox.states import SharedDestinationState
from openmb.middlebox.stream import StreamReceiver, contextOf
from openmb.wire.messages import (
    Commit,
    Committed,
    Discard,
    Discarded,
    MessageType,
    Prepare,
    Prepared,
    Side,
    StreamFrame,
    StreamType,
)


class SharedDestination(Failing):
    """One clone or merge of which this middlebox is the destination.  No packet waits for it."""

    side = Side.DESTINATION
    sender = None
    exporting = False

    def __init__(self, host: Environment, request: Prepare) -> None:
        super().__init__(host)
        self.request = request
        self.identifier = request.operation
        with engineFaults("making room for shared state"):
            host.capabilities.shared.prepareShared(request.operation, request.cells)
        self.nonce = os.urandom(16)
        self.receiver = StreamReceiver(host.keyring, contextOf(host.kind, request, Side.SOURCE, self.nonce))
        self.state = SharedDestinationState.RECEIVING
        self._provisional = ProvisionalShared(host, request)
        self._inlet = Inlet(host, self, self._applyOrFail)

    @property
    def decided(self) -> bool:
        """Is everything here that COMMIT needs?"""
        return self.state is SharedDestinationState.CONFIRMED

    @property
    def over(self) -> bool:
        """Not before COMMIT or DISCARD; then the operation is gone."""
        return False

    def prepared(self) -> None:
        """Answer PREPARE, with what has been reached since if it comes again."""
        reached = (self._provisional.installed, self._provisional.finished)
        self._tell(Prepared(self.identifier, self.nonce), *reached, self._failed)

    # -- the source's stream

    def streamed(self, frame: StreamFrame) -> None:
        """One frame of the source's stream."""
        self._inlet.take(frame)

    def _apply(self, frame: StreamFrame, plain: bytes) -> None:
        if self.state is SharedDestinationState.CONFIRMED:
            raise OperationError(Refusal.WRONG_STATE, f"{frame.type.name} after FINISHED")
        match frame.type:
            case StreamType.RECORDS:
                self._provisional.put(frame, plain)
            case StreamType.GET_DONE:
                self.state = SharedDestinationState.INSTALLED
                self._host.send(self._provisional.compare(plain))
            case StreamType.REPROCESS:
                self._provisional.reprocess(frame, plain)
            case StreamType.CHANGES:
                self._provisional.change(frame, plain)
            case StreamType.FINISHED:
                self._confirm(plain)
            case _:
                if frame.type is not StreamType.OPENED:
                    raise OperationError(Refusal.BAD_REQUEST, f"{frame.type.name} does not belong to shared state")

    def _confirm(self, plain: bytes | None) -> None:
        finished = self._provisional.finish(plain)
        self.state = SharedDestinationState.CONFIRMED
        self._host.send(finished)

    def sourceGone(self) -> None:
        """The source is dead: what was installed is all there is."""
        if self.decided or self._failed is not None:
            self._tell(self._provisional.finished, self._failed)
            return
        try:
            self._confirm(None)
        except OperationError as error:
            self._fail(0, error)

    # -- the end

    def commit(self) -> None:
        """COMMIT: fold it into the engine's own, whole and once."""
        if self._failed is not None:
            self._refuseCommit()
            return
        if not self.decided:
            raise OperationError(Refusal.WRONG_STATE, f"COMMIT while {self.state.value}: not everything is here")
        try:
            with engineFaults("folding shared state in"):
                records = self._host.capabilities.shared.commitShared(self.identifier)
        except OperationError as error:
            self._fail(MessageType.COMMIT, error)
            return
        committed = Committed(self.identifier, records)
        self._host.ended(self, {Commit: (committed,)})
        self._host.send(committed)

    def discard(self, message: Discard) -> None:
        """Drop what is provisional, in silence."""
        self.orphaned()

    def orphaned(self) -> None:
        """Nobody will say COMMIT any more: drop what is provisional."""
        with self._host.setAside.enduring("dropping provisional shared state"):
            self._host.capabilities.shared.discard(self.identifier)
        discarded = Discarded(self.identifier, 0)
        self._host.ended(self, {Discard: (discarded,)})
        self._host.send(discarded)

    # -- time

    def timePassed(self, now: float) -> None:
        """Nothing here waits for time."""

    def connectionMade(self) -> None:
        """A controller is there again: it says how this ends."""

    def leaseEnded(self) -> None:
        """No controller came back within the lease: take no COMMIT any more; the source's lease is longer."""
        self.orphaned()
