"""
Credit that a host owes to the streams it receives.
"""

from __future__ import annotations

from collections.abc import Callable

from openmb.middlebox.environment import Participant
from openmb.wire.messages import Credit, Message, Side, StreamFrame


def makerOf(operation: Participant) -> Side:
    """The end whose stream this end receives."""
    return Side.DESTINATION if operation.side is Side.SOURCE else Side.SOURCE


class CreditBook:
    """
    Acknowledges frames: small ones together, at the next L{flush}; large ones at once.

    @param send: takes each message for the controller.
    """

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._owed: dict[tuple[int, Side], tuple[int, int]] = {}

    def give(self, operation: Participant, frame: StreamFrame) -> None:
        """Acknowledge everything up to C{frame}."""
        operation.receiver.credited = frame.number
        key = (operation.identifier, frame.side)
        size = self._owed.get(key, (0, 0))[1] + frame.size
        self._owed[key] = (frame.number, size)
        if size * 8 >= operation.request.window:
            self._pay(key)

    def repeat(self, operation: Participant) -> None:
        """Acknowledge again what was acknowledged last: that may have been lost."""
        if operation.receiver.credited >= 0:
            key = (operation.identifier, makerOf(operation))
            self._owed.setdefault(key, (operation.receiver.credited, 0))

    def flush(self) -> None:
        """Send what is owed."""
        for key in tuple(self._owed):
            self._pay(key)

    def _pay(self, key: tuple[int, Side]) -> None:
        number, _ = self._owed.pop(key)
        self._send(Credit(key[0], key[1], number))
