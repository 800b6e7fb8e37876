"""
The controller's end of southbound connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from openmb.southbound.certificates import Credentials
from openmb.southbound.connection import Connection, Terms
from openmb.southbound.factory import SouthboundFactory
from openmb.southbound.link import Link, Receiver, Transport
from openmb.southbound.live import LiveCredentials
from openmb.southbound.protocol import SouthboundProtocol, unlessLogged
from openmb.southbound.tls import ServerTLS, admitByCertificate
from openmb.wire.formats import End
from openmb.wire.messages import Hello

#: Connections of one host that may be without a session at the same time, and of all hosts together.
HALF_OPEN_LIMIT = 64
HALF_OPEN_TOTAL = 1024


class ControllerFactory(SouthboundFactory):
    """
    Makes the controller's end of each connection.

    @param makeReceiver: makes the receiver of a new link.
    @param admit: raises L{OperationError} when a HELLO is not to be welcomed.
    @param halfOpenLimit: connections that one host may have without a session; more are cut at once.
    """

    _log = Logger()

    def __init__(
        self,
        terms: Terms,
        makeReceiver: Callable[[Link], Receiver],
        clock: IReactorTime,
        admit: Callable[[Hello, Transport], None] = admitByCertificate,
        halfOpenLimit: int = HALF_OPEN_LIMIT,
    ) -> None:
        super().__init__()
        self._terms, self._makeReceiver, self._clock, self._admit = terms, makeReceiver, clock, admit
        self._limit = halfOpenLimit
        self._halfOpen: Counter[str] = Counter()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """The controller's end, or a protocol that cuts the connection because its host has too many half-open ones."""
        host = str(getattr(addr, "host", addr))
        if self._halfOpen[host] >= self._limit or self._halfOpen.total() >= HALF_OPEN_TOTAL:
            self._log.warn("too many half-open connections of {host}: another is cut", host=host)
            return _Cut()
        connection = Connection(End.CONTROLLER, self._terms)
        protocol = SouthboundProtocol(connection, self._makeReceiver, self._clock, admit=self._admit)
        self._count(host, protocol)
        return self.adopt(protocol)

    def _count(self, host: str, protocol: SouthboundProtocol) -> None:
        self._halfOpen[host] += 1

        def settled(_: object) -> None:
            self._halfOpen[host] -= 1
            if not self._halfOpen[host]:
                del self._halfOpen[host]

        opened = protocol.whenOpen()
        opened.addErrback(unlessLogged)
        opened.addCallback(settled)


class _Cut(Protocol):
    """Cuts its connection."""

    transport: Transport  # type: ignore[assignment]

    def connectionMade(self) -> None:
        self.transport.abortConnection()


def listenSouthbound(
    endpoint: IStreamServerEndpoint,
    factory: ControllerFactory,
    credentials: Credentials | LiveCredentials,
    clock: IReactorTime,
) -> Deferred[IListeningPort]:
    """Listen for middleboxes at C{endpoint} (plain TCP; TLS is put on top)."""
    return endpoint.listen(TLSMemoryBIOFactory(ServerTLS(credentials), False, factory, clock))
