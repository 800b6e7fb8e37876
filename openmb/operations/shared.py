"""
cloneSupport and mergeInternal at the controller, as a machine: facts in, actions out.  No clock, no socket.

Table and messages stand in C{docs/protocol.md}.  Nothing is routed and no packet waits; a clone and a merge differ only
in when they are finished.
"""

from __future__ import annotations

from typing import Protocol

from automat import TypeMachineBuilder

from openmb.errors import Refusal
from openmb.operations.common import Core, Inputs, close, milliseconds, terms
from openmb.operations.journal import Step
from openmb.operations.values import Stage
from openmb.wire.messages import Commit, Delete, Discard, Finish, Get, Prepare, Sort, SourceGone, Unmark


class SharedInputs(Inputs, Protocol):
    """The facts that a clone or a merge knows besides."""

    def finish(self) -> None:
        """It has gone on for long enough."""

    def finishConfirmed(self) -> None:
        """The source has voted, and the destination has everything."""


builder = TypeMachineBuilder(SharedInputs, Core)

idle = builder.state("idle")
preparing = builder.state("preparing")
exporting = builder.state("exporting")
installedState = builder.state("installed")
finishing = builder.state("finishing")
committing = builder.state("committing")
deleting = builder.state("deleting")
aborting = builder.state("aborting")
awaitingSource = builder.state("awaitingSource")
awaitingDestination = builder.state("awaitingDestination")
closed = builder.state("closed")

UNDECIDED = (preparing, exporting, installedState, finishing)
UNDOING = (aborting, awaitingSource, awaitingDestination)

# -- the way forward --------------------------------------------------------------------------------------------------


@idle.upon(SharedInputs.begin).to(preparing)
def prepare(inputs: SharedInputs, core: Core) -> None:
    if not core.actions.journal(Step.OPEN):
        inputs.abort(Refusal.JOURNAL_FAILED, "the journal cannot be written")
        return
    request = core.request
    core.actions.expect("prepare")
    lease = milliseconds(request.settings.destinationLease)
    core.actions.toDestination(Prepare(*terms(request), lease, request.sort))


@preparing.upon(SharedInputs.prepared).to(exporting)
def get(inputs: SharedInputs, core: Core, nonce: bytes) -> None:
    request = core.request
    core.actions.expect("transfer")
    lease = milliseconds(request.settings.sourceLease)
    core.actions.toSource(Get(*terms(request), lease, nonce, request.sort))


@exporting.upon(SharedInputs.installed).to(installedState)
def announceInstalled(inputs: SharedInputs, core: Core) -> None:
    core.actions.expect("clone")
    core.actions.reached(Stage.INSTALLED)
    if core.request.sort is Sort.MERGE:
        inputs.finish()


@installedState.upon(SharedInputs.finish).to(finishing)
def finish(inputs: SharedInputs, core: Core) -> None:
    core.actions.expect("finish")
    core.actions.reached(Stage.FINISHING)
    core.actions.toSource(Finish(core.request.operation))


@finishing.upon(SharedInputs.finishConfirmed).to(committing)
def commit(inputs: SharedInputs, core: Core) -> None:
    if not core.actions.journal(Step.COMMIT):
        inputs.commitRefused(Refusal.JOURNAL_FAILED, "the journal cannot be written")
        return
    commitAgain(inputs, core)


def commitAgain(inputs: SharedInputs, core: Core) -> None:
    """
    COMMIT is in the journal: it is repeated until it is answered.

    Only the destination knows whether it has what was taken, and nobody waits for that but who asked: so it has long.
    """
    core.actions.expect("doubt")
    core.actions.toDestination(Commit(core.request.operation))


@committing.upon(SharedInputs.committed).to(deleting)
def delete(inputs: SharedInputs, core: Core) -> None:
    core.actions.journal(Step.COMMITTED)
    deleteAgain(inputs, core)


def deleteAgain(inputs: SharedInputs, core: Core) -> None:
    """The destination has it: the source drops what it took."""
    core.actions.expect("delete")
    core.actions.reached(Stage.MERGED)
    core.actions.toSource(Delete(core.request.operation, 0))
    if not core.sourceAlive:
        inputs.deleted()


@deleting.upon(SharedInputs.deleted).to(closed)
@deleting.upon(SharedInputs.sourceDied).to(closed)
def done(inputs: SharedInputs, core: Core) -> None:
    close(core, Stage.FINISHED)


@deleting.upon(SharedInputs.deadline).to(closed)
def notDropped(inputs: SharedInputs, core: Core) -> None:
    core.actions.failed(Refusal.DEADLINE, "the source did not say that it has dropped what was taken")
    close(core, Stage.FINISHED)


@deleting.upon(SharedInputs.deleteRefused).to(closed)
def wentOnAlone(inputs: SharedInputs, core: Core, refusal: Refusal, reason: str) -> None:
    """The source has folded back what the destination has too: a merge between the two counts it once again."""
    core.actions.failed(refusal, f"the source went on alone, what was taken is at both ends: {reason}")
    close(core, Stage.FINISHED)


# -- the way back -----------------------------------------------------------------------------------------------------


def undo(core: Core, refusal: Refusal, reason: str) -> None:
    """Both ends go back; one that is dead has nothing to undo."""
    core.actions.failed(refusal, reason)
    core.actions.journal(Step.ABORT, reason)
    core.actions.expect("abort")
    if core.destinationAlive:
        core.actions.toDestination(Discard(core.request.operation, False))
    if core.sourceAlive:
        core.actions.toSource(Unmark(core.request.operation, False))


