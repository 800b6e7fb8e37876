"""
Something that happens once, or fails once, and that any number of callers may wait for.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

Value = TypeVar("Value")


class Milestone(Generic[Value]):
    """Fires once; a caller that comes later gets the result at once."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[Value]] = []
        self._result: tuple[bool, Value | Failure] | None = None

    @property
    def reached(self) -> bool:
        """Has it fired, either way?"""
        return self._result is not None

    def wait(self) -> Deferred[Value]:
        """A fresh Deferred for the result."""
        if self._result is None:
            deferred: Deferred[Value] = Deferred(self._waiting.remove)
            self._waiting.append(deferred)
            return deferred
        good, value = self._result
        return succeed(value) if good else fail(value)  # type: ignore[arg-type]

    def fire(self, value: Value) -> None:
        """It happened; a second result is ignored, the first one stands."""
        self._settle(True, value)

    def failed(self, error: Exception) -> None:
        """It will never happen."""
        self._settle(False, Failure(error))

    def _settle(self, good: bool, value: Value | Failure) -> None:
        if self._result is not None:
            return
        self._result = (good, value)
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if good:
                deferred.callback(value)  # type: ignore[arg-type,unused-ignore]
            else:
                deferred.errback(value)  # type: ignore[arg-type,unused-ignore]
