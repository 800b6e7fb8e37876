"""
Keeps the network as it is wanted: the routes in the journal are set again when a switch or a port comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from itertools import groupby
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from openmb.controller.networkwatch import NetworkWatch
from openmb.controller.routechange import UNREACHABLE
from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, NetworkState, Route
from openmb.operations.journal import IJournal

#: Routes that can be wanted.
WANTED_LIMIT = 2000
#: Seconds between two looks at the network, and while it cannot be reached.
LOOK, AGAIN = 0.5, 0.2


class RouteKeeper:
    """
    Which routes are wanted, and whether the network has them.

    Routes that an operation is changing are left alone until it is over: it asks for the new or the old one itself.
    Rules in the network that nobody wanted through this controller are left alone for good.

    @param changing: the routes that operations are changing now.
    @param registered: the names of the middleboxes that are connected.
    @ivar watch: what is wrong.
    @ivar present: the rules that were in effect when they were last compared.
    """

    log = Logger()

    def __init__(
        self,
        network: INetwork,
        journal: IJournal,
        clock: IReactorTime,
        changing: Callable[[], Sequence[Route]],
        registered: Callable[[], Set[str]],
    ) -> None:
        self._network, self._journal, self._clock = network, journal, clock
        self._changing = changing
        self.watch = NetworkWatch(clock, registered)
        self._compared: str | None = None  # the network's generation that was compared
        self.present: Sequence[Route] = ()
        self._missing: dict[Route, str] = {}
        self._isFirst = True
        self._toAdopt: list[Route] = []
        self._underWay: list[Route] = []  # that an application is changing
        self._moved: set[tuple[Any, ...]] = set()  # what was changed while the network was compared
        self._isComparing = False
        self._next: IDelayedCall | None = None
        self._running = False

    # -- what is wanted

    @property
    def wanted(self) -> tuple[Route, ...]:
        """The routes that are wanted, in the order in which they were."""
        return self._journal.wanted()

    async def route(self, route: Route) -> Route | None:
        """
        Have C{route} in effect, and wanted from then on; the rule that it replaces.

        @raise OperationError: C{INTERSECTING_OPERATION}, an operation is changing it; C{BUFFER_FULL}, too many are
            wanted; C{JOURNAL_FAILED}; the network refuses it, or cannot be asked.  What was wanted before still is.
        """
        checkRoom(self._journal, route)
        return await self._change(route, self._network.route, self._journal.want)

    async def unroute(self, route: Route) -> Route | None:
        """
        Have no rule with the place of C{route} in effect, or wanted; the one that is removed.

        @raise OperationError: as L{route}.
        """
        former = self._inPlace(route)
        removed = await self._change(route, self._network.unroute, self._journal.unwant)
        return former if removed is None else removed

    async def _change(
        self, route: Route, ask: Callable[[Route], Deferred[Route | None]], wish: Callable[[Route], None]
    ) -> Route | None:
        """First the network, then the journal: whoever is refused finds the order of all others as it was."""
        if _isOneOf(route, self._busy):
            raise OperationError(Refusal.INTERSECTING_OPERATION, "this route is being changed")
        self._underWay.append(route)
        if self._isComparing:
            self._moved.add(route.place)
        try:
            former = await ask(route)
            try:
                wish(route)
            except OperationError:
                await (self._network.unroute(route) if former is None else self._network.route(former))
                raise
            return former
        finally:
            self._underWay.remove(route)
            self.changed()

    def _inPlace(self, route: Route) -> Route | None:
        return next((each for each in self.wanted if each.replaces(route)), None)

    @property
    def _busy(self) -> list[Route]:
        return [*self._changing(), *self._underWay]

    def changed(self) -> None:
        """Something else may be wanted now: compare at the next look."""
        self._compared = None

    # -- looking

    def start(self) -> None:
        """Look now, and again and again until L{stop}."""
        self._running = True
        self._look()

    def stop(self) -> None:
        """Look no more."""
        self._running = False
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._next = None
        looked = Deferred.fromCoroutine(self.look())
        looked.addErrback(self._threw)
        looked.addCallback(self._looked)

    def _threw(self, failure: Failure) -> bool:
        self.log.failure("looking at the network", failure)
        return False

    def _looked(self, reached: bool) -> None:
        if self._running:
            self._next = self._clock.callLater(LOOK if reached else AGAIN, self._look)

    async def look(self) -> bool:
        """See what has become of the network, and set what is missing; could it be reached?"""
        try:
            state = await self._network.state()
            if state.generation != self._compared:
                await self._compare(state)
        except OperationError as error:
            self._compared = None
            if error.refusal in UNREACHABLE:
                self.watch.unreachable(error.reason)
            else:
                self.watch.failing(error.reason)
            return False
        self.watch.seen(state, self.present, self._missing)
        return True

    async def _compare(self, state: NetworkState) -> None:
        """Set what is wanted and not there; what the network refuses is tried again when something has changed."""
        self._compared = state.generation
        self._missing = {}
        present = await self._network.routes()
        self._adopt(present)
        self._moved.clear()
        self._isComparing = True
        try:
            await self._setMissing(self._toSet(present))
        finally:
            self._isComparing = False
        self.present = await self._network.routes()

    async def _setMissing(self, routes: Iterable[Route]) -> None:
        for route in routes:
            self._moved.update(each.place for each in self._busy)
            if route.place in self._moved:
                self.changed()  # somebody has asked for something else since: see what that was
                continue
            try:
                await self._network.route(route)
            except OperationError as error:
                if error.refusal is not Refusal.ROUTE_FAILED:
                    raise
                self._missing[route] = error.reason
            else:
                self.log.info("set again: {flows} to {path}", flows=str(route.flows), path=" > ".join(route.path))

    def _adopt(self, present: Sequence[Route]) -> None:
        """A journal without any wanted route is new, or that of an earlier version: what is in effect is wanted."""
        if self._isFirst:
            self._isFirst = False
            found = [] if self.wanted else [route for route in present if not _isOneOf(route, self._busy)]
            self._toAdopt = found[:WANTED_LIMIT][::-1]  # those that are tried first were added last
            if found:
                self.log.info("{count} routes that are in effect are taken as wanted", count=len(self._toAdopt))
        while self._toAdopt:
            if self._toAdopt[0] in present:
                self._journal.want(self._toAdopt[0])
            del self._toAdopt[0]  # a journal that fails is asked again at the next look

    def _toSet(self, present: Iterable[Route]) -> list[Route]:
        changing = self._busy
        present = [route for route in present if not _isOneOf(route, changing)]
        wanted = [route for route in self.wanted if not _isOneOf(route, changing)]
        return missing(wanted, present)


def checkRoom(journal: IJournal, route: Route) -> None:
    """
    Can C{route} be wanted too?

    @raise OperationError: C{BUFFER_FULL}: too many are, and none of them in its place.
    """
    wanted = journal.wanted()
    if len(wanted) >= WANTED_LIMIT and not _isOneOf(route, wanted):
        raise OperationError(Refusal.BUFFER_FULL, f"{len(wanted)} routes are wanted already: remove some first")


def missing(wanted: Sequence[Route], present: Sequence[Route]) -> list[Route]:
    """
    What to set, and in which order, so that the rules that are C{wanted} decide as if they had been set one by one.

    Of equal priority the rule that was added last wins; adding one makes it the last.  So from the first one on that is
    missing or out of order, all of its table and priority are set.

    @param wanted: in the order in which they were wanted.
    @param present: in effect, in the order in which they are tried.
    """
    level = lambda route: (route.table, route.priority)  # noqa: E731
    found: list[Route] = []
    for which, group in groupby(sorted(wanted, key=level), level):
        asked = list(group)
        places = {route.place for route in asked}
        there = [route for route in present if level(route) == which and route.place in places][::-1]
        same = next((n for n, (one, other) in enumerate(zip(asked, there, strict=False)) if one != other), len(there))
        found.extend(asked[min(same, len(asked)) :])
    return found


def _isOneOf(route: Route, others: Iterable[Route]) -> bool:
    return any(route.replaces(other) for other in others)
