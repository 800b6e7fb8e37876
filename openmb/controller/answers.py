"""
What each end of an operation may say, and which fact it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openmb.errors import OperationError, Refusal
from openmb.wire import messages as m

#: Who may say what, by the end.
Answers = Mapping[m.Side, tuple[type[m.Message], ...]]

MOVE_ANSWERS: Answers = {
    m.Side.SOURCE: (m.Getting, m.Deleted, m.WindowClosed, m.Unmarked, m.Refused),
    m.Side.DESTINATION: (
        m.Prepared,
        m.Installed,
        m.Holding,
        m.DivertConfirmed,
        m.Committed,
        m.Merged,
        m.Discarded,
        m.Refused,
    ),
}
SHARED_ANSWERS: Answers = {
    m.Side.SOURCE: (m.Getting, m.Deleted, m.Unmarked, m.Refused),
    m.Side.DESTINATION: (m.Prepared, m.Installed, m.FinishConfirmed, m.Committed, m.Discarded, m.Refused),
}


def tell(machine: Any, answers: Answers, side: m.Side, message: m.Message) -> None:
    """
    Tell C{machine}, of any sort of operation, what C{message} of the end C{side} means.

    @param answers: what the two ends of such an operation may say.
    @raise OperationError: that end cannot say this.
    @raise automat.NoTransition: not now.
    """
    if not isinstance(message, answers[side]):
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
        case m.FinishConfirmed():
            machine.finishConfirmed()
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
