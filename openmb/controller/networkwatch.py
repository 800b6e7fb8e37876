"""
What is wrong with the network, in sentences: for C{status}, and for the log when it begins and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from openmb.interfaces import NetworkState, Route

#: Seconds that a counter must stand still until its growth is over.
QUIET = 10.0
#: Routes that are named in one sentence.
NAMED = 3


@dataclass(slots=True)
class _Growth:
    """A counter that should stand still: from where it grew last, how far it has come, and when that was seen."""

    base: int
    count: int
    last: float | None = None


class NetworkWatch:
    """
    Compares what the network says with what it is for.

    @param registered: the names of the middleboxes that are connected to the controller.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, registered: Callable[[], Set[str]]) -> None:
        self._clock, self._registered = clock, registered
        self._growths: dict[tuple[str, str], _Growth] = {}
        self._problems: dict[tuple[str, ...], str] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each thing that is wrong; nothing: all is well, as far as can be seen."""
        return tuple(self._problems.values())

    def unreachable(self, reason: str) -> None:
        """The network does not answer; nothing else is known of it."""
        self._become({("unreachable",): f"the switch cannot be reached: {reason}"})

    def failing(self, reason: str) -> None:
        """The network answers, but its routes cannot be looked after: by what it says, or by what the journal does."""
        self._become({("failing",): f"the switch's routes cannot be compared with those wanted: {reason}"})

    def seen(self, state: NetworkState, routes: Sequence[Route], missing: Mapping[Route, str]) -> None:
        """
        This is the network now.

        @param routes: in effect.
        @param missing: the routes that are wanted and not in effect, and why.
        """
        found: dict[tuple[str, ...], str] = {}
        for route, reason in missing.items():
            found["missing", str(route.place)] = f"the route {_name(route)} is not in effect: {reason}"
        found.update(self._ports(state, routes))
        found.update(self._counters(state))
        self._become(found)

    def _ports(self, state: NetworkState, routes: Sequence[Route]) -> Iterator[tuple[tuple[str, ...], str]]:
        registered = self._registered()
        boxes = {port for route in routes for port in route.path}
        leading = _leading(routes)
        for name in sorted(registered - {port.name for port in state.ports}):
            yield ("no port", name), f"the switch has no port {name}: the middlebox of that name gets no packets"
        for port in state.ports:
            if port.name in leading and not port.connected:
                few = leading[port.name][:NAMED]
                named = ", ".join([_name(route) for route in few] + ["…"] * (len(leading[port.name]) > NAMED))
                yield ("dead", port.name), f"nobody is connected to port {port.name}, where routes lead: {named}"
            elif port.connected and port.name in boxes and port.name not in registered:
                text = f"port {port.name} takes packets, but no middlebox {port.name} is connected to the controller"
                yield ("cut off", port.name), text
            elif port.name in registered and not port.connected:
                text = f"middlebox {port.name} is connected to the controller, but not to its port of the switch"
                yield ("no port", port.name), text

    def _counters(self, state: NetworkState) -> Iterator[tuple[tuple[str, ...], str]]:
        names = {(what, port.name) for what in ("unrouted", "dropped") for port in state.ports}
        self._growths = {name: growth for name, growth in self._growths.items() if name in names}
        for port in state.ports:
            if grown := self._grown("unrouted", port.name, port.unrouted):
                yield ("unrouted", port.name), f"nobody takes {grown} packets from port {port.name}: no route matches"
            if grown := self._grown("dropped", port.name, port.dropped):
                text = f"{grown} packets for port {port.name} were dropped, since nobody is connected there"
                yield ("dropped", port.name), text

    def _grown(self, what: str, port: str, count: int) -> int:
        """By how much a counter has grown lately; what was counted before the first look is not known to be news."""
        now = self._clock.seconds()
        growth = self._growths.setdefault((what, port), _Growth(count, count))
        if count < growth.count:  # the switch was started again
            growth.base = growth.count = 0
        if growth.last is not None and now - growth.last >= QUIET:
            growth.base, growth.last = growth.count, None
        if count > growth.count:
            growth.count, growth.last = count, now
        return growth.count - growth.base

    def _become(self, found: dict[tuple[str, ...], str]) -> None:
        for key in found.keys() - self._problems.keys():
            self.log.warn("{problem}", problem=found[key])
        for key in self._problems.keys() - found.keys():
            self.log.info("no longer: {problem}", problem=self._problems[key])
        self._problems = found


def _leading(routes: Sequence[Route]) -> dict[str, list[Route]]:
    """By port, the routes that lead there."""
    found: dict[str, list[Route]] = {}
    for route in routes:
        for port in route.path if route.egress is None else (*route.path, route.egress):
            found.setdefault(port, []).append(route)
    return found


def _name(route: Route) -> str:
    ports = " > ".join(route.path if route.egress is None else (*route.path, route.egress))
    return f"{route.flows} -> {ports or 'nowhere'}"