def tooLong(inputs: SharedInputs, core: Core) -> None:
    undo(core, Refusal.DEADLINE, "a middlebox or the application did not answer in time")
    if not core.sourceAlive:
        inputs.unmarked()


def abort(inputs: SharedInputs, core: Core, refusal: Refusal, reason: str) -> None:
    undo(core, refusal, reason)
    if not core.sourceAlive:
        inputs.unmarked()


def destinationLost(inputs: SharedInputs, core: Core) -> None:
    """With the destination goes whatever it had: the source goes on as if never asked."""
    core.destinationAlive = False
    undo(core, Refusal.PEER_DIED, f"the destination {core.request.destination.name} died")
    if not core.sourceAlive:
        inputs.unmarked()


@preparing.upon(SharedInputs.sourceDied).to(awaitingDestination)
@exporting.upon(SharedInputs.sourceDied).to(awaitingDestination)
def sourceLost(inputs: SharedInputs, core: Core) -> None:
    core.sourceAlive = False
    undo(core, Refusal.PEER_DIED, f"the source {core.request.source.name} died before everything had arrived")


@installedState.upon(SharedInputs.sourceDied).to(finishing)
@finishing.upon(SharedInputs.sourceDied).loop()
def goOnAlone(inputs: SharedInputs, core: Core) -> None:
    """What was copied or taken has arrived; the last changes of a clone may be missing."""
    core.sourceAlive = False
    core.actions.expect("finish")
    core.actions.toDestination(SourceGone(core.request.operation))


@committing.upon(SharedInputs.sourceDied).loop()
def sourceLostLate(inputs: SharedInputs, core: Core) -> None:
    core.sourceAlive = False


for state in UNDECIDED:
    state.upon(SharedInputs.abort).to(aborting)(abort)
    state.upon(SharedInputs.deadline).to(aborting)(tooLong)
    state.upon(SharedInputs.destinationDied).to(awaitingSource)(destinationLost)
for state in (finishing, committing):
    state.upon(SharedInputs.commitRefused).to(aborting)(abort)


@committing.upon(SharedInputs.deadline).to(aborting)
def doubtful(inputs: SharedInputs, core: Core) -> None:
    """Nobody can wait for ever: rather everything is reported twice than lost."""
    undo(core, Refusal.DEADLINE, "the destination did not answer COMMIT: if it is alive, both may have what was taken")
    if not core.sourceAlive:
        inputs.unmarked()


committing.upon(SharedInputs.destinationDied).to(awaitingSource)(destinationLost)


@committing.upon(SharedInputs.abort).loop()
@deleting.upon(SharedInputs.abort).loop()
def tooLate(inputs: SharedInputs, core: Core, refusal: Refusal, reason: str) -> None:
    """The destination may have been told to commit: the performer has told the caller that it is too late."""


def aborted(inputs: SharedInputs, core: Core) -> None:
    close(core, Stage.ABORTED)


aborting.upon(SharedInputs.discarded).to(awaitingSource)(lambda inputs, core, returned: None)
aborting.upon(SharedInputs.unmarked).to(awaitingDestination).returns(None)
aborting.upon(SharedInputs.sourceDied).to(awaitingDestination).returns(None)
aborting.upon(SharedInputs.destinationDied).to(awaitingSource).returns(None)
awaitingSource.upon(SharedInputs.unmarked).to(closed)(aborted)
awaitingSource.upon(SharedInputs.sourceDied).to(closed)(aborted)
awaitingDestination.upon(SharedInputs.discarded).to(closed)(lambda inputs, core, returned: aborted(inputs, core))
awaitingDestination.upon(SharedInputs.destinationDied).to(closed)(aborted)
for state in UNDOING:
    state.upon(SharedInputs.deadline).to(closed)(aborted)

# -- after a restart --------------------------------------------------------------------------------------------------


@idle.upon(SharedInputs.recoverAbort).to(aborting)
def abortAgain(inputs: SharedInputs, core: Core, reason: str) -> None:
    undo(core, Refusal.ABORTED, reason)


idle.upon(SharedInputs.recoverCommit).to(committing)(commitAgain)
idle.upon(SharedInputs.recoverDelete).to(deleting)(deleteAgain)

# -- facts that come late: declared one by one, so that anything else stays a bug -------------------------------------

LATE = {
    SharedInputs.installed: (*UNDOING, closed),
    SharedInputs.finish: (finishing, committing, deleting, *UNDOING, closed),
    SharedInputs.finishConfirmed: (committing, deleting, *UNDOING, closed),
    SharedInputs.committed: (deleting, *UNDOING, closed),
    SharedInputs.deleted: (closed, *UNDOING),
    SharedInputs.unmarked: (awaitingDestination, closed),
    SharedInputs.sourceDied: (awaitingDestination, closed),
    SharedInputs.destinationDied: (deleting, awaitingSource, closed),
    SharedInputs.deadline: (closed,),
}
for fact, states in LATE.items():
    for state in states:
        state.upon(fact).loop().returns(None)
for state in (*UNDOING, closed):
    state.upon(SharedInputs.prepared).loop()(lambda inputs, core, nonce: None)
    state.upon(SharedInputs.abort).loop()(lambda inputs, core, refusal, reason: None)
    state.upon(SharedInputs.commitRefused).loop()(lambda inputs, core, refusal, reason: None)
for state in (awaitingSource, closed):
    state.upon(SharedInputs.discarded).loop()(lambda inputs, core, returned: None)
deleting.upon(SharedInputs.commitRefused).loop()(lambda inputs, core, refusal, reason: None)

for state in (idle, *UNDECIDED, committing, deleting, *UNDOING, closed):
    state.upon(SharedInputs.where).loop().returns(state.name)

sharedMachine = builder.build()
