"""
Runs one coroutine on the reactor from its start to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from openmb.demo.processes import IDemoReactor

T = TypeVar("T")


def theReactor() -> IDemoReactor:
    """The reactor of this process."""
    from twisted.internet import reactor

    return cast(IDemoReactor, cast(Any, reactor))


def runOnReactor(work: Coroutine[Any, Any, T], cleanUp: Callable[[], Awaitable[None]]) -> T:
    """
    What C{work} returns; afterwards, whatever happens, C{cleanUp} is awaited.

    The reactor is crashed rather than stopped at the end, so that it can run again for the next measurement.

    @raise KeyboardInterrupt: a signal stopped the reactor.
    """
    loop: Any = theReactor()
    ended: list[T | Failure] = []
    stopping: list[bool] = []  # by a signal: what fails since everything is ended then is no result

    async def whole() -> T:
        try:
            return await work
        finally:
            await cleanUp()

    def end(result: T | Failure) -> None:
        if not stopping:
            ended.append(result)
            loop.crash()

    def interrupted() -> Deferred[None]:
        stopping.append(True)
        return Deferred.fromCoroutine(cast(Any, cleanUp()))

    trigger = loop.addSystemEventTrigger("before", "shutdown", interrupted)
    loop.callWhenRunning(lambda: Deferred.fromCoroutine(whole()).addBoth(end))
    loop.run()
    if not ended:
        raise KeyboardInterrupt
    loop.removeSystemEventTrigger(trigger)
    result = ended[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
