"""The Twisted protocol on a fake transport and a fake clock."""

from __future__ import annotations

import resource

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.southbound import pressure
from openmb.southbound.client import MiddleboxFactory
from openmb.southbound.connection import Terms
from openmb.southbound.halfopen import HalfOpen, halfOpenTotal
from openmb.southbound.link import Transport
from openmb.southbound.protocol import LINGER, ConnectionFailed, SouthboundProtocol
from openmb.southbound.server import ControllerFactory
from openmb.wire.codec import decodeAll, encode
from openmb.wire.messages import (
    Goodbye,
    Hello,
    MessageType,
    Ping,
    Pong,
    Prepared,
    Refused,
    Side,
    StreamFrame,
    StreamType,
    Welcome,
)
from tests.southbound.fakes import Everybody, helloOf
from tests.wire.samples import NONCE

_ADDRESS = IPv4Address("TCP", "192.0.2.1", 1234)


def admitBro(hello: Hello, transport: Transport) -> None:
    """Stands in for the certificate: only the kind C{bro}."""
    if hello.kind != "bro":
        raise OperationError(Refusal.BAD_REQUEST, f"{hello.kind} is not bro")


class Ends(SynchronousTestCase):
    """Makes protocols."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.receivers = Everybody()
        self.factory = ControllerFactory(Terms(epoch=4), self.receivers, self.clock, admitBro, halfOpenLimit=3)

    def controller(self, address: IPv4Address = _ADDRESS) -> tuple[SouthboundProtocol, StringTransport]:
        """A controller's end, connected."""
        transport = StringTransport(peerAddress=address)
        protocol = self.factory.buildProtocol(address)
        protocol.makeConnection(transport)
        assert isinstance(protocol, SouthboundProtocol)
        return protocol, transport

    def opened(self) -> tuple[SouthboundProtocol, StringTransport]:
        """A controller's end with an open session."""
        protocol, transport = self.controller()
        protocol.dataReceived(encode(helloOf()))
        transport.clear()
        return protocol, transport

    def lose(self, protocol: SouthboundProtocol) -> None:
        """The transport is gone."""
        protocol.connectionLost(Failure(ConnectionDone()))


