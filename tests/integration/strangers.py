"""Who connects to a real controller and should not, while real middleboxes move state under traffic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOProtocol

from openmb.demo.deployment import CONTROLLER
from openmb.southbound.certificates import Credentials, loadCredentials, makeAuthority, makeCertificate, readKey
from openmb.southbound.tls import ClientTLS
from openmb.testing.adapters import START
from openmb.wire.codec import encode
from openmb.wire.formats import End
from openmb.wire.messages import Ping, Pong
from tests.integration.services import ANSWER, LOOP, RunningServices
from tests.southbound.fakes import helloOf
from tests.southbound.peers import Raw

PING, PONG = encode(Ping(1)), encode(Pong(1))
#: Nanoseconds between two rounds of packets.
ROUND = 200_000_000

Attack = Callable[[], Awaitable[object]]


def hello(name: str, kind: str = "bro") -> bytes:
    """The HELLO of a middlebox that remembers nothing."""
    return encode(helloOf(name, kind))


class OldTLS(ClientTLS):
    """Speaks TLS 1.2 at most."""

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        return SSL.Connection(context, None)


class Wardrobe:
    """Certificates for strangers, made as those of C{folder} are, and wrong in one thing each."""

    def __init__(self, folder: Path, elsewhere: Path) -> None:
        self._folder, self._elsewhere = folder, elsewhere
        makeAuthority(elsewhere)

    def own(self, name: str, kind: str = "bro") -> Credentials:
        """A good one."""
        if not (self._folder / f"{name}.pem").exists():
            makeCertificate(self._folder, End.MIDDLEBOX, name, kind)
        return loadCredentials(self._folder, name)

    def controllers(self) -> Credentials:
        """That of another controller."""
        makeCertificate(self._folder, End.CONTROLLER, "spare")
        return loadCredentials(self._folder, "spare")

    def foreign(self, name: str) -> Credentials:
        """The same name and kind, signed by another authority; it trusts the right one."""
        makeCertificate(self._elsewhere, End.MIDDLEBOX, name, "bro")
        shown = loadCredentials(self._elsewhere, name)
        return Credentials(shown.certificate, shown.key, self.own("bro1").authority)

    def dated(self, name: str, begins: timedelta, ends: timedelta) -> Credentials:
        """One of another time, counted from now."""
        good, now = self.own(name), datetime.now(UTC)
        old = good.certificate
        builder = x509.CertificateBuilder().subject_name(old.subject).issuer_name(old.issuer)
        builder = builder.public_key(good.key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + begins).not_valid_after(now + ends)
        for extension in old.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        made = builder.sign(readKey(self._folder / "authority.key"), hashes.SHA256())
        (self._folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        return loadCredentials(self._folder, name)


def asClient(credentials: Credentials, make: Callable[..., ClientTLS] = ClientTLS) -> ClientTLS:
    """Somebody who believes to talk to the right controller."""
    return make(credentials, CONTROLLER)


class StrangersCase(RunningServices):
    """
    A controller whose log can be read, and six flows that two middleboxes hand to each other.

    @ivar clothes: what strangers may wear.
    @ivar operation: the move that is under way.
    """

    def startController(self) -> None:
        runner = ("-m", "twisted", "--log-format", "text")
        self.controller = self.children.start("controller", self.deployment.controllerArguments(), runner)

    async def begin(self) -> None:
        await super().begin()
        self.rounds = 1
        self.at, self.other = "bro1", "bro2"
        self.clothes = Wardrobe(self.deployment.certificates, self.deployment.root / "elsewhere")

    async def more(self) -> None:
        """Each of the six flows has two more packets in each direction."""
        await self.feed(START + self.rounds * ROUND)
        self.rounds += 1

    def said(self, words: str) -> int:
        """How often the controller has said something."""
        return self.childLog("controller").read_text(errors="replace").count(words)

    async def incarnation(self, name: str) -> bytes:
        """What the controller tells of one that is connected; the other ends of its operations know it too."""
        found = await self.rpc.call("middleboxes", {}, ANSWER)
        return bytes.fromhex(next(each["incarnation"] for each in found if each["name"] == name))

    async def heard(self, words: str, count: int = 1) -> None:
        """Wait until the controller has said it so often."""
        await self.until(f"{words!r} in the log", lambda: self.said(words) >= count)

    async def connect(self, peer: Raw, creator: IOpenSSLClientConnectionCreator | None = None) -> Raw:
        """Let C{peer} connect to the controller, with TLS if there is a C{creator}."""
        endpoint: Any = TCP4ClientEndpoint(LOOP, "127.0.0.1", self.deployment.controllerPort)
        if creator is not None:
            endpoint = wrapClientTLS(creator, endpoint)
        await endpoint.connect(Factory.forProtocol(lambda: peer))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.leave(peer)))
        return peer

    async def gone(self, peer: Raw) -> None:
        """Wait until the controller has cut off C{peer}."""
        await self.until("the end of a connection", lambda: peer.lost.called)

    async def leave(self, *peers: Raw) -> None:
        """Cut the connections of those who have one."""
        for peer in peers:
            if not peer.lost.called:
                peer.transport.abortConnection()
                await peer.lost

    async def newcomer(self) -> Raw:
        """Somebody who gets a session and an answer; like every middlebox it tries again if it was cut off."""
        creator = asClient(self.clothes.own("bro3"))
        while True:
            good = await self.connect(Raw(hello("bro3") + PING), creator)
            await self.until("an answer", lambda one=good: one.received.endswith(PONG) or one.lost.called)  # type: ignore[misc]
            if not good.lost.called:
                return good

    async def during(self, attack: Attack, then: Attack | None = None) -> None:
        """
        Move all flows to the other middlebox: C{attack} while the state has come and updates follow it, C{then} during
        the switch-over; packets come before and after each.
        """
        self.operation = (await self.install(self.at, self.other))["operation"]
        await self.more()
        await attack()
        await self.more()
        switching = Deferred.fromCoroutine(self.switchOver(self.operation))
        await self.more()
        if then is not None:
            await then()
            await self.more()
        report = await switching
        self.assertEqual(("moved", None, 0), (report["stage"], report["refusal"], report["lost"]))
        self.at, self.other = self.other, self.at

    async def end(self) -> None:
        """Every packet that was sent stands in the logs, once; no session of a middlebox was ever lost."""
        await self.more()
        await self.holds(self.at, 6)
        for name in ("bro1", "bro2"):
            self.assertEqual(1, self.said(f"session with {name} (bro) at "), "it opens, and does not end")
        await self.stopMiddleboxes()
        self.assertEqual([], self.rows(self.other))
        packets = [(int(row[16]), int(row[18])) for row in self.rows(self.at)]
        self.assertEqual([(2 * self.rounds, 2 * self.rounds)] * 6, packets)
