"""
The embedded switch as the controller sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from openmb.interfaces import INetwork, NetworkState, PortState, Route
from openmb.netctl.embedded.control import CONTROL
from openmb.rpc.client import RPCClient
from openmb.rpc.routes import routeFromPlain, routeToPlain
from openmb.rpc.unix import ILocalReactor

#: Seconds that the switch may take to answer.
ANSWER = 10.0


@implementer(INetwork)
class EmbeddedNetwork:
    """
    Controls a switch over its control socket.

    A switch that cannot be reached is an L{OperationError} with C{DISCONNECTED}, one that does not answer one with
    C{DEADLINE}.

    @ivar settle: 0, since a route's answer comes after the last packet for the old path was queued.
    """

    def __init__(self, controlSocketPath: Path | str, clock: ILocalReactor) -> None:
        self.settle: float = 0.0
        self._client = RPCClient(Path(controlSocketPath), clock)

    def route(self, route: Route) -> Deferred[Route | None]:
        """See L{INetwork.route}."""
        return Deferred.fromCoroutine(self._change("route", route))

    def current(self, route: Route) -> Deferred[Route | None]:
        """See L{INetwork.current}."""
        return Deferred.fromCoroutine(self._current(route))

    def unroute(self, route: Route) -> Deferred[Route | None]:
        """See L{INetwork.unroute}."""
        return Deferred.fromCoroutine(self._change("unroute", route))

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        """See L{INetwork.mark}."""
        arguments = {
            "operation": operation,
            "token": token.hex(),
            "number": number,
            "final": final,
            "ports": list(ports),
        }
        return Deferred.fromCoroutine(self._tell("mark", arguments))

    def addPort(self, name: str) -> Deferred[None]:
        """Add a port."""
        return Deferred.fromCoroutine(self._tell("addPort", {"name": name}))

    def removePort(self, name: str) -> Deferred[None]:
        """Remove a port to which no route leads."""
        return Deferred.fromCoroutine(self._tell("removePort", {"name": name}))

    def ports(self) -> Deferred[list[dict[str, Any]]]:
        """All ports with their counters, as the control socket reports them."""
        return Deferred.fromCoroutine(self._client.call("ports", {}, ANSWER))

    def routes(self) -> Deferred[list[Route]]:
        """See L{INetwork.routes}."""
        return Deferred.fromCoroutine(self._routes())

    def state(self) -> Deferred[NetworkState]:
        """See L{INetwork.state}."""
        return Deferred.fromCoroutine(self._state())

    def close(self) -> None:
        """Close the connection to the switch."""
        self._client.close()

    async def _state(self) -> NetworkState:
        state = await self._client.call("state", {}, ANSWER)
        names = ("name", "connected", "unrouted", "dropped")
        return NetworkState(state["generation"], tuple(PortState(*(port[n] for n in names)) for port in state["ports"]))

    async def _change(self, verb: str, route: Route) -> Route | None:
        former = await self._client.call(verb, {"route": routeToPlain(route)}, ANSWER)
        return None if former is None else routeFromPlain(former)

    async def _current(self, route: Route) -> Route | None:
        return next((rule for rule in await self._routes() if route.replaces(rule)), None)

    async def _routes(self) -> list[Route]:
        return [routeFromPlain(plain) for plain in await self._client.call("routes", {}, ANSWER)]

    async def _tell(self, verb: str, arguments: Mapping[str, Any]) -> None:
        await self._client.call(verb, arguments, ANSWER)


def connectNetwork(directory: str, reactor: ILocalReactor) -> EmbeddedNetwork:
    """The switch whose sockets are in C{directory}; see C{INetworkKind}."""
    return EmbeddedNetwork(Path(directory).absolute() / f"{CONTROL}.sock", reactor)
