"""
The network: whatever steers packets to middleboxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from openmb.state.headers import HeaderFieldList


@dataclass(frozen=True, slots=True)
class Route:
    """
    Where matching packets go.

    @ivar flows: which packets.
    @ivar path: names of the ports (middleboxes) they visit, in order; empty: dropped, unless
        there is an egress.
    @ivar table: rules of one table are alternatives (highest priority wins); every table gets its own copy of a
        packet.
    @ivar priority: higher wins; at equal priority the rule added last.
    @ivar egress: for an in-line path, the port where packets leave after the last middlebox; None: copies that end
        there.
    @ivar oneWay: only packets whose own source and destination are those of C{flows} match, not the answers to them.
        For chains between hosts that both send, with a rule for each direction.
    """

    flows: HeaderFieldList
    path: tuple[str, ...]
    table: str = "monitor"
    priority: int = 100
    egress: str | None = None
    oneWay: bool = False

    @property
    def drops(self) -> bool:
        """Do its packets go nowhere?"""
        return not self.path and self.egress is None

    def replaces(self, other: Route) -> bool:
        """Would this rule take the place of C{other}?"""
        return self.place == other.place

    @property
    def place(self) -> tuple[Any, ...]:
        """What names a rule: there is one at most for each."""
        return self.table, self.priority, self.flows, self.oneWay


@dataclass(frozen=True, slots=True)
class PortState:
    """
    One port of a network.

    @ivar connected: somebody is there.
    @ivar unrouted: packets from there that no rule matched, so far.
    @ivar dropped: packets for it that were dropped, since nobody was there, so far.
    """

    name: str
    connected: bool
    unrouted: int
    dropped: int


@dataclass(frozen=True, slots=True)
class NetworkState:
    """
    What can be seen of a network at little cost.

    @ivar generation: another one than before whenever the network may have other rules or ports than before: it was
        started again, or somebody has changed them.
    """

    generation: str
    ports: tuple[PortState, ...]


class INetworkKind(Interface):
    """A kind of network, found by its name."""

    name: str = Attribute("as on the command line, before the colon")
    place: str = Attribute("a word for what stands behind the colon, as 'DIR'")
    summary: str = Attribute("one line for help texts")

    def connect(place: str, reactor: Any) -> INetwork:
        """
        The network at C{place}; it need not be there yet.

        @raise ConfigurationError: there can be none at such a place.
        """


class INetwork(Interface):
    """Whatever steers packets to middleboxes."""

    settle: float = Attribute("seconds after a route's answer that a packet may still take the old path")

    def route(route: Route) -> Deferred[Route | None]:
        """
        Install C{route}, replacing the rule with the same table, priority, flows and direction.  Fires with the
        replaced rule (or None) when the change is in effect at the switch.

        @raise OperationError: C{ROUTE_FAILED}; nothing changed.
        """

    def current(route: Route) -> Deferred[Route | None]:
        """The rule in effect with the table, priority and flows of C{route}: what C{route} would replace."""

    def unroute(route: Route) -> Deferred[Route | None]:
        """
        Remove the rule with the same table, priority, flows and direction.  Fires with the removed rule (None: there
        was none) when in effect.
        """

    def state() -> Deferred[NetworkState]:
        """What the network is like now.  @raise OperationError: C{DISCONNECTED}, C{DEADLINE}: it does not answer."""

    def routes() -> Deferred[list[Route]]:
        """All rules in effect, each table in the order in which they are tried."""

    def mark(operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        """
        Send a drain marker down the path to each of C{ports}, behind every packet already sent there.

        @param token: 16 bytes known to the two middleboxes, so that no packet from outside passes for a marker.
        @param final: sent at least L{settle} after the route's answer.
        """
