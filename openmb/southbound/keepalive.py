"""
When an end of a connection sends PING, and when it gives up.
"""

from __future__ import annotations

from openmb.errors import ProtocolError
from openmb.wire.messages import Ping

#: PINGs that may stay unanswered.
MISSED_LIMIT = 3


class KeepAlive:
    """
    Watches the hand-shake's deadline first, and silence once the session is open.

    @ivar heard: a byte came since the last L{timePassed}.
    """

    def __init__(self, deadline: float) -> None:
        self.heard = False
        self._deadline = deadline
        self._interval: float | None = None
        self._since: float | None = None  # when the silence, or the hand-shake, began
        self._missed = 0

    def opened(self, interval: float) -> None:
        """The hand-shake is over; C{interval} seconds of silence call for a PING."""
        self._interval, self.heard = interval, True

    def timePassed(self, now: float) -> list[Ping]:
        """@raise ProtocolError: something is overdue."""
        if self._since is None or (self._interval is not None and self.heard):
            self._since, self._missed = now, 0
        self.heard = False
        silence = now - self._since
        if self._interval is None:
            if silence >= self._deadline:
                raise ProtocolError(f"no hand-shake within {self._deadline:g} s")
            return []
        if silence < self._interval * (self._missed + 1):
            return []
        if self._missed == MISSED_LIMIT:
            raise ProtocolError(f"nothing heard for {silence:.1f} s, {self._missed} PINGs unanswered")
        self._missed += 1
        return [Ping(self._missed)]
