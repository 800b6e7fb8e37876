"""
Where one end takes in the other end's stream: open, apply, acknowledge.
"""

from __future__ import annotations

from collections.abc import Callable

from openmb.middlebox.environment import Environment, Participant
from openmb.wire.messages import StreamFrame


class Inlet:
    """
    Acknowledges each frame when it is applied, or later, while too much waits.

    @param apply: takes a frame and its plain content.
    @param withholding: does too much wait to let more come?
    """

    def __init__(
        self,
        host: Environment,
        operation: Participant,
        apply: Callable[[StreamFrame, bytes], None],
        withholding: Callable[[], bool] = lambda: False,
    ) -> None:
        self._host, self._operation = host, operation
        self._apply, self._withholding = apply, withholding
        self._uncredited: StreamFrame | None = None

    def take(self, frame: StreamFrame) -> None:
        """The next frame; one that came already is acknowledged as before, one beyond a gap will come again."""
        receiver = self._operation.receiver
        plain = receiver.receive(frame)
        if plain is None:
            if frame.number <= receiver.received:
                self._host.repeatCredit(self._operation)
            return
        self._apply(frame, plain)
        self._uncredited = frame
        self.release()

    def release(self) -> None:
        """Acknowledge what has been applied, if more may come."""
        if self._uncredited is not None and not self._withholding():
            frame, self._uncredited = self._uncredited, None
            self._host.credit(self._operation, frame)
