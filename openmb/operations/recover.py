"""
How a move goes on after its controller was restarted: the last entry of the journal decides where.
"""

from __future__ import annotations

from openmb.errors import Refusal
from openmb.operations.facts import MoveCore, MoveInputs
from openmb.operations.forward import tellCommit, tooLate
from openmb.operations.states import (
    aborting,
    awaitingRoute,
    committing,
    deleting,
    dropAtSource,
    idle,
    recoveringAlone,
    recoveringRoute,
    routing,
    routingAlone,
    settingBack,
    settingBackToDestination,
    settingBackToSource,
)
from openmb.operations.undo import (
    backAfterAbort,
    backAfterDeadline,
    backWithoutDestination,
    goOnAlone,
    loseAfterDeadline,
    loseBoth,
    undoBoth,
)
from openmb.operations.values import Stage


@idle.upon(MoveInputs.recoverAbort).to(aborting)
def abortAgain(inputs: MoveInputs, core: MoveCore, reason: str) -> None:
    undoBoth(core, Refusal.ABORTED, reason)


@idle.upon(MoveInputs.recoverBack).to(settingBack)
def backAgain(inputs: MoveInputs, core: MoveCore, reason: str) -> None:
    backAfterAbort(inputs, core, Refusal.ABORTED, reason)


@idle.upon(MoveInputs.recoverCommit).to(committing)
def commitAgain(inputs: MoveInputs, core: MoveCore) -> None:
    tellCommit(inputs, core)


@idle.upon(MoveInputs.recoverDelete).to(deleting)
def deleteAgain(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.expect("delete")
    core.actions.reached(Stage.MERGED)
    dropAtSource(core)


# -- the network may have been asked: whether to ask again depends on who is still there ------------------------------


@idle.upon(MoveInputs.recoverRoute).to(recoveringRoute)
def awaitEnds(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.expect("recover")
    core.actions.reached(Stage.SWITCHING)


@recoveringRoute.upon(MoveInputs.endsPresent).to(routing)
@recoveringAlone.upon(MoveInputs.endsPresent).to(routingAlone)
def routeAgain(inputs: MoveInputs, core: MoveCore) -> None:
    core.actions.expect("route")
    core.actions.setRoute()


recoveringRoute.upon(MoveInputs.sourceDied).to(recoveringAlone)(goOnAlone)
recoveringRoute.upon(MoveInputs.destinationDied).to(settingBackToSource)(backWithoutDestination)
recoveringRoute.upon(MoveInputs.abort).to(settingBack)(backAfterAbort)
recoveringRoute.upon(MoveInputs.deadline).to(settingBack)(backAfterDeadline)
recoveringAlone.upon(MoveInputs.destinationDied).to(awaitingRoute)(loseBoth)
recoveringAlone.upon(MoveInputs.deadline).to(settingBackToDestination)(loseAfterDeadline)
recoveringAlone.upon(MoveInputs.abort).loop()(tooLate)
recoveringAlone.upon(MoveInputs.sourceDied).loop().returns(None)