class ControllerTests(Ends):
    """The controller's end."""

    def test_helloIsWelcomed(self) -> None:
        protocol, transport = self.controller()
        protocol.dataReceived(encode(helloOf()))
        self.assertEqual(decodeAll(transport.value()), [Welcome(2, 4, 5000)])
        self.assertEqual(self.receivers.receivers[0].peers, [helloOf()])
        self.assertEqual(protocol.peer, "bro1 (bro) at 192.0.2.1:1234")

    def test_helloIsNotAdmitted(self) -> None:
        protocol, transport = self.controller()
        with capturedLogs() as logs:
            protocol.dataReceived(encode(helloOf(kind="prads")))
        self.assertEqual(
            decodeAll(transport.value()), [Refused(0, MessageType.HELLO, Refusal.BAD_REQUEST, "prads is not bro")]
        )
        self.assertTrue(transport.disconnecting)
        self.assertEqual([log["reason"] for log in logs if log["log_level"] is LogLevel.warn], ["prads is not bro"])
        self.lose(protocol)
        self.assertEqual((self.receivers.receivers[0].peers, self.receivers.receivers[0].reasons), ([], []))

    def test_versionIsRefused(self) -> None:
        protocol, transport = self.controller()
        protocol.dataReceived(encode(helloOf(lowest=3, highest=9)))
        (refused,) = decodeAll(transport.value())
        self.assertIsInstance(refused, Refused)
        self.assertTrue(transport.disconnecting)

    def test_messagesAreDelivered(self) -> None:
        protocol, _ = self.opened()
        protocol.dataReceived(encode(Prepared(1, NONCE)) + encode(Prepared(2, NONCE)))
        self.assertEqual(self.receivers.receivers[0].messages, [Prepared(1, NONCE), Prepared(2, NONCE)])

    def test_pingIsAnswered(self) -> None:
        protocol, transport = self.opened()
        protocol.dataReceived(encode(Ping(3)))
        self.assertEqual(decodeAll(transport.value()), [Pong(3)])
        self.assertEqual(self.receivers.receivers[0].messages, [])

    def test_junkDropsTheConnection(self) -> None:
        protocol, transport = self.opened()
        with capturedLogs() as logs:
            protocol.dataReceived(encode(Prepared(1, NONCE)) + b"\xff" * 40)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.receivers.receivers[0].messages, [Prepared(1, NONCE)])
        (log,) = [log for log in logs if log["log_level"] is LogLevel.warn]
        self.assertIn("not an OpenMB frame", log["reason"])
        self.assertEqual(self.receivers.receivers[0].reasons, [])
        self.lose(protocol)
        self.assertEqual(len(self.receivers.receivers[0].reasons), 1)
        self.assertIn("not an OpenMB frame", self.receivers.receivers[0].reasons[0])

    def test_junkAfterTheEndIsIgnored(self) -> None:
        protocol, transport = self.opened()
        protocol.close("enough")
        protocol.dataReceived(encode(Prepared(1, NONCE)) + b"\xff" * 40)
        self.assertEqual(self.receivers.receivers[0].messages, [])
        self.assertEqual(decodeAll(transport.value()), [Goodbye("enough")])

    def test_goodbye(self) -> None:
        protocol, transport = self.opened()
        protocol.dataReceived(encode(Goodbye("moving house")))
        self.assertTrue(transport.disconnecting)
        self.lose(protocol)
        self.assertEqual(self.receivers.receivers[0].reasons, ["the peer said goodbye: moving house"])

    def test_sendingAfterTheEndIsSilent(self) -> None:
        protocol, transport = self.opened()
        self.lose(protocol)
        protocol.send(Ping(1))
        self.assertEqual(transport.value(), b"")
        self.assertFalse(protocol.writable)

    def test_relay(self) -> None:
        one, _ = self.opened()
        two, transport = self.opened()
        frame = StreamFrame(1, Side.SOURCE, 0, StreamType.RECORDS, b"c", b"s" * 5000)
        one.dataReceived(encode(frame))
        two.send(self.receivers.receivers[0].messages[0])
        self.assertEqual(transport.value(), encode(frame))

    def test_timersEnd(self) -> None:
        protocol, _ = self.opened()
        protocol.close("enough")
        self.lose(protocol)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TimeTests(Ends):
    """Deadlines on a fake clock."""

    def test_handshakeDeadline(self) -> None:
        _, transport = self.controller()
        self.clock.pump([0.5] * 19)
        self.assertFalse(transport.disconnecting)
        self.clock.pump([0.5])
        self.assertTrue(transport.disconnecting)
        self.clock.advance(0)
        self.assertTrue(transport.disconnected)

    def test_keepAlive(self) -> None:
        protocol, transport = self.opened()
        self.clock.pump([0.5] * 12)
        self.assertEqual(decodeAll(transport.value()), [Ping(1)])
        protocol.dataReceived(encode(Pong(1)))
        self.clock.pump([0.5] * 9)
        self.assertEqual(decodeAll(transport.value()), [Ping(1)])

    def test_silentPeer(self) -> None:
        protocol, transport = self.opened()
        self.clock.pump([0.5] * 42)
        self.assertEqual(decodeAll(transport.value()), [Ping(1), Ping(2), Ping(3)])
        self.assertTrue(transport.disconnected)
        self.lose(protocol)
        self.assertIn("PINGs unanswered", self.receivers.receivers[0].reasons[0])

    def test_peerThatDoesNotTakeTheLastBytes(self) -> None:
        protocol, transport = self.opened()
        protocol.close("enough")
        self.clock.advance(LINGER - 0.1)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(transport.disconnected)


