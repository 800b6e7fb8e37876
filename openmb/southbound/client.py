"""
The middlebox's end of its southbound connection.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint

from openmb.southbound.certificates import Credentials
from openmb.southbound.connection import Connection, Terms
from openmb.southbound.factory import SouthboundFactory
from openmb.southbound.link import Link, Receiver
from openmb.southbound.live import LiveCredentials
from openmb.southbound.protocol import SouthboundProtocol, unlessLogged
from openmb.southbound.tls import ClientTLS
from openmb.wire.formats import End
from openmb.wire.messages import Hello

#: Seconds before the first and at most before a later attempt to connect again.
FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0


class MiddleboxFactory(SouthboundFactory):
    """
    Makes the middlebox's end of each connection.

    @param terms: keep them for all connections: they remember the highest epoch seen.
    @param makeReceiver: makes the receiver of a new link.
    @param hello: makes the HELLO of a new connection.
    @ivar failures: attempts since a session was last open.
    """

    def __init__(
        self, terms: Terms, makeReceiver: Callable[[Link], Receiver], hello: Callable[[], Hello], clock: IReactorTime
    ) -> None:
        super().__init__(clock.seconds)
        self.failures = 0
        self._terms, self._makeReceiver, self._hello, self._clock = terms, makeReceiver, hello, clock

    def buildProtocol(self, addr: IAddress | None) -> SouthboundProtocol:
        """The middlebox's end."""
        connection = Connection(End.MIDDLEBOX, self._terms)
        protocol = SouthboundProtocol(connection, self._makeReceiver, self._clock, self.log, hello=self._hello)
        protocol.whenOpen().addCallbacks(self._succeeded, unlessLogged)
        return self.adopt(protocol)

    def _succeeded(self, _: None) -> None:
        self.failures = 0


class SouthboundClient(ClientService):
    """
    Keeps a middlebox connected to the controller named C{controller}; says goodbye when it stops.

    The delay before the next attempt grows until a session is open, not only a connection: with TLS 1.3 a client
    believes to be connected before the server has judged its certificate.  (C{ClientService.prepareConnection} cannot
    do that: it does not expect the connection to be lost meanwhile.)

    @param endpoint: where the controller listens (plain TCP; TLS is put on top).
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        factory: MiddleboxFactory,
        credentials: Credentials | LiveCredentials,
        controller: str,
        clock: IReactorTime,
    ) -> None:
        super().__init__(
            wrapClientTLS(ClientTLS(credentials, controller, factory.log), endpoint),
            factory,
            retryPolicy=self._delay,
            clock=clock,
        )
        self._connections = factory
        self._policy = backoffPolicy(FIRST_DELAY, LONGEST_DELAY)

    def stopService(self) -> Deferred[None]:
        """Close the connection and connect no more; fires when it is gone."""
        self._connections.closeAll("the middlebox shuts down")
        return super().stopService()

    def _delay(self, _: int) -> float:
        self._connections.failures += 1
        return self._policy(self._connections.failures)
