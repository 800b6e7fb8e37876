"""
The states of a move, and the two acts that several of its parts share.
"""

from __future__ import annotations

from automat import TypeMachineBuilder

from openmb.operations.common import close
from openmb.operations.facts import MoveCore, MoveInputs
from openmb.operations.values import Stage
from openmb.wire.messages import Delete

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
    """It is over: see L{close}."""
    core.actions.stopMarkers()
    close(core, stage)
