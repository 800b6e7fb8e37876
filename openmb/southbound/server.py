"""
The controller's end of southbound connections.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.protocol import Protocol
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


def halfOpenTotal(descriptors: int | None = None) -> int:
    """
    How many connections may be without a session: never more than a quarter of the descriptors of this process.

    @param descriptors: how many the process may have; asked from the operating system if not given.
    """
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return HALF_OPEN_TOTAL
    return max(1, min(HALF_OPEN_TOTAL, descriptors // 4))


class ControllerFactory(SouthboundFactory):
    """
    Makes the controller's end of each connection.

    @param makeReceiver: makes the receiver of a new link.
    @param admit: raises L{OperationError} when a HELLO is not to be welcomed.
    @param halfOpenLimit: connections that one host may have without a session; with more the oldest is cut.
    """

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
        self._limit, self._total = halfOpenLimit, halfOpenTotal()
        self._halfOpen: dict[str, dict[SouthboundProtocol, None]] = {}  # by host, the oldest first

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """
        The controller's end.

        Where there are too many connections without a session the one that waits the longest is cut, and not the new
        one: whoever only knocks must not keep those out who are quick to say who they are.
        """
        host = str(getattr(addr, "host", addr))
        mine = self._halfOpen.setdefault(host, {})
        if len(mine) >= self._limit:
            self._cut(host)
        elif sum(map(len, self._halfOpen.values())) >= self._total:
            self._cut(max(self._halfOpen, key=lambda one: len(self._halfOpen[one])))
        connection = Connection(End.CONTROLLER, self._terms)
        protocol = SouthboundProtocol(connection, self._makeReceiver, self._clock, admit=self._admit)
        self._count(host, protocol)
        return self.adopt(protocol)

    def _cut(self, host: str) -> None:
        oldest = next(iter(self._halfOpen[host]))
        self._settled(host, oldest)
        oldest.cut(f"too many connections of {host} without a session")

    def _count(self, host: str, protocol: SouthboundProtocol) -> None:
        self._halfOpen.setdefault(host, {})[protocol] = None
        opened = protocol.whenOpen()
        opened.addErrback(unlessLogged)
        opened.addCallback(lambda _: self._settled(host, protocol))

    def _settled(self, host: str, protocol: SouthboundProtocol) -> None:
        mine = self._halfOpen.get(host, {})
        mine.pop(protocol, None)
        if not mine:
            self._halfOpen.pop(host, None)


def listenSouthbound(
    endpoint: IStreamServerEndpoint,
    factory: ControllerFactory,
    credentials: Credentials | LiveCredentials,
    clock: IReactorTime,
) -> Deferred[IListeningPort]:
    """Listen for middleboxes at C{endpoint} (plain TCP; TLS is put on top)."""
    return endpoint.listen(TLSMemoryBIOFactory(ServerTLS(credentials), False, factory, clock))
