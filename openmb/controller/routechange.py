"""
One operation's change of route: what it replaces, asking for it, and setting it back.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, Route

#: Why a network could not be asked: it may be back in a moment.
UNREACHABLE = frozenset({Refusal.DISCONNECTED, Refusal.DEADLINE})
#: Seconds between two attempts to set a route back, and in all.
RETRY, PATIENCE = 0.2, 8.0


class RouteChange:
    """
    @ivar route: the new rule, None until the application has given it.
    @ivar previous: the rule that it replaces; None: there is none.
    @ivar asked: the network may have got the new rule; then L{route} and L{previous} are in the journal.
    """

    log = Logger()

    def __init__(
        self,
        network: INetwork,
        clock: IReactorTime,
        route: Route | None,
        previous: Route | None = None,
        asked: bool = False,
    ) -> None:
        self.route, self.previous, self.asked = route, previous, asked
        self._network, self._clock = network, clock
        self._wanted = False
        self._asking: Deferred[None] | None = None

    @property
    def journalled(self) -> tuple[Route | None, Route | None]:
        """What an entry of the journal says: the new and the old rule, once the network may have been asked."""
        return (self.route, self.previous) if self.asked else (None, None)

    def apply(self, durable: Callable[[], bool], done: Callable[[], None], failed: Callable[[str], None]) -> None:
        """
        Ask for the new rule; neither C{done} nor C{failed} is called once L{setBack} was.

        @param durable: writes the journal, after the old rule is known and before the network is asked.
        """
        self._wanted = True
        asking = Deferred.fromCoroutine(self._apply(durable))
        self._asking = asking

        def answered(_: None) -> None:
            if self._wanted:
                done()

        def refused(failure: Failure) -> None:
            self.log.warn("the new route: {reason}", reason=failure.getErrorMessage())
            if self._wanted:
                failed(failure.getErrorMessage())

        asking.addCallbacks(answered, refused)

    async def _apply(self, durable: Callable[[], bool]) -> None:
        if self.route is None:
            raise OperationError(Refusal.ROUTE_FAILED, "no route was given")
        first = not self.asked
        if first:
            self.previous = await self._network.current(self.route)
        if not self._wanted:
            return
        self.asked = True
        if first and not durable():
            self.asked = False
            raise OperationError(Refusal.JOURNAL_FAILED, "the journal cannot be written")
        try:
            await self._network.route(self.route)
        except OperationError as error:
            if error.refusal is Refusal.ROUTE_FAILED and first:
                self.asked = False  # nothing was changed; after any other failure it may have been
            raise

    def setBack(self, done: Callable[[], None]) -> None:
        """Ask for the old rule; C{done} also when that failed for good, which is logged."""
        self._wanted = False
        asked = Deferred.fromCoroutine(self._setBack())
        asked.addErrback(lambda failure: self.log.error("route not set back: {e}", e=failure.getErrorMessage()))
        asked.addCallback(lambda _: done())

    async def _setBack(self) -> None:
        if self._asking is not None:
            # what was asked first must be answered first: else the two changes could overtake each other
            waiting: Deferred[None] = Deferred()
            self._asking.addBoth(lambda result: waiting.callback(None))
            await waiting
        if self.route is None or not self.asked:
            return
        deadline = self._clock.seconds() + PATIENCE
        while True:
            try:
                if self.previous is not None:
                    await self._network.route(self.previous)
                else:
                    await self._network.unroute(self.route)
            except OperationError as error:
                if error.refusal not in UNREACHABLE or self._clock.seconds() >= deadline:
                    raise
                self.log.warn("the old route cannot be asked for yet: {reason}", reason=error.reason)
                await deferLater(self._clock, RETRY)
            else:
                return
