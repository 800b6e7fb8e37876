"""
Between the middleboxes and the controller: hands bytes on unread, until it is told to cut, to stall, or to refuse.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure


class _Half(Protocol):
    """One of the two connections of a pair."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.other: _Half | None = None
        self._early: list[bytes] = []

    def connectionMade(self) -> None:
        self._proxy.halves.add(self)
        if self._proxy.stalled:
            self.setStalled(True)

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.write(data)

    def join(self, other: _Half) -> None:
        """Hand everything on to C{other} from now on, what came before too."""
        self.other = other
        for data in self._early:
            other.write(data)
        self._early.clear()

    def write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def setStalled(self, stalled: bool) -> None:
        """Read no more, or read again."""
        transport: Any = self.transport
        if not transport.disconnecting:
            transport.pauseProducing() if stalled else transport.resumeProducing()

    def cut(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._proxy.halves.discard(self)
        if self.other is not None:
            self.other.other = None
            self.other.cut()


class Proxy(Factory):
    """
    One proxy.

    @ivar halves: the connections under way.
    @ivar stalled: nothing is handed on, in either direction.
    @ivar refusing: new connections are cut at once.
    """

    noisy = False

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._listening: Any = None
        self._target = 0
        self.halves: set[_Half] = set()
        self.stalled = self.refusing = False

    def listen(self, target: int) -> None:
        """Hand what comes to L{port} on to the port C{target} of this machine."""
        self._target = target
        self._listening = self._reactor.listenTCP(0, self, interface="127.0.0.1")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getHost().port)

    def buildProtocol(self, addr: IAddress | None) -> _Half | None:
        """A middlebox comes."""
        if self.refusing:
            return None
        near, far = _Half(self), _Half(self)
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", self._target)

        def joined(_: object) -> None:
            near.join(far)
            far.join(near)

        connectProtocol(endpoint, far).addCallbacks(joined, lambda failure: near.cut())
        return near

    def cut(self) -> None:
        """Cut all connections, without a goodbye."""
        for half in tuple(self.halves):
            half.cut()

    def setStalled(self, stalled: bool) -> None:
        """Hand nothing on for a while, or go on."""
        self.stalled = stalled
        for half in tuple(self.halves):
            half.setStalled(stalled)

    async def close(self) -> None:
        """Listen no more, and cut what is left."""
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)
        self.cut()
