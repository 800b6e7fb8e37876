"""
The controller's end of southbound connections.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from openmb.southbound.certificates import Credentials
from openmb.southbound.connection import Connection, Terms
from openmb.southbound.factory import SouthboundFactory
from openmb.southbound.halfopen import HALF_OPEN_LIMIT, HalfOpen
from openmb.southbound.link import Link, Receiver, Transport
from openmb.southbound.live import LiveCredentials
from openmb.southbound.protocol import SouthboundProtocol, unlessLogged
from openmb.southbound.tls import ServerTLS, admitByCertificate
from openmb.wire.formats import End
from openmb.wire.messages import Hello


class ControllerFactory(SouthboundFactory):
    """
    Makes the controller's end of each connection.

    @param makeReceiver: makes the receiver of a new link.
    @param admit: raises L{OperationError} when a HELLO is not to be welcomed.
    @param halfOpenLimit: connections that one host may have without a session; with more one is cut, see L{HalfOpen}.
    """

    def __init__(
        self,
        terms: Terms,
        makeReceiver: Callable[[Link], Receiver],
        clock: IReactorTime,
        admit: Callable[[Hello, Transport], None] = admitByCertificate,
        halfOpenLimit: int = HALF_OPEN_LIMIT,
    ) -> None:
        super().__init__(clock.seconds)
        self._terms, self._makeReceiver, self._clock, self._admit = terms, makeReceiver, clock, admit
        self._halfOpen = HalfOpen(halfOpenLimit)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """The controller's end; where there are too many connections without a session one of them is cut."""
        host = str(getattr(addr, "host", addr))
        if (surplus := self._halfOpen.surplus(host)) is not None:
            whose, waiting = surplus
            self._halfOpen.remove(whose, waiting)
            waiting.cut(f"too many connections of {whose} without a session")
        connection = Connection(End.CONTROLLER, self._terms)
        protocol = SouthboundProtocol(connection, self._makeReceiver, self._clock, self.log, admit=self._admit)
        self._count(host, protocol)
        return self.adopt(protocol)

    def _count(self, host: str, protocol: SouthboundProtocol) -> None:
        self._halfOpen.add(host, protocol)
        opened = protocol.whenOpen()
        opened.addErrback(unlessLogged)
        opened.addCallback(lambda _: self._halfOpen.remove(host, protocol))


def listenSouthbound(
    endpoint: IStreamServerEndpoint,
    factory: ControllerFactory,
    credentials: Credentials | LiveCredentials,
    clock: IReactorTime,
) -> Deferred[IListeningPort]:
    """Listen for middleboxes at C{endpoint} (plain TCP; TLS is put on top)."""
    return endpoint.listen(overTLS(factory, credentials, clock))


def overTLS(
    factory: ControllerFactory, credentials: Credentials | LiveCredentials, clock: IReactorTime
) -> TLSMemoryBIOFactory:
    """What listens at a plain TCP port, with C{factory} behind TLS."""
    return TLSMemoryBIOFactory(ServerTLS(credentials, factory.log), False, factory, clock)
