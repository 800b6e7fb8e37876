"""Both ends over real TLS on the loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet import reactor as installedReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import TestCase

from openmb.southbound.certificates import Credentials, loadCredentials, makeAuthority, makeCertificate
from openmb.southbound.client import MiddleboxFactory, SouthboundClient
from openmb.southbound.connection import Terms
from openmb.southbound.server import ControllerFactory, listenSouthbound
from openmb.southbound.tls import ClientTLS
from openmb.wire.codec import encode
from openmb.wire.formats import End
from openmb.wire.messages import Hello, Hold, Ping, Prepared, Side, StreamFrame, StreamType, Welcome
from tests.southbound.fakes import Everybody, helloOf
from tests.southbound.peers import Anonymous, Raw
from tests.wire.samples import NONCE

reactor = cast(Any, installedReactor)
clock = cast(IReactorTime, installedReactor)


class TLSTestCase(TestCase):
    """One controller that listens, and certificates to try."""

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override]
        self.directory = Path(self.mktemp())
        makeAuthority(self.directory)
        for name, kind in (("bro1", "bro"), ("bro2", "bro"), ("prads1", "prads")):
            makeCertificate(self.directory, End.MIDDLEBOX, name, kind)
        for name in ("main", "spare"):
            makeCertificate(self.directory, End.CONTROLLER, name)
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.upper = Everybody()
        self.port = await self.listen("main")

    async def listen(self, name: str, deadline: float = 10.0) -> IListeningPort:
        """A controller that shows the certificate C{name}."""
        factory = ControllerFactory(Terms(epoch=1, deadline=deadline), self.upper, clock)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await listenSouthbound(endpoint, factory, self.credentials(name), clock)
        self.addCleanup(factory.closeAll, "the test is over")
        self.addCleanup(port.stopListening)
        return port

    def credentials(self, name: str) -> Credentials:
        """The certificate C{name} of the controller's authority."""
        return loadCredentials(self.directory, name)

    def endpoint(self, port: IListeningPort | None = None) -> IStreamClientEndpoint:
        """Where the controller listens."""
        address = cast(Any, port or self.port).getHost()
        return TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)

    def client(
        self, credentials: Credentials, hello: Callable[[], Hello] = helloOf, port: IListeningPort | None = None
    ) -> tuple[SouthboundClient, Everybody]:
        """A middlebox that connects."""
        lower = Everybody()
        factory = MiddleboxFactory(Terms(), lower, hello, clock)
        service = SouthboundClient(self.endpoint(port), factory, credentials, "main", clock)
        service.startService()
        self.addCleanup(service.stopService)
        return service, lower

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for C{condition}; the test's own time-out ends what never comes."""
        while not condition():
            await deferLater(clock, 0.01)

    def warnings(self, part: str) -> list[str]:
        """The warnings in the log that contain C{part}."""
        found = [str(e["log_format"]).format(**e) for e in self.events if e["log_level"] is LogLevel.warn]
        return [text for text in found if part in text]

    async def openSession(self) -> Everybody:
        """C{bro1} with an open session, to see that what others do does not disturb it."""
        _, lower = self.client(self.credentials("bro1"))
        await self.until(lambda: lower.receivers and lower.receivers[0].peers)
        return lower

    async def assertUndisturbed(self, lower: Everybody) -> None:
        """The session of L{openSession} still works."""
        upper = next(receiver for receiver in self.upper.receivers if receiver.peers)
        lower.receivers[0].link.send(Prepared(99, NONCE))
        await self.until(lambda: Prepared(99, NONCE) in upper.messages)
        self.assertEqual((len(lower.receivers), lower.receivers[0].reasons, upper.reasons), (1, [], []))


