"""
Has somebody logged in over SSH?  Told from the lengths of what the server sends once nothing can be read any more.

The rule is that of Zeek's SSH analyser: after the answer to the service request, of which all that matters is its
length, comes a refusal, since clients ask first without a password; every later segment of the same length is another
refusal, one that is 16 bytes shorter than the first answer lets the client in.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

#: The server's segments that are looked at: servers give up after fewer attempts.
MOST_SEGMENTS = 64
#: By how much the message that lets in is shorter than the one that accepts the request.
_SHORTER = 16


class Login(enum.IntEnum):
    """How it ended."""

    UNKNOWN = 0
    FAILED = 1
    SUCCEEDED = 2


@dataclass(slots=True)
class LoginWatch:
    """
    @ivar accepted: length of the first segment, 0 before it.
    @ivar refused: length of the first refusal, 0 before it.
    @ivar attempts: how often it was tried since, 255 at most.
    @ivar outcome: of the last attempt.
    @ivar left: segments that are still looked at; 0: nothing is, or nothing yet.
    """

    accepted: int = 0
    refused: int = 0
    attempts: int = 0
    outcome: Login = Login.UNKNOWN
    left: int = 0

    def begin(self) -> None:
        """The server's next bytes are the first that cannot be read."""
        self.left = MOST_SEGMENTS

    def segment(self, length: int) -> None:
        """So many bytes came together."""
        if not self.left:
            return
        self.left -= 1
        if not self.accepted:
            self.accepted = length
        elif length + _SHORTER == self.accepted:
            self._tried(Login.SUCCEEDED)
            self.left = 0
        elif not self.refused:
            self.refused = length
        elif length == self.refused:
            self._tried(Login.FAILED)

    def _tried(self, outcome: Login) -> None:
        self.attempts = min(self.attempts + 1, 255)
        self.outcome = outcome
