"""
The middlebox's end of its southbound connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from openmb.southbound.certificates import Credentials
from openmb.southbound.connection import Connection, Terms
from openmb.southbound.link import Link, Receiver
from openmb.southbound.protocol import SouthboundProtocol
from openmb.southbound.tls import ClientTLS
from openmb.wire.formats import End
from openmb.wire.messages import Hello

#: Seconds before the first and at most before a later attempt to connect again.
FIRST_DELAY = 0.1
LONGEST_DELAY = 10.0


class MiddleboxFactory(Factory):
    """
    Makes the middlebox's end of each connection.

    @param terms: keep them for all connections: they remember the highest epoch seen.
    @param makeReceiver: makes the receiver of a new link.
    @param hello: makes the HELLO of a new connection.
    """

    noisy = False

    def __init__(
        self, terms: Terms, makeReceiver: Callable[[Link], Receiver], hello: Callable[[], Hello], clock: IReactorTime
    ) -> None:
        self._terms, self._makeReceiver, self._hello, self._clock = terms, makeReceiver, hello, clock

    def buildProtocol(self, addr: IAddress | None) -> SouthboundProtocol:
        """The middlebox's end."""
        connection = Connection(End.MIDDLEBOX, self._terms)
        protocol = SouthboundProtocol(connection, self._makeReceiver, self._clock, hello=self._hello)
        protocol.factory = self
        return protocol


def southboundClient(
    endpoint: IStreamClientEndpoint,
    factory: MiddleboxFactory,
    credentials: Credentials,
    controller: str,
    clock: IReactorTime,
) -> ClientService:
    """
    A service that keeps a middlebox connected to the controller named C{controller}.

    An attempt counts as failed until the session is open: with TLS 1.3 a client believes to be connected before
    the server has judged its certificate.

    @param endpoint: where the controller listens (plain TCP; TLS is put on top).
    """
    return ClientService(
        wrapClientTLS(ClientTLS(credentials, controller), endpoint),
        factory,
        retryPolicy=backoffPolicy(FIRST_DELAY, LONGEST_DELAY),
        clock=clock,
        prepareConnection=_whenOpen,
    )


def _whenOpen(protocol: IProtocol) -> object:
    return cast(SouthboundProtocol, protocol).whenOpen()