class SessionTests(TLSTestCase):
    """What works."""

    async def test_messagesBothWays(self) -> None:
        lower = await self.openSession()
        upper = self.upper.receivers[0]
        self.assertEqual((upper.peers, lower.receivers[0].peers), ([helloOf()], [Welcome(2, 1, 5000)]))
        frame = StreamFrame(1, Side.SOURCE, 0, StreamType.RECORDS, b"c", bytes(200_000))
        lower.receivers[0].link.send(frame)
        upper.link.send(Hold(1, bytes(16)))
        await self.until(lambda: upper.messages and lower.receivers[0].messages)
        self.assertEqual((upper.messages, lower.receivers[0].messages), ([frame], [Hold(1, bytes(16))]))

    async def test_onlyTLS13(self) -> None:
        lower = await self.openSession()
        handle = cast(Any, lower.receivers[0].link).transport.getHandle()
        self.assertEqual(handle.get_protocol_version_name(), "TLSv1.3")

    async def test_olderTLSIsRefused(self) -> None:
        lower = await self.openSession()
        creator = ClientTLS(self.credentials("bro2"), "main")
        creator._contexts.current().set_min_proto_version(SSL.TLS1_2_VERSION)
        creator._contexts.current().set_max_proto_version(SSL.TLS1_2_VERSION)
        peer = Raw(b"")
        await wrapClientTLS(creator, self.endpoint()).connect(Factory.forProtocol(lambda: peer))
        await peer.lost
        self.assertTrue(self.warnings("unsupported protocol"))
        await self.assertUndisturbed(lower)

    async def test_connectsAgain(self) -> None:
        lower = await self.openSession()
        self.upper.receivers[0].link.close("restart")
        await self.until(lambda: len(lower.receivers) == 2 and lower.receivers[1].peers)
        self.assertEqual(lower.receivers[0].reasons, ["the peer said goodbye: restart"])

    async def test_delayGrowsUntilASessionIsOpen(self) -> None:
        lower, answers = Everybody(), [helloOf("bro2"), helloOf("bro2"), helloOf("bro2")]
        factory = MiddleboxFactory(Terms(), lower, lambda: answers.pop() if answers else helloOf(), clock)
        service = SouthboundClient(self.endpoint(), factory, self.credentials("bro1"), "main", clock)
        service.startService()
        self.addCleanup(service.stopService)
        await self.until(lambda: factory.failures == 3)
        await self.until(lambda: len(lower.receivers) == 4 and lower.receivers[3].peers)
        self.assertEqual(factory.failures, 0)

    async def test_stopsWhileTheControllerIsSilent(self) -> None:
        peer = Raw(b"")
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(lambda: peer))
        self.addCleanup(port.stopListening)
        service, lower = self.client(self.credentials("bro1"), port=port)
        await self.until(lambda: lower.receivers and peer.received)
        await service.stopService()
        await peer.lost
        self.assertEqual(lower.receivers[0].reasons, [])

    async def test_backPressure(self) -> None:
        lower = await self.openSession()
        link, told = lower.receivers[0].link, Deferred[None]()
        link.whenWritable = lambda: None if told.called else told.callback(None)
        frame = StreamFrame(1, Side.SOURCE, 0, StreamType.RECORDS, b"", bytes(500_000))
        sent = 0
        while link.writable:
            link.send(frame)
            sent += 1
            await deferLater(clock, 0)
            if sent > 500:
                self.fail("the link stays writable whatever is sent")
            if sent % 10 == 0:
                for _ in range(10):  # faster than the other end can read
                    link.send(frame)
                sent += 10
        await told
        await self.until(lambda: len(self.upper.receivers[0].messages) == sent)


