"""
moveInternal at the controller, as a machine: facts in, actions out.  No clock, no socket.

The table stands in C{docs/handover.md}; the rules behind it (what is journalled before what, where an abort is still
possible) are explained there too.
"""

from __future__ import annotations

from automat import TypeMachineBuilder

from openmb.errors import Refusal
from openmb.operations.facts import MoveCore, MoveInputs
from openmb.operations.journal import Step
from openmb.operations.values import Stage
from openmb.wire.messages import (
    Close,
    Commit,
    Delete,
    Discard,
    Divert,
    Get,
    Hold,
    Prepare,
    SourceGone,
    Unmark,
)

builder = TypeMachineBuilder(MoveInputs, MoveCore)

idle = builder.state("idle")
preparing = builder.state("preparing")
exporting = builder.state("exporting")
installedState = builder.state("installed")
holding = builder.state("holding")
diverting = builder.state("diverting")
routing = builder.state("routing")
routingAlone = builder.state("routingAlone")
committing = builder.state("committing")
draining = builder.state("draining")
deleting = builder.state("deleting")
window = builder.state("window")
settingBack = builder.state("settingBack")
settingBackToSource = builder.state("settingBackToSource")
settingBackToDestination = builder.state("settingBackToDestination")
awaitingRoute = builder.state("awaitingRoute")
aborting = builder.state("aborting")
awaitingSource = builder.state("awaitingSource")
awaitingDestination = builder.state("awaitingDestination")
closed = builder.state("closed")

UNDECIDED = (preparing, exporting, installedState, holding, diverting)
#: An operation does not end before the old route is back: a later one on the same flows would be overtaken by it.
ROUTING_BACK = (settingBack, settingBackToSource, settingBackToDestination, awaitingRoute)
UNDOING = (aborting, awaitingSource, awaitingDestination)
COMMITTED = (committing, draining)
EVERY = (idle, *UNDECIDED, routing, routingAlone, *COMMITTED, deleting, window, *ROUTING_BACK, *UNDOING, closed)


# -- the way forward --------------------------------------------------------------------------------------------------


@idle.upon(MoveInputs.begin).to(preparing)
def prepare(inputs: MoveInputs, core: MoveCore) -> None:
    request = core.request
    core.actions.journal(Step.OPEN)
    core.actions.expect("prepare")
    core.actions.toDestination(
        Prepare(
            request.operation,
            request.flows,
            request.settings.cells,
            request.source,
            request.destination,
            request.settings.window,
        )
    )


@preparing.upon(MoveInputs.prepared).to(exporting)
def get(inputs: MoveInputs, core: MoveCore) -> None:
    request = core.request
    core.actions.expect("transfer")
    core.actions.toSource(
        Get(
            request.operation,
            request.flows,
            request.settings.cells,
            request.source,
            request.destination,
            request.settings.window,
        )
    )


