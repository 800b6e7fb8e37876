"""
Which fact an answer of an end is.
"""

from __future__ import annotations

from typing import Any

from openmb.wire import messages as m


def tell(machine: Any, message: m.Message) -> None:
    """
    Tell C{machine}, of any sort of operation, what C{message} means.

    Who may say it, and when, was checked before (C{openmb.operations.sayings}).
    """
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
        case m.Refused(request=m.MessageType.DELETE):
            machine.deleteRefused(message.refusal, message.reason)
        case m.Refused():
            machine.abort(message.refusal, message.reason)
