"""
moveInternal at the controller, as a machine: facts in, actions out.  No clock, no socket.

The table stands in C{docs/handover.md}; the rules behind it (what is journalled before what, where an abort is still
possible) are explained there too.
"""

from __future__ import annotations

from openmb.operations import forward, recover, undo
from openmb.operations.facts import MoveInputs
from openmb.operations.states import (
    EVERY,
    ROUTING_BACK,
    UNDOING,
    awaitingDestination,
    awaitingRoute,
    awaitingSource,
    builder,
    closed,
    deleting,
    routingAlone,
    settingBackToDestination,
    settingBackToSource,
    window,
)

#: The parts whose transitions make the machine; importing them declares these.
PARTS = (forward, undo, recover)

# -- facts that come late: declared one by one, so that anything else stays a bug -------------------------------------

LATE = {
    MoveInputs.installed: (*UNDOING, closed),
    MoveInputs.holdingStarted: (*UNDOING, closed),
    MoveInputs.divertConfirmed: (*UNDOING, closed),
    MoveInputs.routed: (*ROUTING_BACK, *UNDOING, closed),
    MoveInputs.routedBack: (*UNDOING, closed),
    MoveInputs.committed: (deleting, window, closed),
    MoveInputs.merged: (deleting, window, closed),
    MoveInputs.deleted: (window, closed),
    MoveInputs.windowClosed: (closed,),
    MoveInputs.unmarked: (awaitingDestination, awaitingRoute, settingBackToDestination, closed),
    MoveInputs.deadline: (closed,),
    MoveInputs.sourceDied: (closed, routingAlone),
    MoveInputs.destinationDied: (closed,),
    MoveInputs.switchOver: (*UNDOING, closed),
    MoveInputs.endsPresent: (*ROUTING_BACK, *UNDOING, closed),
}
for state in (*UNDOING, closed):
    state.upon(MoveInputs.prepared).loop()(lambda inputs, core, nonce: None)
for state in (awaitingSource, awaitingRoute, settingBackToSource, closed):
    state.upon(MoveInputs.discarded).loop()(lambda inputs, core, returned: None)
for fact, states in LATE.items():
    for state in states:
        state.upon(fact).loop().returns(None)
for state in (*ROUTING_BACK, *UNDOING, closed):
    state.upon(MoveInputs.routeFailed).loop()(lambda inputs, core, reason: None)

for state in (*ROUTING_BACK, *UNDOING, deleting, window, closed):
    state.upon(MoveInputs.commitRefused).loop()(lambda inputs, core, refusal, reason: None)

for state in EVERY:
    state.upon(MoveInputs.where).loop().returns(state.name)
for state in (deleting, window):  # it waits for its deadline: nothing can be undone any more
    state.upon(MoveInputs.deleteRefused).loop()(lambda inputs, core, refusal, reason: None)

moveMachine = builder.build()
