"""
What the factories of both ends have in common: they know their connections and can close them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from openmb.ratelimitedlog import RateLimitedLog
from openmb.southbound.live import LiveCredentials
from openmb.southbound.protocol import SouthboundProtocol

Made = TypeVar("Made", bound=SouthboundProtocol)


class SouthboundFactory(Factory):
    """
    Keeps the protocols it made until their connections are lost.

    @param seconds: the time, on a clock that does not step back.
    @ivar log: of what peers cause, for all connections.
    """

    noisy = False

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.log = RateLimitedLog(Logger("openmb.southbound"), seconds)
        self._alive: set[SouthboundProtocol] = set()

    def adopt(self, protocol: Made) -> Made:
        """Keep C{protocol} for as long as its connection lives."""
        protocol.factory = self
        self._alive.add(protocol)
        protocol.whenLost().addCallback(lambda _: self._alive.discard(protocol))
        return protocol

    def examine(self, credentials: LiveCredentials) -> None:
        """Close every session whose peer must not be trusted any more; call it every few seconds."""
        self.log.timePassed()
        credentials.refresh()
        for protocol in tuple(self._alive):
            certificate = protocol.certificate
            problem = credentials.objection(certificate) if certificate is not None else None
            if problem is not None:
                line = "closing the session with {peer}: {problem}"
                self.log.warn(line, protocol.by, peer=protocol.peer, problem=problem)
                protocol.close(problem)

    def closeAll(self, reason: str) -> Deferred[None]:
        """
        Say goodbye on every connection; fires when all are gone, after C{LINGER} seconds at most.

        A transport that has a producer does not close by C{loseConnection} alone: a service that stops must come here.
        """
        self.log.flush()
        alive = tuple(self._alive)
        gone = DeferredList([protocol.whenLost() for protocol in alive])
        for protocol in alive:
            protocol.close(reason)
        return gone.addCallback(lambda _: None)
