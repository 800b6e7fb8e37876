"""
Mutants of the rules of survival (C{docs/recovery.md}): lost connections, restarts from the journal, leases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from openmb.controller.ends import End
from openmb.controller.operation import OperationPerformer
from openmb.controller.performer import MovePerformer
from openmb.middlebox.destination import DestinationOperation
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.outcomes import Outcome, Outcomes
from openmb.middlebox.source import SourceOperation
from openmb.middlebox.states import DestinationState
from openmb.middlebox.stream import StreamReceiver, StreamSender
from openmb.operations.journal import Entry, Step
from openmb.testing.simulation.mutants import Mutant
from openmb.wire.messages import Peer, StreamFrame


def _actFirst() -> Mutant:
    """An entry is written some milliseconds after the act that it stands for."""
    original = OperationPerformer.journal

    def journal(self: OperationPerformer, step: Step, reason: str = "") -> bool:
        self._around.clock.callLater(0.005, original, self, step, reason)
        self._owned = self._owned or step is Step.COMMIT
        return True

    return Mutant("act before writing the journal", ((OperationPerformer, "journal", journal),), "restarts")


def _forgetCopies() -> Mutant:
    """A source that goes on has not kept what it re-directed."""
    original = SourceOperation.goOn

    def goOn(self: SourceOperation) -> None:
        self._kept.clear()
        original(self)

    return Mutant("forget the copies", ((SourceOperation, "goOn", goOn),))


def _shortLease() -> Mutant:
    """The source's lease ends before the destination's."""

    def checkLeases(self: MiddleboxHost, alone: float) -> None:
        for operation in tuple(self._operations.values()):
            lease = operation.request.lease / 1000
            if alone >= (lease / 20 if isinstance(operation, SourceOperation) else lease):
                operation.leaseEnded()

    return Mutant(
        "the source's lease shorter than the destination's", ((MiddleboxHost, "_checkLeases", checkLeases),), "leases"
    )


def _noWitness() -> Mutant:
    """The destination owns the records as soon as it has COMMIT."""

    def decide(self: DestinationOperation) -> None:
        if self.state is DestinationState.COMMITTING:
            self._own()

    return Mutant("commit without waiting for the marker", ((DestinationOperation, "_decide", decide),), "leases")


def _abortAfterCommit() -> Mutant:
    """A restarted controller undoes what was committed."""
    original = MovePerformer.recover

    def recover(self: MovePerformer, entry: Entry) -> None:
        late = entry.step in (Step.COMMIT, Step.DRAINING)
        original(self, replace(entry, step=Step.OPEN) if late else entry)

    return Mutant("a restart that aborts after COMMIT", ((MovePerformer, "recover", recover),), "restarts")


def _noResend() -> Mutant:
    """RESUME is passed over."""

    def resume(self: StreamSender, number: int) -> None:
        return None

    return Mutant("resume without sending the frames again", ((StreamSender, "resume", resume),), "breaks")


def _applyTwice() -> Mutant:
    """Frames that were sent again are applied again."""
    original = StreamReceiver.receive

    def receive(self: StreamReceiver, frame: StreamFrame) -> bytes | None:
        reached = self.received
        if 0 < frame.number <= reached:
            self.received = frame.number - 1
        plain = original(self, frame)
        self.received = max(self.received, reached)
        return plain

    return Mutant("frames sent again are applied again", ((StreamReceiver, "receive", receive),))


def _resendAll() -> Mutant:
    """RESUME sends everything that is not acknowledged, whatever the other end has."""
    original = StreamSender.resume

    def resume(self: StreamSender, number: int) -> None:
        original(self, -1)

    changes = ((StreamSender, "resume", resume), *_applyTwice().changes)
    return Mutant("resume from the beginning, and duplicates applied", changes, "breaks")


def _forgetOutcome() -> Mutant:
    """A middlebox forgets how an operation ended before CLOSE."""

    def remember(self: Outcomes, outcome: Outcome) -> None:
        return None

    return Mutant("an outcome forgotten before CLOSE", ((Outcomes, "remember", remember),), "endings")


def _sameIncarnation() -> Mutant:
    """A new process is taken for the one that died."""

    def equal(self: Peer, other: object) -> bool:
        return isinstance(other, Peer) and self.name == other.name

    return Mutant("a new incarnation taken for the old one", ((Peer, "__eq__", equal),), "returns")


def _noRepeat() -> Mutant:
    """The last command is not sent again when a middlebox returns."""

    def repeat(self: End) -> None:
        return None

    return Mutant("commands are not repeated", ((End, "repeat", repeat),), "breaks")


def _orphanForgets() -> Mutant:
    """A source whose lease ends goes on alone although it has met a marker."""
    original = SourceOperation.orphaned

    def orphaned(self: SourceOperation) -> None:
        self._given = False
        original(self)

    return Mutant("a source that goes on alone after a marker", ((SourceOperation, "orphaned", orphaned),), "leases")


def _ownWithoutMarker() -> Mutant:
    """A destination whose lease ends takes over without having met a marker."""
    original = DestinationOperation.orphaned

    def orphaned(self: DestinationOperation) -> None:
        self._witness = True
        original(self)

    return Mutant(
        "a destination that takes over without a marker", ((DestinationOperation, "orphaned", orphaned),), "leases"
    )


def _closeFirst() -> Mutant:
    """Both ends are told to forget an operation although the journal does not say that it is over."""
    original = OperationPerformer.journal

    def journal(self: OperationPerformer, step: Step, reason: str = "") -> bool:
        return original(self, step, reason) or step is Step.CLOSED

    return Mutant("forgotten before the journal says so", ((OperationPerformer, "journal", journal),), "disks")


def _forgetReturned() -> Mutant:
    """A source that goes on has forgotten what was given back to it."""
    original = SourceOperation.goOn

    def goOn(self: SourceOperation) -> None:
        self._returned.clear()
        original(self)

    return Mutant("forget what was given back", ((SourceOperation, "goOn", goOn),), "givingBack")


MAKERS: tuple[Callable[[], Mutant], ...] = (
    _actFirst,
    _forgetCopies,
    _shortLease,
    _noWitness,
    _abortAfterCommit,
    _noResend,
    _resendAll,
    _forgetOutcome,
    _sameIncarnation,
    _noRepeat,
    _orphanForgets,
    _ownWithoutMarker,
    _closeFirst,
    _forgetReturned,
)

#: Every mutant of survival; each must be noticed within the seeds that the suite gives it.
SURVIVAL_MUTANTS = tuple(make() for make in MAKERS)
