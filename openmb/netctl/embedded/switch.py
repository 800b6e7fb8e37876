"""
The switch without its sockets: packets in at one port, packets out at others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Route
from openmb.netctl.embedded.datagrams import DEFAULT_LIMITS, DatagramHold, hasFragments
from openmb.netctl.embedded.reframe import asEthernet
from openmb.netctl.embedded.routing import Forwarding, RuleTables, visited
from openmb.netctl.embedded.stamps import StampClock, StampMode
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.fragments import FragmentLimits
from openmb.packets.headers import Decoded
from openmb.packets.marker import TOKEN_LENGTH, buildMarker


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Packets for one port, in the order of their stamps."""

    port: str
    batch: PacketBatch


@dataclass(frozen=True, slots=True)
class Switched:
    """
    What came of a batch.

    @ivar outgoing: what to send, at most one batch for each port.
    @ivar needs: the ports whose queues must have room before more is read from where the batch came from.
    @ivar returned: the batch came from a middlebox.
    """

    outgoing: tuple[Outgoing, ...]
    needs: frozenset[str] = frozenset()
    returned: bool = False


@dataclass(frozen=True, slots=True)
class PortCounts:
    """
    What one port has seen.

    Each packet that was received is in one of the next five; each that was forwarded waits in the port's queue, was
    taken from it, or was dropped there (L{openmb.netctl.embedded.queue.PortQueue}).

    @ivar received: packets that came in at the port.
    @ivar switched: those of them that were sent on, to one port or several.
    @ivar unrouted: that no rule matched, or that carry no IP.
    @ivar discarded: that a rule drops.
    @ivar ended: that came back from a middlebox, and whose rule has no egress: copies.
    @ivar held: fragments that wait for the rest of their datagram.
    @ivar forwarded: packets for the port, markers and the copies of several tables included.
    @ivar waiting: incomplete datagrams whose fragments wait.
    @ivar incomplete: datagrams whose fragments went on without waiting for the rest.
    """

    received: int = 0
    switched: int = 0
    unrouted: int = 0
    discarded: int = 0
    ended: int = 0
    held: int = 0
    forwarded: int = 0
    waiting: int = 0
    incomplete: int = 0


