"""
A clock that stands still until told, with a heap of calls: thousands of delayed calls cost little.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IDelayedCall)
class SimulatedCall:
    """One call in the heap."""

    __slots__ = ("_clock", "_time", "arguments", "called", "cancelled", "function", "keywords", "serial")

    def __init__(
        self,
        clock: SimulatedClock,
        time: float,
        serial: int,
        function: Callable[..., object],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> None:
        self._clock, self._time, self.serial = clock, time, serial
        self.function, self.arguments, self.keywords = function, arguments, keywords
        self.called = self.cancelled = False

    def __lt__(self, other: SimulatedCall) -> bool:
        return (self._time, self.serial) < (other._time, other.serial)

    def getTime(self) -> float:
        return self._time

    def active(self) -> bool:
        return not (self.called or self.cancelled)

    def cancel(self) -> None:
        if self.cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled
        self.cancelled = True

    def reset(self, secondsFromNow: float) -> None:
        self.delay(self._clock.seconds() + secondsFromNow - self._time)

    def delay(self, secondsLater: float) -> None:
        if not self.active():
            raise AlreadyCalled if self.called else AlreadyCancelled
        self._clock.move(self, self._time + secondsLater)


@implementer(IReactorTime)
class SimulatedClock:
    """C{IReactorTime} whose time passes only in L{run}."""

    def __init__(self) -> None:
        self._now = 0.0
        self._serial = 0
        self._heap: list[SimulatedCall] = []

    def seconds(self) -> float:
        return self._now

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> SimulatedCall:
        self._serial += 1
        call = SimulatedCall(self, self._now + max(delay, 0.0), self._serial, callable, args, kw)
        heapq.heappush(self._heap, call)
        return call

    def getDelayedCalls(self) -> Sequence[SimulatedCall]:
        return [call for call in self._heap if call.active()]

    def move(self, call: SimulatedCall, time: float) -> None:
        """Give C{call} another time."""
        call._time = time
        heapq.heapify(self._heap)

    def run(self, until: float) -> None:
        """Let time pass up to C{until}, making every call that comes due, in order."""
        heap = self._heap
        while heap and heap[0]._time <= until:
            call = heapq.heappop(heap)
            if call.cancelled:
                continue
            self._now = max(self._now, call._time)
            call.called = True
            call.function(*call.arguments, **call.keywords)
        self._now = max(self._now, until)
