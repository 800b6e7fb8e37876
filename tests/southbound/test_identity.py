"""Who may speak for whom, while everything runs: dates, revocation, renewal, two authorities, keyrings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL.crypto import X509
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.southbound import certificates
from openmb.southbound.certificates import loadCredentials, makeAuthority, makeCertificate, renewCertificate
from openmb.southbound.client import MiddleboxFactory, SouthboundClient
from openmb.southbound.connection import Terms
from openmb.southbound.live import LiveCredentials, liveKeyring
from openmb.southbound.revocation import revoke
from openmb.southbound.server import ControllerFactory, listenSouthbound
from openmb.southbound.verification import checkUse, whose
from openmb.state.keyring import Keyring
from openmb.wire.formats import End
from tests.southbound.fakes import Everybody, helloOf
from tests.southbound.test_tls import TLSTestCase, clock, reactor


class LiveTestCase(TLSTestCase):
    """A controller and middleboxes whose files may change."""

    async def listenLive(self) -> LiveCredentials:
        credentials = LiveCredentials(self.directory, "main")
        self.factory = ControllerFactory(Terms(epoch=1), self.upper, clock)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.live = await listenSouthbound(endpoint, self.factory, credentials, clock)
        self.addCleanup(self.factory.closeAll, "the test is over")
        self.addCleanup(self.live.stopListening)
        return credentials

    def join(self, name: str, directory: Path | None = None) -> tuple[SouthboundClient, MiddleboxFactory, Everybody]:
        """A middlebox with the files of C{directory}."""
        lower = Everybody()
        factory = MiddleboxFactory(Terms(), lower, lambda: helloOf(name), clock)
        credentials = LiveCredentials(directory or self.directory, name)
        service = SouthboundClient(self.endpoint(self.live), factory, credentials, "main", clock)
        service.startService()
        self.addCleanup(service.stopService)
        return service, factory, lower

    async def opened(self, lower: Everybody, count: int = 1) -> None:
        await self.until(lambda: sum(bool(receiver.peers) for receiver in lower.receivers) >= count)

    def made(self, name: str, change: Callable[[], None]) -> None:
        """The certificate C{name} once more, with other dates."""
        for ending in ("pem", "key"):
            (self.directory / f"{name}.{ending}").unlink()
        change()
        makeCertificate(self.directory, End.MIDDLEBOX, name, "bro")


class DateTests(LiveTestCase):
    """A certificate has its time."""

    async def refused(self, words: str) -> None:
        await self.listenLive()
        _, _, good = self.join("bro1")
        await self.opened(good)
        _, _, bad = self.join("bro2")
        await self.until(lambda: self.warnings(words))
        (line, *_) = self.warnings(words)
        self.assertIn("middlebox bro2 of kind bro", line)
        self.assertFalse(any(receiver.peers for receiver in bad.receivers))
        self.assertEqual([[]], [receiver.reasons for receiver in good.receivers])

    async def test_expired(self) -> None:
        self.made("bro2", lambda: self.patch(certificates, "VALIDITY", timedelta(0)))
        await self.refused("it has expired: renew it")

    async def test_notYetValid(self) -> None:
        self.made("bro2", lambda: self.patch(certificates, "_LAG", timedelta(days=-1)))
        await self.refused("it is not valid yet: is the clock")

    async def test_expiresMeanwhile(self) -> None:
        """A session ends with its certificate."""
        credentials = await self.listenLive()
        _, _, lower = self.join("bro1")
        await self.opened(lower)
        objection = credentials.objection
        later = datetime.now(UTC) + timedelta(days=900)
        self.patch(credentials, "objection", lambda certificate: objection(certificate, later))
        self.factory.examine(credentials)
        await self.until(lambda: lower.receivers[0].reasons)
        self.assertIn("its certificate expired on", lower.receivers[0].reasons[0])


class UseTests(LiveTestCase):
    """Certificates that the authority has signed, but for something else, or for anything."""

    def sign(self, name: str, *extensions: x509.ExtensionType) -> None:
        """The certificate C{name} in the place of its own, with these extensions and its names."""
        old = loadCredentials(self.directory, name)
        key = certificates.readKey(self.directory / "authority.key")
        builder = x509.CertificateBuilder().subject_name(old.certificate.subject).issuer_name(old.authority.subject)
        builder = builder.public_key(old.key.public_key()).serial_number(x509.random_serial_number())
        now = datetime.now(UTC)
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        names = old.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for each in (names, *extensions):
            builder = builder.add_extension(each, critical=False)
        made = builder.sign(key, hashes.SHA256())
        (self.directory / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))

    async def refused(self, words: str) -> None:
        """C{bro2} is told, and the controller says, why it is not taken; C{bro1} does not notice."""
        await self.listenLive()
        _, _, good = self.join("bro1")
        await self.opened(good)
        _, _, bad = self.join("bro2")
        await self.until(lambda: self.warnings(f"refused by the peer: {words}"))
        self.assertTrue([line for line in self.warnings(words) if line.startswith("dropping 127.0.0.1:")])
        self.assertFalse(any(receiver.peers for receiver in bad.receivers))
        self.assertEqual([[]], [receiver.reasons for receiver in good.receivers])

    async def test_forAnything(self) -> None:
        """OpenSSL takes what does not say what it is for; OpenMB does not."""
        self.sign("bro2")
        await self.refused("a certificate that does not say what it is for")

    def test_each(self) -> None:
        """Each part of what a certificate says it is for is needed."""
        no, yes = x509.BasicConstraints(ca=False, path_length=None), x509.BasicConstraints(ca=True, path_length=None)
        sign, usage = certificates._usage(authority=True), certificates._usage(authority=False)
        client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        bad = (
            (no, usage),
            (no, client),
            (usage, client),
            (yes, usage, client),
            (no, sign, client),
            (no, usage, server),
        )
        for extensions in bad:
            self.sign("bro1", *extensions)
            certificate = loadCredentials(self.directory, "bro1").certificate
            self.assertRaises(ConfigurationError, checkUse, certificate, End.MIDDLEBOX)
        self.sign("bro1", no, usage, client)
        checkUse(loadCredentials(self.directory, "bro1").certificate, End.MIDDLEBOX)
        self.assertRaises(
            ConfigurationError, checkUse, loadCredentials(self.directory, "bro1").certificate, End.CONTROLLER
        )

    async def test_controllerForAnything(self) -> None:
        """A middlebox does not take such a one from a controller."""
        self.sign("main")
        await self.listenLive()
        _, _, lower = self.join("bro1")
        await self.until(lambda: self.warnings("shown by 127.0.0.1:"))
        self.assertIn("does not say what it is for", self.warnings("shown by 127.0.0.1:")[0])
        self.assertFalse(any(receiver.peers for receiver in lower.receivers))

    def test_namesOfStrangers(self) -> None:
        """What a stranger's certificate says is in the log on one line, without control characters."""
        evil = "x" * 10 + "\n\x1b[2Jsession with bro1 is open"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, evil)])
        key = loadCredentials(self.directory, "bro2").key
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(hours=1))
        shown = whose(X509.from_cryptography(builder.sign(key, hashes.SHA256())))
        self.assertEqual("nobody OpenMB knows (xxxxxxxxxx??[2Jsession with bro1 is open)", shown)


