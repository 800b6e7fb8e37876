"""
How a destination of any sort of operation says that it cannot go on: once, and again to whoever asks again.
"""

from __future__ import annotations

from dataclasses import replace

from openmb.errors import OperationError
from openmb.middlebox.environment import Environment
from openmb.wire.messages import Message, MessageType, Refused, StreamFrame


class Failing:
    """
    A destination's frames, and the one that could not be applied.

    @ivar identifier: of the operation.
    """

    identifier: int

    def __init__(self, host: Environment) -> None:
        self._host = host
        self._failed: Refused | None = None

    @property
    def _mayFail(self) -> bool:
        """Can the operation still end here?  What cannot be applied later is a fault."""
        return True

    def _apply(self, frame: StreamFrame, plain: bytes) -> None:
        """Do what a frame says."""
        raise AssertionError("a subclass knows its frames")

    def _tell(self, *answers: Message | None) -> None:
        for answer in answers:
            if answer is not None:
                self._host.send(answer)

    def _applyOrFail(self, frame: StreamFrame, plain: bytes) -> None:
        """A frame that cannot be applied ends the operation: that is told, and again to whoever asks again."""
        if self._failed is not None:
            return
        try:
            self._apply(frame, plain)
        except OperationError as error:
            if not self._mayFail:
                raise
            self._fail(0, error)

    def _refuseCommit(self) -> None:
        """COMMIT comes, and something had failed before: say that this end owns nothing, and will not."""
        if self._failed is not None:
            self._host.send(replace(self._failed, request=MessageType.COMMIT))

    def _fail(self, request: int, error: OperationError) -> None:
        self._failed = Refused(self.identifier, request, error.refusal, error.reason)
        self._host.send(self._failed)