class RefusalTests(TLSTestCase):
    """What is refused, with a line in the log, and without disturbing others."""

    async def assertNotAdmitted(self, name: str, hello: Hello, expected: str) -> None:
        lower = await self.openSession()
        _, others = self.client(self.credentials(name), lambda: hello)
        await self.until(lambda: self.warnings(expected))
        self.assertEqual(others.receivers[0].peers, [])
        await self.assertUndisturbed(lower)

    async def test_wrongName(self) -> None:
        await self.assertNotAdmitted(
            "bro2", helloOf("bro1"), "HELLO of middlebox bro1 of kind bro with the certificate"
        )

    async def test_wrongKind(self) -> None:
        await self.assertNotAdmitted("prads1", helloOf("prads1", "bro"), "with the certificate of middlebox prads1")

    async def test_controllersCertificate(self) -> None:
        # made for servers: OpenSSL itself does not take it from a client
        await self.assertNotAdmitted("spare", helloOf("spare"), "certificate verify failed")

    async def test_middleboxIsToldWhy(self) -> None:
        self.client(self.credentials("bro2"))
        await self.until(lambda: self.warnings("refused by the peer: HELLO of middlebox bro1"))

    async def test_certificateOfAnotherAuthority(self) -> None:
        lower = await self.openSession()
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        makeCertificate(elsewhere, End.MIDDLEBOX, "bro2", "bro")
        stranger = loadCredentials(elsewhere, "bro2")
        mixed = Credentials(stranger.certificate, stranger.key, self.credentials("bro1").authority)
        _, others = self.client(mixed, lambda: helloOf("bro2"))
        await self.until(lambda: self.warnings("certificate verify failed"))
        self.assertEqual([receiver.peers for receiver in others.receivers[:1]], [[]])
        await self.assertUndisturbed(lower)

    async def test_noCertificate(self) -> None:
        lower = await self.openSession()
        creator = Anonymous()
        peer = Raw(encode(helloOf("bro2")))
        await wrapClientTLS(creator, self.endpoint()).connect(Factory.forProtocol(lambda: peer))
        await peer.lost
        self.assertEqual(peer.received, b"")
        self.assertTrue(self.warnings("did not return a certificate"))
        await self.assertUndisturbed(lower)

    async def test_plainJunk(self) -> None:
        lower = await self.openSession()
        peer = Raw(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
        await self.endpoint().connect(Factory.forProtocol(lambda: peer))
        await peer.lost
        self.assertTrue(self.warnings("ended before its session: TLS: "))
        await self.assertUndisturbed(lower)

    async def test_whoOnlyConnectsIsCut(self) -> None:
        peer = Raw(b"")
        await self.endpoint(await self.listen("main", deadline=0.1)).connect(Factory.forProtocol(lambda: peer))
        await peer.lost
        self.assertTrue(self.warnings("no hand-shake within 0.1 s"))

    async def assertDropped(self, data: bytes, expected: str) -> None:
        lower = await self.openSession()
        peer = Raw(encode(helloOf("bro2")) + data)
        creator = ClientTLS(self.credentials("bro2"), "main")
        await wrapClientTLS(creator, self.endpoint()).connect(Factory.forProtocol(lambda: peer))
        await peer.lost
        self.assertEqual(len(self.warnings(expected)), 1)
        self.assertIn("bro2 (bro)", self.warnings(expected)[0])
        await self.assertUndisturbed(lower)

    async def test_frameThatLiesAboutItsLength(self) -> None:
        good = encode(Ping(1))
        await self.assertDropped(good[:8] + b"\7" + good[9:], "bad PING")

    async def test_unknownType(self) -> None:
        good = encode(Ping(1))
        await self.assertDropped(good[:3] + b"\xee" + good[4:], "unknown message type 238")

    async def test_oversize(self) -> None:
        good = encode(Ping(1))
        await self.assertDropped(good[:8] + b"\0\0\0\x7f" + good[12:], "exceeds the limit")

    async def test_wrongDirection(self) -> None:
        await self.assertDropped(encode(Hold(1, bytes(16))), "does not take HOLD")

    async def test_otherController(self) -> None:
        port = await self.listen("spare")
        _, lower = self.client(self.credentials("bro1"), port=port)
        await self.until(lambda: self.warnings("is not that of controller main"))
        self.assertFalse(any(receiver.peers for receiver in lower.receivers + self.upper.receivers))

    async def test_middleboxThatPosesAsController(self) -> None:
        port = await self.listen("bro2")
        _, lower = self.client(self.credentials("bro1"), port=port)
        await self.until(lambda: self.warnings("certificate verify failed"))
        self.assertFalse(any(receiver.peers for receiver in lower.receivers + self.upper.receivers))