class PressureTests(Ends):
    """Back-pressure of the peer, and of those who only knock."""

    def test_writable(self) -> None:
        protocol, transport = self.opened()
        told: list[bool] = []
        protocol.whenWritable = lambda: told.append(protocol.writable)
        self.assertIs(transport.producer, protocol)
        self.assertTrue(transport.streaming)
        self.assertTrue(protocol.writable)
        protocol.pauseProducing()
        self.assertFalse(protocol.writable)
        self.assertEqual(transport.producerState, "producing")  # it goes on reading
        protocol.resumeProducing()
        self.assertEqual(told, [True])

    def test_producerIsTakenOffBeforeClosing(self) -> None:
        protocol, transport = self.opened()
        protocol.close("enough")
        self.assertIsNone(transport.producer)

    def test_halfOpenConnectionsAreLimited(self) -> None:
        """The oldest has to go, and the newest, which may be an honest one, gets in."""
        waiting = [self.controller() for _ in range(3)]
        with capturedLogs() as logs:
            protocol, transport = self.controller()
        self.clock.advance(0)
        self.assertEqual([True, False, False], [other.disconnecting or other.disconnected for _, other in waiting])
        self.assertIn("without a session", logs[0]["reason"])
        protocol.dataReceived(encode(helloOf()))
        self.assertFalse(transport.disconnecting)
        self.assertEqual("bro1 (bro) at 192.0.2.1:1234", protocol.peer)

    def test_peerThatTakesNothing(self) -> None:
        """After a while it is cut, whatever waits."""
        protocol, transport = self.opened()
        protocol.pauseProducing()
        for second in range(1, 32):
            self.assertEqual(second > 30, transport.disconnecting, second)
            self.clock.advance(1)
            protocol.dataReceived(encode(Ping(1)))
        self.assertEqual(["it has taken nothing of what is sent for 30 s"], [self.lostReason(protocol)])

    def test_peerThatTakesSomething(self) -> None:
        protocol, transport = self.opened()
        for _ in range(5):
            protocol.pauseProducing()
            for _ in range(20):
                self.clock.advance(1)
                protocol.dataReceived(encode(Ping(1)))
            protocol.resumeProducing()
        self.assertFalse(transport.disconnecting)

    def test_pile(self) -> None:
        """What waits for a peer that takes nothing is bounded."""
        self.patch(pressure, "PILE_LIMIT", 1000)
        protocol, transport = self.opened()
        for _ in range(100):
            protocol.send(Ping(1))
        self.assertFalse(transport.disconnecting)
        protocol.pauseProducing()
        for _ in range(100):
            protocol.send(Ping(1))
        self.assertTrue(transport.disconnecting)
        self.assertLess(len(transport.value()), 100 * len(encode(Ping(1))) + 2000)

    def test_pileOfAnswers(self) -> None:
        """The answers to PING are part of what waits: who asks without end and never reads is cut."""
        self.patch(pressure, "PILE_LIMIT", 1000)
        protocol, transport = self.opened()
        protocol.pauseProducing()
        answers = 1000 // len(encode(Pong(1)))
        for _ in range(answers):
            protocol.dataReceived(encode(Ping(1)))
        self.assertFalse(transport.disconnecting)
        with capturedLogs() as logs:
            protocol.dataReceived(encode(Ping(1)))
        self.assertTrue(transport.disconnecting)
        self.assertEqual(["it does not take what is sent: 0 MiB wait"], [log["reason"] for log in logs])

    def test_strangersGoFirst(self) -> None:
        """Those go that have not finished TLS, the oldest first, and only then those that have."""
        waiting = [self.controller() for _ in range(3)]
        waiting[0][0].handshakeCompleted()
        waiting[2][0].handshakeCompleted()
        for gone in (1, 3, 4):
            waiting.append(self.controller())
            self.clock.advance(0)
            self.assertTrue(waiting[gone][1].disconnected)
        waiting[-1][0].handshakeCompleted()
        self.controller()
        self.clock.advance(0)
        self.assertEqual([True, True, False, True, True, False], [transport.disconnected for _, transport in waiting])

    def test_placesForHandshakes(self) -> None:
        """Whoever holds one certificate cannot take all places from those who are about to show theirs."""
        self.patch(self.factory, "_halfOpen", HalfOpen(8, 100))
        newcomers = [self.controller() for _ in range(2)]
        for _ in range(30):
            self.controller()[0].handshakeCompleted()
        self.clock.advance(0)
        self.assertEqual([False, False], [transport.disconnecting for _, transport in newcomers])

    def test_strangersOfAllHosts(self) -> None:
        """With too many together, those go first that have not finished TLS, whatever host they are of."""
        self.patch(self.factory, "_halfOpen", HalfOpen(3, 4))
        hosts = (1, 1, 2, 2, 2)
        waiting = []
        for host in hosts:
            waiting.append(self.controller(IPv4Address("TCP", f"192.0.2.{host}", 1)))
            if host == 1:
                waiting[-1][0].handshakeCompleted()
        self.clock.advance(0)
        self.assertEqual(
            [False, False, True, False, False],
            [transport.disconnecting or transport.disconnected for _, transport in waiting],
        )

    def test_halfOpenOnesOfAllHosts(self) -> None:
        """With too many together, the oldest of the host that has the most has to go."""
        self.patch(self.factory, "_halfOpen", HalfOpen(3, 4))
        waiting = [self.controller(IPv4Address("TCP", f"192.0.2.{host}", 1)) for host in (1, 2, 3, 3, 4)]
        self.clock.advance(0)
        gone = [transport.disconnecting or transport.disconnected for _, transport in waiting]
        self.assertEqual([False, False, True, False, False], gone)

    def test_descriptors(self) -> None:
        """Connections without a session never take all the descriptors of a process."""
        self.assertEqual(
            [1, 16, 256, 1024, 1024],
            [halfOpenTotal(limit) for limit in (3, 64, 1024, 1 << 20, resource.RLIM_INFINITY)],
        )

    def lostReason(self, protocol: SouthboundProtocol) -> str:
        self.lose(protocol)
        (reason,) = self.receivers.receivers[0].reasons
        return reason

    def test_limitIsOfOneHost(self) -> None:
        for _ in range(3):
            self.controller()
        self.assertIsInstance(self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.2", 1)), SouthboundProtocol)

    def test_openAndLostOnesDoNotCount(self) -> None:
        for _ in range(3):
            self.opened()
            self.lose(self.controller()[0])
        self.controller()
        self.assertEqual(1, len(self.factory._halfOpen))


class MiddleboxTests(Ends):
    """The middlebox's end."""

    def middlebox(self) -> tuple[SouthboundProtocol, StringTransport]:
        """A middlebox's end, connected."""
        transport = StringTransport(peerAddress=_ADDRESS)
        protocol = MiddleboxFactory(Terms(), self.receivers, helloOf, self.clock).buildProtocol(_ADDRESS)
        protocol.makeConnection(transport)
        return protocol, transport

    def test_helloGoesFirst(self) -> None:
        _, transport = self.middlebox()
        self.assertEqual(decodeAll(transport.value()), [helloOf()])

    def test_welcomeOpens(self) -> None:
        protocol, _ = self.middlebox()
        waiting = protocol.whenOpen()
        self.assertNoResult(waiting)
        protocol.dataReceived(encode(Welcome(2, 2, 3000)))
        self.successResultOf(waiting)
        self.successResultOf(protocol.whenOpen())
        self.assertEqual(self.receivers.receivers[0].peers, [Welcome(2, 2, 3000)])

    def test_refused(self) -> None:
        protocol, transport = self.middlebox()
        waiting = protocol.whenOpen()
        protocol.dataReceived(encode(Refused(0, MessageType.HELLO, Refusal.BAD_REQUEST, "not you")))
        self.assertTrue(transport.disconnecting)
        self.lose(protocol)
        self.assertIn("not you", str(self.failureResultOf(waiting, ConnectionFailed).value))
        self.assertEqual(self.receivers.receivers[0].reasons, [])

    def test_lostBeforeTheSession(self) -> None:
        protocol, _ = self.middlebox()
        waiting = protocol.whenOpen()
        with capturedLogs() as logs:
            self.lose(protocol)
        self.failureResultOf(waiting, ConnectionFailed)
        self.failureResultOf(protocol.whenOpen(), ConnectionFailed)
        self.assertEqual(logs[0]["log_level"], LogLevel.warn)

    def test_refusedRequestOfAnOpenSessionIsDelivered(self) -> None:
        protocol, transport = self.middlebox()
        protocol.dataReceived(encode(Welcome(2, 2, 3000)))
        refused = Refused(7, 0, Refusal.BUFFER_FULL, "full")
        protocol.dataReceived(encode(refused))
        self.assertEqual(self.receivers.receivers[0].messages, [refused])
        self.assertFalse(transport.disconnecting)
