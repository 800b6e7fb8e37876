"""
What each end of an operation may say, and which fact it is.
"""

from __future__ import annotations

from openmb.errors import OperationError, Refusal
from openmb.operations.facts import MoveInputs
from openmb.operations.shared import SharedInputs
from openmb.wire import messages as m

SOURCE_ANSWERS = (m.Getting, m.Deleted, m.WindowClosed, m.Unmarked, m.Refused)
DESTINATION_ANSWERS = (
    m.Prepared,
    m.Installed,
    m.Holding,
    m.DivertConfirmed,
    m.Committed,
    m.Merged,
    m.Discarded,
    m.Refused,
)


def tell(machine: MoveInputs, side: m.Side, message: m.Message) -> None:
    """
    Tell C{machine} what C{message} of the end C{side} means.

    @raise OperationError: that end cannot say this.
    @raise automat.NoTransition: not now.
    """
    if not isinstance(message, SOURCE_ANSWERS if side is m.Side.SOURCE else DESTINATION_ANSWERS):
        raise OperationError(Refusal.BAD_REQUEST, f"{type(message).__name__} is not for this side to say")
    match message:
        case m.Prepared():
            machine.prepared(message.nonce)
        case m.Installed():
            machine.installed()
        case m.Holding():
            machine.holdingStarted()
        case m.DivertConfirmed():
            machine.divertConfirmed()
        case m.Committed():
            machine.committed()
        case m.Merged():
            machine.merged()
        case m.Deleted():
            machine.deleted()
        case m.WindowClosed():
            machine.windowClosed()
        case m.Discarded():
            machine.discarded(message.returned)
        case m.Unmarked():
            machine.unmarked()
        case m.Refused(request=m.MessageType.COMMIT):
            machine.commitRefused(message.refusal, message.reason)
        case m.Refused():
            machine.abort(message.refusal, message.reason)


SHARED_SOURCE = (m.Getting, m.Deleted, m.Unmarked, m.WindowClosed, m.Refused)
SHARED_DESTINATION = (m.Prepared, m.Installed, m.FinishConfirmed, m.Committed, m.Discarded, m.Refused)


def tellShared(machine: SharedInputs, side: m.Side, message: m.Message) -> None:
    """
    L{tell} for clones and merges.

    @raise OperationError: that end cannot say this.
    @raise automat.NoTransition: not now.
    """
    if not isinstance(message, SHARED_SOURCE if side is m.Side.SOURCE else SHARED_DESTINATION):
        raise OperationError(Refusal.BAD_REQUEST, f"{type(message).__name__} is not for this side to say")
    match message:
        case m.Prepared():
            machine.prepared(message.nonce)
        case m.Installed():
            machine.installed()
        case m.FinishConfirmed():
            machine.finishConfirmed()
        case m.Committed():
            machine.committed()
        case m.Deleted():
            machine.deleted()
        case m.Discarded():
            machine.discarded(message.returned)
        case m.Unmarked():
            machine.unmarked()
        case m.Refused(request=m.MessageType.COMMIT):
            machine.commitRefused(message.refusal, message.reason)
        case m.Refused():
            machine.abort(message.refusal, message.reason)
