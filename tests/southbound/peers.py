"""Peers that are none of ours: they send what they were given, and see what comes back."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer


class Raw(Protocol):
    """
    Sends given bytes and tells when it is cut off.

    @param leaves: closes the connection as soon as everything is sent.
    @ivar received: what came back.
    @ivar lost: fires when the connection is gone.
    """

    transport: Any

    def __init__(self, data: bytes, leaves: bool = False) -> None:
        self.data, self.received, self.lost = data, b"", Deferred[None]()
        self._leaves = leaves

    def connectionMade(self) -> None:
        self.transport.write(self.data)
        if self._leaves:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


@implementer(IOpenSSLClientConnectionCreator)
class Anonymous:
    """A client that shows no certificate and trusts everybody."""

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        context = SSL.Context(SSL.TLS_METHOD)
        return SSL.Connection(context, None)
