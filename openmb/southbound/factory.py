"""
What the factories of both ends have in common: they know their connections and can close them.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from openmb.southbound.live import LiveCredentials
from openmb.southbound.protocol import SouthboundProtocol

Made = TypeVar("Made", bound=SouthboundProtocol)


class SouthboundFactory(Factory):
    """Keeps the protocols it made until their connections are lost."""

    noisy = False
    _log = Logger()

    def __init__(self) -> None:
        self._alive: set[SouthboundProtocol] = set()

    def adopt(self, protocol: Made) -> Made:
        """Keep C{protocol} for as long as its connection lives."""
        protocol.factory = self
        self._alive.add(protocol)
        protocol.whenLost().addCallback(lambda _: self._alive.discard(protocol))
        return protocol

    def examine(self, credentials: LiveCredentials) -> None:
        """Close every session whose peer must not be trusted any more; call it every few seconds."""
        credentials.refresh()
        for protocol in tuple(self._alive):
            certificate = protocol.certificate
            problem = credentials.objection(certificate) if certificate is not None else None
            if problem is not None:
                self._log.warn("closing the session with {peer}: {problem}", peer=protocol.peer, problem=problem)
                protocol.close(problem)

    def closeAll(self, reason: str) -> Deferred[None]:
        """
        Say goodbye on every connection; fires when all are gone, after C{LINGER} seconds at most.

        A transport that has a producer does not close by C{loseConnection} alone: a service that stops must come here.
        """
        alive = tuple(self._alive)
        gone = DeferredList([protocol.whenLost() for protocol in alive])
        for protocol in alive:
            protocol.close(reason)
        return gone.addCallback(lambda _: None)
