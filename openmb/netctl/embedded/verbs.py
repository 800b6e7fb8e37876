"""
The verbs of the switch's control socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from openmb.errors import ConfigurationError, OperationError, Refusal
from openmb.interfaces import Route
from openmb.netctl.embedded.control import nameOf
from openmb.netctl.embedded.queue import PortQueue
from openmb.netctl.embedded.switch import PortCounts
from openmb.rpc.arguments import badRequest, names, number, text, token
from openmb.rpc.routes import placeFromPlain, routeFromPlain, routeToPlain
from openmb.rpc.server import Notify, Verb


@dataclass(frozen=True, slots=True)
class PortReport:
    """
    One port as the control socket shows it.

    @ivar stalled: it is not read from, since a queue that its packets need is full.
    """

    name: str
    connected: bool
    stalled: bool
    counts: PortCounts
    queue: PortQueue

    def plain(self) -> dict[str, Any]:
        """As JSON carries it."""
        queue = self.queue
        kept = {"queued": queue.packets, "queuedBytes": queue.size, "sent": queue.taken, "dropped": queue.dropped}
        state = {"name": self.name, "connected": self.connected, "stalled": self.stalled}
        return {**state, **asdict(self.counts), **kept}


class Controlled(Protocol):
    """What the verbs control."""

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes in effect."""

    def addPort(self, name: str) -> None:
        """Add a port."""

    async def removePort(self, name: str) -> None:
        """Remove a port."""

    def route(self, route: Route) -> Route | None:
        """Install a route; the one that it replaces."""

    def unroute(self, route: Route) -> Route | None:
        """Remove a route; the one that was removed."""

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: tuple[str, ...]) -> None:
        """Send drain markers."""

    @property
    def generation(self) -> str:
        """Changes with the rules and ports, and with every start."""

    def report(self) -> list[PortReport]:
        """All ports."""


class SwitchVerbs:
    """
    Turns requests into calls of the switch.

    @ivar verbs: for L{openmb.rpc.server.ServerFactory}.
    """

    def __init__(self, switch: Controlled) -> None:
        self._switch = switch
        self.verbs: dict[str, Verb] = {
            "addPort": self.addPort,
            "removePort": self.removePort,
            "ports": self.ports,
            "state": self.state,
            "route": self.route,
            "unroute": self.unroute,
            "routes": self.routes,
            "mark": self.mark,
        }

    async def addPort(self, arguments: Mapping[str, Any], notify: Notify) -> None:
        """C{name}: add a port."""
        name = nameOf(arguments)
        try:
            self._switch.addPort(name)
        except ConfigurationError as error:
            raise OperationError(Refusal.ROUTE_FAILED, str(error)) from error

    async def removePort(self, arguments: Mapping[str, Any], notify: Notify) -> None:
        """C{name}: remove a port to which no route leads."""
        await self._switch.removePort(text(arguments, "name"))

    async def ports(self, arguments: Mapping[str, Any], notify: Notify) -> list[dict[str, Any]]:
        """All ports with their counters."""
        return [report.plain() for report in self._switch.report()]

    async def state(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any]:
        """C{generation}, which changes with the rules and ports and with every start, and the C{ports}."""
        return {"generation": self._switch.generation, "ports": await self.ports(arguments, notify)}

    async def route(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any] | None:
        """C{route}: install it; the route that it replaces, or null."""
        replaced = self._switch.route(routeFromPlain(arguments.get("route")))
        return routeToPlain(replaced) if replaced else None

    async def unroute(self, arguments: Mapping[str, Any], notify: Notify) -> dict[str, Any] | None:
        """C{route}: remove it; the route that was removed, or null."""
        removed = self._switch.unroute(placeFromPlain(arguments.get("route")))
        return routeToPlain(removed) if removed else None

    async def routes(self, arguments: Mapping[str, Any], notify: Notify) -> list[dict[str, Any]]:
        """All routes, each table in the order in which its rules are tried."""
        return [routeToPlain(route) for route in self._switch.routes]

    async def mark(self, arguments: Mapping[str, Any], notify: Notify) -> None:
        """C{operation}, C{token}, C{number}, C{final}, C{ports}: a drain marker to each port."""
        final = arguments.get("final")
        if not isinstance(final, bool):
            raise badRequest("final must be true or false")
        self._switch.mark(
            number(arguments, "operation"),
            token(arguments, "token"),
            number(arguments, "number"),
            final,
            names(arguments, "ports"),
        )