@exporting.upon(MoveInputs.installed).to(installedState)
def announceInstalled(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.expect("application")
    core.actions.reached(Stage.INSTALLED)


@installedState.upon(MoveInputs.switchOver).to(holding)
def hold(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.journal(Step.SWITCHING)
    core.actions.expect("hold")
    core.actions.reached(Stage.SWITCHING)
    core.actions.toDestination(Hold(core.request.operation, core.request.token))


@holding.upon(MoveInputs.holdingStarted).to(diverting)
def divert(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.expect("divert")
    core.actions.toSource(Divert(core.request.operation, core.request.token))


@diverting.upon(MoveInputs.divertConfirmed).to(routing)
def changeRoute(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.journal(Step.ROUTE)
    core.actions.expect("route")
    core.actions.setRoute()


@routing.upon(MoveInputs.routed).to(committing)
def commit(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.journal(Step.COMMIT)
    core.actions.expect("commit")
    core.actions.reached(Stage.ROUTED)
    core.actions.toDestination(Commit(core.request.operation))
    core.actions.startMarkers(False)


@routingAlone.upon(MoveInputs.routed).to(committing)
def commitAlone(inputs: MoveInputs, core: MoveCore) -> None:
    commit(inputs, core)
    core.actions.toDestination(SourceGone(core.request.operation))


@committing.upon(MoveInputs.committed).to(draining)
def drain(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.journal(Step.DRAINING)
    core.actions.expect("drain")


@draining.upon(MoveInputs.merged).to(deleting)
def delete(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.stopMarkers()
    core.actions.journal(Step.COMMITTED)
    core.actions.expect("delete")
    core.actions.reached(Stage.MERGED)
    dropAtSource(core)
    if not core.sourceAlive:
        inputs.deleted()


@deleting.upon(MoveInputs.deleted).to(window)
def watchWindow(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.expect("window")
    core.actions.reached(Stage.MOVED)
    if not core.sourceAlive:
        inputs.windowClosed()


@window.upon(MoveInputs.windowClosed).to(closed)
@window.upon(MoveInputs.deadline).to(closed)
def finish(inputs: MoveInputs, core: MoveCore) -> None:
    end(core, Stage.FINISHED)


def dropAtSource(core: MoveCore) -> None:
    """Ask the source for the silent delete."""
    core.actions.toSource(Delete(core.request.operation, core.request.settings.lateWindow))


def end(core: MoveCore, stage: Stage) -> None:
    """Nothing more will happen: journal it, let both ends forget, tell the application."""
    core.actions.stopMarkers()
    core.actions.journal(Step.CLOSED)
    core.actions.toSource(Close(core.request.operation))
    core.actions.toDestination(Close(core.request.operation))
    core.actions.reached(stage)


# -- abort, while the source still decides ----------------------------------------------------------------------------


def undoBoth(core: MoveCore, refusal: Refusal, reason: str) -> None:
    """Neither end has gone too far: both go back."""
    core.actions.failed(refusal, reason)
    core.actions.journal(Step.ABORT, reason)
    core.actions.expect("abort")
    core.actions.toDestination(Discard(core.request.operation, False))
    core.actions.toSource(Unmark(core.request.operation, False))


def abort(inputs: MoveInputs, core: MoveCore, refusal: Refusal, reason: str) -> None:
    undoBoth(core, refusal, reason)


def tooLong(inputs: MoveInputs, core: MoveCore) -> None:
    undoBoth(core, Refusal.DEADLINE, "a middlebox or the application did not answer in time")


def discardAlone(inputs: MoveInputs, core: MoveCore) -> None:
    core.sourceAlive = False
    core.actions.failed(Refusal.PEER_DIED, f"the source {core.request.source.name} died before its vote")
    core.actions.journal(Step.ABORT, "source died")
    core.actions.expect("abort")
    core.actions.toDestination(Discard(core.request.operation, False))


def unmarkAlone(inputs: MoveInputs, core: MoveCore) -> None:
    core.destinationAlive = False
    core.actions.failed(Refusal.PEER_DIED, f"the destination {core.request.destination.name} died")
    core.actions.journal(Step.ABORT, "destination died")
    core.actions.expect("abort")
    core.actions.toSource(Unmark(core.request.operation, False))


for state in UNDECIDED:
    state.upon(MoveInputs.abort).to(aborting)(abort)
    state.upon(MoveInputs.deadline).to(aborting)(tooLong)
    state.upon(MoveInputs.sourceDied).to(awaitingDestination)(discardAlone)
    state.upon(MoveInputs.destinationDied).to(awaitingSource)(unmarkAlone)


# -- abort around the route -------------------------------------------------------------------------------------------


def goBack(core: MoveCore, refusal: Refusal, reason: str) -> None:
    """The route may have changed: set it back before anything else."""
    core.actions.failed(refusal, reason)
    core.actions.journal(Step.BACK, reason)
    core.actions.expect("route")
    core.actions.setRouteBack()


@routing.upon(MoveInputs.routeFailed).to(settingBack)
def backAfterFailure(inputs: MoveInputs, core: MoveCore, reason: str) -> None:
    goBack(core, Refusal.ROUTE_FAILED, reason)


@committing.upon(MoveInputs.commitRefused).to(settingBack)
def backAfterRefusal(inputs: MoveInputs, core: MoveCore, refusal: Refusal, reason: str) -> None:
    core.actions.stopMarkers()
    goBack(core, refusal, reason)


@routing.upon(MoveInputs.abort).to(settingBack)
def backAfterAbort(inputs: MoveInputs, core: MoveCore, refusal: Refusal, reason: str) -> None:
    goBack(core, refusal, reason)


@routing.upon(MoveInputs.deadline).to(settingBack)
def backAfterDeadline(inputs: MoveInputs, core: MoveCore) -> None:
    goBack(core, Refusal.DEADLINE, "the network did not answer in time")


@settingBack.upon(MoveInputs.routedBack).to(aborting)
@settingBack.upon(MoveInputs.deadline).to(aborting)
def giveBack(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.expect("abort")
    core.actions.toSource(Unmark(core.request.operation, core.destinationAlive))
    core.actions.toDestination(Discard(core.request.operation, True))
    core.actions.startMarkers(True)


def forgetDestination(core: MoveCore) -> None:
    """The destination is dead: the source need not wait for anything to be returned."""
    core.destinationAlive = False
    core.actions.toSource(Unmark(core.request.operation, False))


@routing.upon(MoveInputs.destinationDied).to(settingBackToSource)
def backWithoutDestination(inputs: MoveInputs, core: MoveCore) -> None:
    goBack(core, Refusal.PEER_DIED, f"the destination {core.request.destination.name} died")
    forgetDestination(core)


@settingBack.upon(MoveInputs.destinationDied).to(settingBackToSource)
def loseDestination(inputs: MoveInputs, core: MoveCore) -> None:
    forgetDestination(core)


@routing.upon(MoveInputs.sourceDied).to(routingAlone)
def goOnAlone(inputs: MoveInputs, core: MoveCore) -> None:
    core.sourceAlive = False


@settingBack.upon(MoveInputs.sourceDied).to(settingBackToDestination)
def loseSource(inputs: MoveInputs, core: MoveCore) -> None:
    core.sourceAlive = False
    core.actions.toDestination(Discard(core.request.operation, False))


@routingAlone.upon(MoveInputs.routeFailed).to(settingBackToDestination)
def loseAfterFailure(inputs: MoveInputs, core: MoveCore, reason: str) -> None:
    goBack(core, Refusal.ROUTE_FAILED, reason)
    core.actions.toDestination(Discard(core.request.operation, False))


@routingAlone.upon(MoveInputs.deadline).to(settingBackToDestination)
def loseAfterDeadline(inputs: MoveInputs, core: MoveCore) -> None:
    loseAfterFailure(inputs, core, "the network did not answer in time, and the source is dead")


@routingAlone.upon(MoveInputs.destinationDied).to(awaitingRoute)
def loseBoth(inputs: MoveInputs, core: MoveCore) -> None:
    core.destinationAlive = False
    goBack(core, Refusal.PEER_DIED, "source and destination died")


settingBackToSource.upon(MoveInputs.routedBack).to(awaitingSource).returns(None)
settingBackToSource.upon(MoveInputs.unmarked).to(awaitingRoute).returns(None)
settingBackToSource.upon(MoveInputs.sourceDied).to(awaitingRoute).returns(None)
settingBackToDestination.upon(MoveInputs.routedBack).to(awaitingDestination).returns(None)
settingBackToDestination.upon(MoveInputs.discarded).to(awaitingRoute).returns(None)
settingBackToDestination.upon(MoveInputs.destinationDied).to(awaitingRoute).returns(None)
settingBackToSource.upon(MoveInputs.destinationDied).loop().returns(None)
settingBackToDestination.upon(MoveInputs.sourceDied).loop().returns(None)
awaitingRoute.upon(MoveInputs.sourceDied).loop().returns(None)
awaitingRoute.upon(MoveInputs.destinationDied).loop().returns(None)


# -- death and deadline after COMMIT ----------------------------------------------------------------------------------


def sayGone(inputs: MoveInputs, core: MoveCore) -> None:
    core.sourceAlive = False
    core.actions.toDestination(SourceGone(core.request.operation))


def ownerLost(core: MoveCore, refusal: Refusal, reason: str) -> None:
    """The destination owns the records and does not answer: the source must not go on with them."""
    core.actions.failed(refusal, reason)
    core.actions.stopMarkers()
    core.actions.expect("delete")
    dropAtSource(core)


def ownerDied(inputs: MoveInputs, core: MoveCore) -> None:
    core.destinationAlive = False
    ownerLost(core, Refusal.PEER_DIED, f"the destination {core.request.destination.name} died after it had taken over")
    if not core.sourceAlive:
        inputs.deleted()


def ownerSilent(inputs: MoveInputs, core: MoveCore) -> None:
    ownerLost(core, Refusal.DEADLINE, "the destination took over but did not finish in time")
    if not core.sourceAlive:
        inputs.deleted()


def tooLate(inputs: MoveInputs, core: MoveCore, refusal: Refusal, reason: str) -> None:
    """An abort after COMMIT: the performer has told the caller that it is too late."""


for state in COMMITTED:
    state.upon(MoveInputs.sourceDied).loop()(sayGone)
    state.upon(MoveInputs.destinationDied).to(deleting)(ownerDied)
    state.upon(MoveInputs.deadline).to(deleting)(ownerSilent)
for state in (routingAlone, *COMMITTED, deleting, window, *ROUTING_BACK, *UNDOING, closed):
    state.upon(MoveInputs.abort).loop()(tooLate)


@deleting.upon(MoveInputs.sourceDied).to(window)
@deleting.upon(MoveInputs.deadline).to(window)
def nothingToDelete(inputs: MoveInputs, core: MoveCore) -> None:
    core.sourceAlive = False
    watchWindow(inputs, core)


@window.upon(MoveInputs.sourceDied).to(closed)
def windowDied(inputs: MoveInputs, core: MoveCore) -> None:
    core.sourceAlive = False
    finish(inputs, core)


deleting.upon(MoveInputs.destinationDied).loop().returns(None)
window.upon(MoveInputs.destinationDied).loop().returns(None)


# -- the end of an abort ----------------------------------------------------------------------------------------------


def abortEnded(inputs: MoveInputs, core: MoveCore) -> None:
    end(core, Stage.ABORTED)


aborting.upon(MoveInputs.discarded).to(awaitingSource).returns(None)
aborting.upon(MoveInputs.unmarked).to(awaitingDestination).returns(None)
awaitingSource.upon(MoveInputs.unmarked).to(closed)(abortEnded)
awaitingDestination.upon(MoveInputs.discarded).to(closed)(abortEnded)
awaitingRoute.upon(MoveInputs.routedBack).to(closed)(abortEnded)
for state in (*UNDOING, settingBackToSource, settingBackToDestination, awaitingRoute):
    state.upon(MoveInputs.deadline).to(closed)(abortEnded)


@aborting.upon(MoveInputs.destinationDied).to(awaitingSource)
def unmarkWithoutReturns(inputs: MoveInputs, core: MoveCore) -> None:
    core.destinationAlive = False
    core.actions.stopMarkers()
    core.actions.toSource(Unmark(core.request.operation, False))


@awaitingSource.upon(MoveInputs.destinationDied).loop()
def unmarkAgain(inputs: MoveInputs, core: MoveCore) -> None:
    unmarkWithoutReturns(inputs, core)


@aborting.upon(MoveInputs.sourceDied).to(awaitingDestination)
def sourceDiedAborting(inputs: MoveInputs, core: MoveCore) -> None:
    core.sourceAlive = False


awaitingSource.upon(MoveInputs.sourceDied).to(closed)(abortEnded)
awaitingDestination.upon(MoveInputs.destinationDied).to(closed)(abortEnded)
awaitingDestination.upon(MoveInputs.sourceDied).loop().returns(None)

# -- facts that come late: declared one by one, so that anything else stays a bug -------------------------------------

LATE = {
    MoveInputs.prepared: (*UNDOING, closed),
    MoveInputs.installed: (*UNDOING, closed),
    MoveInputs.holdingStarted: (*UNDOING, closed),
    MoveInputs.divertConfirmed: (*UNDOING, closed),
    MoveInputs.routed: (*ROUTING_BACK, *UNDOING, closed),
    MoveInputs.routedBack: (*UNDOING, closed),
    MoveInputs.committed: (deleting, window, closed),
    MoveInputs.merged: (deleting, window, closed),
    MoveInputs.deleted: (window, closed),
    MoveInputs.windowClosed: (deleting, closed),
    MoveInputs.discarded: (awaitingSource, awaitingRoute, settingBackToSource, closed),
    MoveInputs.unmarked: (awaitingDestination, awaitingRoute, settingBackToDestination, closed),
    MoveInputs.deadline: (closed,),
    MoveInputs.sourceDied: (closed, routingAlone),
    MoveInputs.destinationDied: (closed,),
    MoveInputs.switchOver: (*UNDOING, closed),
}
for fact, states in LATE.items():
    for state in states:
        state.upon(fact).loop().returns(None)
for state in (*ROUTING_BACK, *UNDOING, closed):
    state.upon(MoveInputs.routeFailed).loop()(lambda inputs, core, reason: None)

for state in (*ROUTING_BACK, *UNDOING, deleting, window, closed):
    state.upon(MoveInputs.commitRefused).loop()(lambda inputs, core, refusal, reason: None)

moveMachine = builder.build()
