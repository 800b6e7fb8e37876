"""
The states of a move, and the two acts that several of its parts share.
"""

from __future__ import annotations

from automat import TypeMachineBuilder

from openmb.operations.facts import MoveCore, MoveInputs
from openmb.operations.journal import Step
from openmb.operations.values import Stage
from openmb.wire.messages import Close, Delete

builder = TypeMachineBuilder(MoveInputs, MoveCore)

idle = builder.state("idle")
preparing = builder.state("preparing")
exporting = builder.state("exporting")
installedState = builder.state("installed")
holding = builder.state("holding")
diverting = builder.state("diverting")
recoveringRoute = builder.state("recoveringRoute")
recoveringAlone = builder.state("recoveringAlone")
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
RECOVERING = (recoveringRoute, recoveringAlone)
FORWARD = (*UNDECIDED, *RECOVERING, routing, routingAlone, *COMMITTED, deleting, window)
EVERY = (idle, *FORWARD, *ROUTING_BACK, *UNDOING, closed)


def dropAtSource(core: MoveCore) -> None:
    """Ask the source for the silent delete."""
    core.actions.toSource(Delete(core.request.operation, core.request.settings.lateWindow))


def end(core: MoveCore, stage: Stage) -> None:
    """
    Nothing more will happen: journal it, let both ends forget, tell the application.

    The ends forget only what the journal says is over: they must be able to answer a controller that is restarted from
    an earlier entry.  The performer tells them when an entry that could not be written is written at last.
    """
    core.actions.stopMarkers()
    if core.actions.journal(Step.CLOSED, stage.value):
        core.actions.toSource(Close(core.request.operation))
        core.actions.toDestination(Close(core.request.operation))
    core.actions.reached(stage)
