"""A flood of connections without a session, over real sockets."""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet.endpoints import TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater

from openmb.southbound.connection import Terms
from openmb.southbound.protocol import SouthboundProtocol
from openmb.southbound.server import ControllerFactory, listenSouthbound
from openmb.southbound.tls import ClientTLS
from openmb.wire.codec import decodeAll, encode
from openmb.wire.messages import Welcome
from tests.southbound.fakes import helloOf
from tests.southbound.peers import Raw
from tests.southbound.test_tls import TLSTestCase, clock, reactor

LIMIT = 8


class FloodTests(TLSTestCase):
    """A controller with room for eight connections without a session."""

    async def flooded(self) -> IListeningPort:
        """It listens."""
        terms = Terms(epoch=1, deadline=1000.0)
        self.factory = factory = ControllerFactory(terms, self.upper, clock, halfOpenLimit=LIMIT)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await listenSouthbound(endpoint, factory, self.credentials("main"), clock)
        self.addCleanup(factory.closeAll, "the test is over")
        self.addCleanup(port.stopListening)
        return port

    async def certified(self, port: IListeningPort, name: str) -> Raw:
        """Somebody with a certificate whose hand-shake is over at the controller, and who says nothing yet."""
        peer, before = Raw(b""), self.secured()
        await wrapClientTLS(ClientTLS(self.credentials(name), "main"), self.endpoint(port)).connect(
            Factory.forProtocol(lambda: peer)
        )
        self.addCleanup(self.leave, peer)
        await self.until(lambda: self.secured() > before)
        return peer

    def secured(self) -> int:
        """How many hand-shakes the controller has seen to their end."""
        return sum(cast(SouthboundProtocol, receiver.link).secured for receiver in self.upper.receivers)

    async def leave(self, peer: Raw) -> None:
        if not peer.lost.called:
            peer.transport.abortConnection()
            await peer.lost

    async def knock(self, port: IListeningPort, count: int, words: bytes = b"") -> None:
        """C{count} connections that do not get through the hand-shake, each when the controller has seen the last."""
        for _ in range(count):
            before = len(self.upper.receivers)
            knocking = socket.create_connection(("127.0.0.1", cast(Any, port).getHost().port))
            self.addCleanup(knocking.close)
            knocking.sendall(words)
            await self.until(lambda seen=before: len(self.upper.receivers) > seen)  # type: ignore[misc]

    async def test_whoHasACertificateStays(self) -> None:
        """Four that have come before them all, and have yet to say HELLO, outlast a hundred strangers."""
        port = await self.flooded()
        names = ("bro1", "bro2", "bro1", "bro2")
        peers = [await self.certified(port, name) for name in names]
        await self.knock(port, 50)
        await self.knock(port, 50, b"\x16\x03\x01\x02\x00")  # the beginning of a hand-shake
        await self.until(lambda: len(self.warnings("without a session")) + self.factory.log.unwritten == 104 - LIMIT)
        for peer, name in zip(peers, names, strict=True):
            peer.transport.write(encode(helloOf(name)))
            await self.until(lambda one=peer: one.received or one.lost.called)  # type: ignore[misc]
            self.assertEqual([Welcome(2, 1, 5000)], decodeAll(peer.received))

    async def test_strangersGetIn(self) -> None:
        """Connections with certificates and without HELLO do not keep out one that comes later and says HELLO."""
        port = await self.flooded()
        for _ in range(LIMIT + 4):
            await self.certified(port, "bro1")
        self.assertEqual(4, len(self.warnings("without a session")))
        newcomer = await self.certified(port, "bro2")
        for _ in range(LIMIT - 3):
            await self.certified(port, "bro1")
        await deferLater(clock, 0)
        newcomer.transport.write(encode(helloOf("bro2")))
        await self.until(lambda: newcomer.received or newcomer.lost.called)
        self.assertEqual([Welcome(2, 1, 5000)], decodeAll(newcomer.received))
