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

    __slots__ = ("_clock", "_time", "arguments", "called", "cancelled", "function", "keywords")

    def __init__(
        self,
        clock: SimulatedClock,
        time: float,
        function: Callable[..., object],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> None:
        self._clock, self._time = clock, time
        self.function, self.arguments, self.keywords = function, arguments, keywords
        self.called = self.cancelled = False

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
        # (time, serial number, call): calls made first come first among equals, and comparing needs no Python
        self._heap: list[tuple[float, int, SimulatedCall]] = []

    def seconds(self) -> float:
        return self._now

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> SimulatedCall:
        call = SimulatedCall(self, self._now + max(delay, 0.0), callable, args, kw)
        self._push(call)
        return call

    def _push(self, call: SimulatedCall) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (call.getTime(), self._serial, call))

    def getDelayedCalls(self) -> Sequence[SimulatedCall]:
        return [call for time, _, call in self._heap if call.active() and call.getTime() == time]

    def move(self, call: SimulatedCall, time: float) -> None:
        """Give C{call} another time; its old place in the heap is passed over."""
        call._time = time
        self._push(call)

    def run(self, until: float) -> None:
        """Let time pass up to C{until}, making every call that comes due, in order."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            time, _, call = heapq.heappop(heap)
            if call.cancelled or call.called or call.getTime() != time:
                continue
            self._now = max(self._now, time)
            call.called = True
            call.function(*call.arguments, **call.keywords)
        self._now = max(self._now, until)
