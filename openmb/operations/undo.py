"""
A move's way back: abort while the source still decides, abort around the route, and the end of both.
"""

from __future__ import annotations

from openmb.errors import Refusal
from openmb.operations.facts import MoveCore, MoveInputs
from openmb.operations.journal import Step
from openmb.operations.states import (
    UNDECIDED,
    UNDOING,
    aborting,
    awaitingDestination,
    awaitingRoute,
    awaitingSource,
    closed,
    committing,
    end,
    routing,
    routingAlone,
    settingBack,
    settingBackToDestination,
    settingBackToSource,
)
from openmb.operations.values import Stage
from openmb.wire.messages import Discard, Unmark

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
settingBackToDestination.upon(MoveInputs.discarded).to(awaitingRoute)(lambda inputs, core, returned: None)
settingBackToDestination.upon(MoveInputs.destinationDied).to(awaitingRoute).returns(None)
settingBackToSource.upon(MoveInputs.destinationDied).loop().returns(None)
settingBackToDestination.upon(MoveInputs.sourceDied).loop().returns(None)
awaitingRoute.upon(MoveInputs.sourceDied).loop().returns(None)
awaitingRoute.upon(MoveInputs.destinationDied).loop().returns(None)


# -- the end of an abort ----------------------------------------------------------------------------------------------


def abortEnded(inputs: MoveInputs, core: MoveCore) -> None:
    end(core, Stage.ABORTED)


@aborting.upon(MoveInputs.discarded).to(awaitingSource)
def nothingReturned(inputs: MoveInputs, core: MoveCore, returned: int) -> None:
    # a destination that had given up before returns nothing, and no RETURN_DONE either: the source need not wait for it
    core.actions.stopMarkers()
    if not returned:
        core.actions.toSource(Unmark(core.request.operation, False))


def abortDiscarded(inputs: MoveInputs, core: MoveCore, returned: int) -> None:
    abortEnded(inputs, core)


aborting.upon(MoveInputs.unmarked).to(awaitingDestination).returns(None)
awaitingSource.upon(MoveInputs.unmarked).to(closed)(abortEnded)
awaitingDestination.upon(MoveInputs.discarded).to(closed)(abortDiscarded)
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