class Switch:
    """
    Ports, rules and one clock.

    Time is a parameter: C{now} is in nanoseconds since the epoch.
    """

    def __init__(self, mode: StampMode = StampMode.ARRIVAL, limits: FragmentLimits = DEFAULT_LIMITS) -> None:
        self._clock = StampClock(mode)
        self._mode = mode
        self._limits = limits
        self._decoder = Decoder(checksums=False, reassemble=False)
        self._rules = RuleTables()
        self._counts: dict[str, PortCounts] = {}
        self._holds: dict[str, DatagramHold] = {}

    @property
    def ports(self) -> dict[str, PortCounts]:
        """The ports by name, with what each has seen."""
        return {port: self._withHold(port, counts) for port, counts in self._counts.items()}

    @property
    def routes(self) -> tuple[Route, ...]:
        """The rules in effect, each table in the order in which its rules are tried."""
        return self._rules.routes

    def addPort(self, port: str) -> None:
        """
        Add a port.

        @raise OperationError: there is one of that name.
        """
        if port in self._counts:
            raise OperationError(Refusal.WRONG_STATE, f"there is a port {port} already")
        self._counts[port] = PortCounts()

    def removePort(self, port: str) -> None:
        """
        Remove a port; the fragments that wait there are dropped.

        @raise OperationError: there is no such port, or a rule sends packets there.
        """
        self._checkPorts([port])
        if self._rules.uses(port):
            raise OperationError(Refusal.WRONG_STATE, f"a route leads to port {port}; remove the route first")
        self._rules.forget(port)
        self._holds.pop(port, None)
        del self._counts[port]

    def route(self, route: Route) -> Route | None:
        """
        Install a rule, in effect from the next batch on.

        @return: the rule that it replaces.
        @raise OperationError: C{ROUTE_FAILED}; nothing changed.
        """
        self._checkPorts(visited(route))
        return self._rules.add(route)

    def unroute(self, route: Route) -> Route | None:
        """Remove a rule, in effect from the next batch on; the rule that was removed."""
        return self._rules.remove(route)

    def sendsTo(self, port: str) -> bool:
        """Does some rule send packets to C{port}?"""
        return self._rules.uses(port)

    def ingress(self, port: str, batch: PacketBatch, now: int) -> Switched:
        """Packets have come in at C{port}."""
        self._count(port, received=len(batch))
        wished = replace(batch, stamps=self._clock.wishes(batch, now))
        decoded = asEthernet(self._decoder.decode(wished))
        self._count(port, unrouted=len(batch) - len(decoded))
        if hasFragments(decoded.headers) or self._holds.get(port):
            decoded = self._holds.setdefault(port, DatagramHold(self._limits)).arrange(decoded)
        return self._send(port, decoded)

    def ended(self, port: str, now: int) -> Switched:
        """No more comes in at C{port} for now: fragments that wait there go on without the rest of their datagrams."""
        hold = self._holds.pop(port, None)
        if hold is None:
            return Switched(())
        released = hold.flush(now if self._mode is StampMode.ARRIVAL else self._clock.last)
        self._count(port, incomplete=hold.given)
        return self._send(port, released)

    def timePassed(self, port: str, now: int) -> Switched:
        """It is C{now}: with stamps of arrival, fragments that waited too long at C{port} go on."""
        hold = self._holds.get(port)
        if hold is None or self._mode is not StampMode.ARRIVAL:
            return Switched(())
        return self._send(port, hold.expire(now))

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: Sequence[str], now: int) -> Switched:
        """
        A drain marker for each of C{ports}, all with one stamp, the next.

        @raise OperationError: C{ROUTE_FAILED}: no such port; C{BAD_REQUEST}: a value that no marker can carry.
        """
        self._checkPorts(ports)
        if len(token) != TOKEN_LENGTH or not 0 <= operation < 1 << 64 or not 0 <= number < 1 << 32:
            raise OperationError(Refusal.BAD_REQUEST, "a marker needs 64-bit operation, 16-byte token, 32-bit number")
        frame = packetBatch([buildMarker(operation, token, number, final)], [self._clock.next(now)])
        for port in ports:
            self._count(port, forwarded=1)
        return Switched(tuple(Outgoing(port, frame) for port in ports))

    def _send(self, port: str, decoded: Decoded) -> Switched:
        if not len(decoded):
            return Switched(())
        stamped = replace(decoded.packets, stamps=self._clock.assign(decoded.packets.stamps))
        returned = self._rules.returnsFrom(port)
        rules = self._rules
        forwarding = rules.returned(port, decoded.headers) if returned else rules.forward(decoded.headers)
        lost = forwarding.unrouted + forwarding.discarded + forwarding.ended
        self._count(port, switched=len(decoded) - lost, unrouted=forwarding.unrouted)
        self._count(port, discarded=forwarding.discarded, ended=forwarding.ended)
        return Switched(self._outgoing(stamped, forwarding), forwarding.needs, returned)

    def _outgoing(self, packets: PacketBatch, forwarding: Forwarding) -> tuple[Outgoing, ...]:
        for port, places in forwarding.hops:
            self._count(port, forwarded=len(places))
        return tuple(
            Outgoing(port, packets if len(places) == len(packets) else packets.select(places))
            for port, places in forwarding.hops
        )

    def _checkPorts(self, ports: Sequence[str]) -> None:
        unknown = [port for port in ports if port not in self._counts]
        if unknown:
            raise OperationError(Refusal.ROUTE_FAILED, f"no port {', '.join(unknown)}")

    def _count(self, port: str, **more: int) -> None:
        counts = self._counts[port]
        self._counts[port] = replace(counts, **{name: getattr(counts, name) + add for name, add in more.items()})

    def _withHold(self, port: str, counts: PortCounts) -> PortCounts:
        hold = self._holds.get(port)
        if hold is None:
            return counts
        return replace(counts, held=hold.packets, waiting=len(hold), incomplete=counts.incomplete + hold.given)
