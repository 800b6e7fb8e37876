"""Peers that take what they are sent slowly, or not at all: on a fake clock, and over real sockets."""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet.endpoints import TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ProtocolError
from openmb.southbound import pressure
from openmb.southbound.connection import Terms
from openmb.southbound.pressure import STALL_LIMIT, Pressure, bytesTaken
from openmb.southbound.server import ControllerFactory, listenSouthbound
from openmb.southbound.tls import ClientTLS
from openmb.wire.codec import encode
from openmb.wire.messages import Ping, Pong, Side, StreamFrame, StreamType
from tests.southbound.fakes import Everybody, helloOf
from tests.southbound.peers import Raw
from tests.southbound.test_tls import TLSTestCase, clock, reactor


class PressureTests(SynchronousTestCase):
    """What is counted, and when it is too much."""

    def setUp(self) -> None:
        self.taken = 0
        self.pressure = Pressure(lambda: self.taken)

    def test_nothingTaken(self) -> None:
        self.taken = 5000
        self.pressure.full(100.0)
        self.pressure.timePassed(100.0 + STALL_LIMIT - 0.1)
        self.assertRaises(ProtocolError, self.pressure.timePassed, 100.0 + STALL_LIMIT)

    def test_somethingTaken(self) -> None:
        """A byte now and then is enough, for hours; then nothing comes for thirty seconds."""
        self.pressure.full(0.0)
        for step in range(1, 400):
            self.taken += 1
            self.pressure.timePassed(step * (STALL_LIMIT - 0.5))
        last = 399 * (STALL_LIMIT - 0.5)
        self.pressure.timePassed(last + STALL_LIMIT - 0.1)
        self.assertRaises(ProtocolError, self.pressure.timePassed, last + STALL_LIMIT)

    def test_emptyMeanwhile(self) -> None:
        self.pressure.full(0.0)
        self.pressure.empty()
        self.pressure.timePassed(10 * STALL_LIMIT)
        self.pressure.full(10 * STALL_LIMIT)
        self.pressure.timePassed(11 * STALL_LIMIT - 1)
        self.assertRaises(ProtocolError, self.pressure.timePassed, 11 * STALL_LIMIT)

    def test_pile(self) -> None:
        """Only what is written while the buffer is full counts; progress of the clock does not make room."""
        self.patch(pressure, "PILE_LIMIT", 100)
        self.pressure.wrote(1000)
        self.pressure.full(0.0)
        self.pressure.wrote(100)
        self.assertRaises(ProtocolError, self.pressure.wrote, 1)
        self.pressure.empty()
        self.pressure.full(1.0)
        self.pressure.wrote(100)


class TakenTests(SynchronousTestCase):
    """What the kernel says of a connection."""

    def test_acknowledged(self) -> None:
        """Bytes count when the other machine has taken them, exactly."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            with socket.create_connection(listening.getsockname()) as client:
                transport = Holding(client)
                before = bytesTaken(transport)
                client.sendall(bytes(5000))
                server, _ = listening.accept()
                with server:
                    server.recv(5000, socket.MSG_WAITALL)
                self.assertEqual(5000, bytesTaken(transport) - before)
                self.assertEqual(5000, bytesTaken(Wrapping(Wrapping(transport))) - before)
            self.assertEqual(0, bytesTaken(transport), "closed")

    def test_noConnection(self) -> None:
        """Without TCP nothing is known, and nothing breaks."""
        one, other = socket.socketpair()
        with one, other:
            self.assertEqual([0, 0], [bytesTaken(Holding(one)), bytesTaken(StringTransport())])


class Holding:
    """A transport that has a socket."""

    def __init__(self, held: socket.socket) -> None:
        self._held = held

    def getHandle(self) -> socket.socket:
        return self._held


class Wrapping:
    """A transport on top of another, as TLS is; its own handle is no socket."""

    def __init__(self, transport: object) -> None:
        self.transport = transport

    def getHandle(self) -> object:
        return self


class SlowTests(TLSTestCase):
    """Real sockets and TLS; only the clock of the controller's end is a fake one, so that hours pass in a second."""

    async def join(self) -> tuple[Raw, Any]:
        """Somebody with a session, and the link to it at the controller; from here on nothing is read."""
        self.time, self.others = Clock(), Everybody()
        factory = ControllerFactory(Terms(epoch=1, keepAlive=1000.0), self.others, cast(Any, self.time))
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await listenSouthbound(endpoint, factory, self.credentials("main"), clock)
        self.addCleanup(port.stopListening)
        peer = Raw(encode(helloOf()))
        creator = ClientTLS(self.credentials("bro1"), "main")
        await wrapClientTLS(creator, self.endpoint(port)).connect(Factory.forProtocol(lambda: peer))
        await self.until(lambda: peer.received)
        peer.transport.pauseProducing()
        self.addCleanup(self.leave, peer)
        return peer, self.others.receivers[0].link

    async def leave(self, peer: Raw) -> None:
        if not peer.lost.called:
            peer.transport.abortConnection()
            await peer.lost
        await self.until(lambda: self.others.receivers[0].reasons)

    async def fill(self, link: Any) -> int:
        """Send until nothing is taken any more; how much was sent."""
        frame = StreamFrame(1, Side.SOURCE, 0, StreamType.RECORDS, b"", bytes(500_000))
        sent = 0
        for _ in range(16):
            link.send(frame)
            sent += 500_000
            await deferLater(clock, 0)
        await self.until(lambda: not link.writable)
        await self.settled(link)
        return sent

    async def settled(self, link: Any) -> int:
        """What the peer's machine has taken, once it takes no more."""
        before, calm = bytesTaken(link.transport), 0
        while calm < 10:
            await deferLater(clock, 0.01)
            now = bytesTaken(link.transport)
            before, calm = now, calm + 1 if now == before else 0
        return before

    async def sip(self, peer: Raw, link: Any) -> None:
        """The peer reads until its machine has taken something more."""
        before = bytesTaken(link.transport)
        peer.transport.resumeProducing()
        await self.until(lambda: bytesTaken(link.transport) > before)
        peer.transport.pauseProducing()
        await self.settled(link)

    async def test_slowButSteady(self) -> None:
        """Ten sips, twenty seconds apart: it is behind all the time, and is never cut; when it stops, it is."""
        peer, link = await self.join()
        await self.fill(link)
        for _ in range(10):
            self.time.advance(20)
            self.assertEqual([], self.others.receivers[0].reasons)
            await self.sip(peer, link)
            if link.writable:
                await self.fill(link)
        self.time.advance(20)
        self.assertEqual([], self.warnings("dropping"))
        self.time.advance(STALL_LIMIT - 0.5)
        self.assertEqual([], self.warnings("dropping"))
        self.time.advance(0.5)
        self.assertEqual(1, len(self.warnings("it has taken nothing of what is sent for 30 s")))

    async def test_asksAndNeverReads(self) -> None:
        """Who sends PING without end and never reads an answer is cut when too many wait."""
        self.patch(pressure, "PILE_LIMIT", 1 << 18)
        peer, _ = await self.join()
        asked, size = encode(Ping(1)) * 4096, len(encode(Pong(1))) * 4096
        sent = 0
        while not self.warnings("it does not take what is sent"):
            self.assertLess(sent, 64 << 20, "answers pile up without end")
            peer.transport.write(asked)
            sent += size
            await deferLater(clock, 0.005)
        self.time.advance(0)
        await self.until(lambda: self.others.receivers[0].reasons)