class RenewalTests(LiveTestCase):
    """New files take the place of old ones while everything runs."""

    async def test_middlebox(self) -> None:
        """The next connection shows the new certificate; the old one can then be revoked."""
        await self.listenLive()
        _, _, lower = self.join("bro1")
        await self.opened(lower)
        old = loadCredentials(self.directory, "bro1").certificate
        revoke(self.directory, "bro1")
        renewCertificate(self.directory, "bro1")
        new = loadCredentials(self.directory, "bro1").certificate
        self.assertNotEqual(old.serial_number, new.serial_number)
        self.factory.examine(LiveCredentials(self.directory, "main"))
        await self.until(lambda: lower.receivers[0].reasons)
        await self.opened(lower, 2)

    async def test_controller(self) -> None:
        """The controller's too; sessions that are open stay."""
        credentials = await self.listenLive()
        _, _, first = self.join("bro1")
        await self.opened(first)
        renewCertificate(self.directory, "main")
        self.factory.examine(credentials)
        self.assertEqual(1, credentials.generation)
        _, _, second = self.join("bro2")
        await self.opened(second)
        self.assertEqual([], first.receivers[0].reasons)

    async def test_authority(self) -> None:
        """While both authorities are trusted certificates of either are good."""
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        makeCertificate(elsewhere, End.MIDDLEBOX, "bro2", "bro")
        bundle = (self.directory / "authority.pem").read_bytes() + (elsewhere / "authority.pem").read_bytes()
        credentials = await self.listenLive()
        (self.directory / "authority.pem").write_bytes(bundle)
        (elsewhere / "authority.pem").write_bytes(bundle)
        credentials.refresh()
        for name, directory in (("bro1", self.directory), ("bro2", elsewhere)):
            _, _, lower = self.join(name, directory)
            await self.opened(lower)

    async def test_authorityDropped(self) -> None:
        """Once the old authority is not trusted any more, sessions with its certificates end too."""
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        makeCertificate(elsewhere, End.MIDDLEBOX, "bro2", "bro")
        makeCertificate(elsewhere, End.CONTROLLER, "main")
        old, new = ((each / "authority.pem").read_bytes() for each in (self.directory, elsewhere))
        (self.directory / "authority.pem").write_bytes(old + new)
        (elsewhere / "authority.pem").write_bytes(new + old)
        credentials = await self.listenLive()
        (_, _, first), (_, _, second) = self.join("bro1"), self.join("bro2", elsewhere)
        await self.opened(first)
        await self.opened(second)
        for ending in ("pem", "key"):
            (self.directory / f"main.{ending}").write_bytes((elsewhere / f"main.{ending}").read_bytes())
        (self.directory / "authority.pem").write_bytes(new)
        self.factory.examine(credentials)
        await self.until(lambda: first.receivers[0].reasons)
        self.assertIn("an authority that is not trusted any more", first.receivers[0].reasons[0])
        self.assertEqual([], second.receivers[0].reasons)

    def test_damaged(self) -> None:
        """A replacement that cannot be used is told once, and the old one stays; a good one is taken then."""
        credentials = LiveCredentials(self.directory, "bro1")
        good = {ending: (self.directory / f"bro1.{ending}").read_bytes() for ending in ("pem", "key")}
        (self.directory / "bro1.key").write_bytes((self.directory / "bro2.key").read_bytes())
        credentials.refresh()
        self.assertEqual((0, good["pem"]), (credentials.generation, (self.directory / "bro1.pem").read_bytes()))
        (self.directory / "bro1.key").write_bytes(good["key"])
        credentials.refresh()
        self.assertEqual(1, credentials.generation)

    def test_renewNobody(self) -> None:
        self.assertRaises(ConfigurationError, renewCertificate, self.directory, "nobody")
        self.assertEqual([], [path for path in self.directory.iterdir() if path.name.startswith(".")])

    def test_renewWithoutAuthority(self) -> None:
        """What was there is still there."""
        before = (self.directory / "bro1.pem").read_bytes()
        (self.directory / "authority.key").unlink()
        self.assertRaises(ConfigurationError, renewCertificate, self.directory, "bro1")
        self.assertEqual(before, (self.directory / "bro1.pem").read_bytes())


class KeyringTests(SynchronousTestCase):
    """Keyrings that are rotated while flows move."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        Keyring.generate("bro").save(self.path)
        self.live = liveKeyring(self.path)

    def test_rotation(self) -> None:
        """Add, use, drop: each step is seen."""
        for change in (lambda ring: ring.extended(), lambda ring: ring.using(2), lambda ring: ring.without(1)):
            changed = cast(Any, change)(Keyring.load(self.path))
            changed.save(self.path)
            self.assertTrue(self.live.refresh())
            self.assertEqual(changed, self.live.value)
        self.assertFalse(self.live.refresh())

    def test_damaged(self) -> None:
        before = self.live.value
        self.path.write_text("nonsense")
        self.assertFalse(self.live.refresh())
        self.path.unlink()
        self.assertFalse(self.live.refresh())
        self.assertIs(before, self.live.value)
