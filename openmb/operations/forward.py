"""
A move's way forward: bulk transfer, switch-over, and what ends it after COMMIT.
"""

from __future__ import annotations

from openmb.errors import Refusal
from openmb.operations.common import milliseconds, terms
from openmb.operations.facts import MoveCore, MoveInputs
from openmb.operations.journal import Step
from openmb.operations.states import (
    COMMITTED,
    ROUTING_BACK,
    UNDOING,
    closed,
    committing,
    deleting,
    diverting,
    draining,
    dropAtSource,
    end,
    exporting,
    holding,
    idle,
    installedState,
    preparing,
    routing,
    routingAlone,
    window,
)
from openmb.operations.values import Stage
from openmb.wire.messages import Commit, Divert, Get, Hold, Prepare, SourceGone

# -- the way forward --------------------------------------------------------------------------------------------------


@idle.upon(MoveInputs.begin).to(preparing)
def prepare(inputs: MoveInputs, core: MoveCore) -> None:
    if not core.actions.journal(Step.OPEN):
        inputs.abort(Refusal.JOURNAL_FAILED, "the journal cannot be written")
        return
    core.actions.expect("prepare")
    core.actions.toDestination(Prepare(*terms(core.request), milliseconds(core.request.settings.destinationLease)))


@preparing.upon(MoveInputs.prepared).to(exporting)
def get(inputs: MoveInputs, core: MoveCore, nonce: bytes) -> None:
    core.actions.expect("transfer")
    core.actions.toSource(Get(*terms(core.request), milliseconds(core.request.settings.sourceLease), nonce))


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
    core.actions.expect("route")
    core.actions.setRoute()


@routing.upon(MoveInputs.routed).to(committing)
def commit(inputs: MoveInputs, core: MoveCore) -> None:
    if not core.actions.journal(Step.COMMIT):
        inputs.commitRefused(Refusal.JOURNAL_FAILED, "the journal cannot be written")
        return
    tellCommit(inputs, core)


def tellCommit(inputs: MoveInputs, core: MoveCore) -> None:
    """COMMIT is in the journal: from here on the operation only goes forward, and the markers say so to both ends."""
    core.actions.expect("commit")
    core.actions.reached(Stage.ROUTED)
    core.actions.toDestination(Commit(core.request.operation))
    if not core.sourceAlive:
        core.actions.toDestination(SourceGone(core.request.operation))
    core.actions.startMarkers(False)


routingAlone.upon(MoveInputs.routed).to(committing)(commit)


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


# -- death and deadline after COMMIT ----------------------------------------------------------------------------------


def sayGone(inputs: MoveInputs, core: MoveCore) -> None:
    core.sourceAlive = False
    reason = f"the source {core.request.source.name} was lost before it had drained: packets may be missing"
    core.actions.failed(Refusal.PEER_DIED, reason)
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
