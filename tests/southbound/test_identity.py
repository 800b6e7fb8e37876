"""Who may speak for whom, while everything runs: dates, revocation, renewal, two authorities, keyrings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import ConfigurationError
from openmb.southbound import certificates
from openmb.southbound.certificates import loadCredentials, makeAuthority, makeCertificate, renewCertificate
from openmb.southbound.client import MiddleboxFactory, SouthboundClient
from openmb.southbound.connection import Terms
from openmb.southbound.live import LiveCredentials, liveKeyring
from openmb.southbound.revocation import LIST, Revocations, revoke
from openmb.southbound.server import ControllerFactory, listenSouthbound
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


class RevocationTests(LiveTestCase):
    """A certificate that somebody may have stolen."""

    async def test_beforeItConnects(self) -> None:
        revoke(self.directory, "bro2")
        await self.listenLive()
        _, _, good = self.join("bro1")
        _, _, bad = self.join("bro2")
        await self.until(lambda: self.warnings("a certificate is not taken: middlebox bro2 of kind bro"))
        self.assertTrue(self.warnings("its certificate was revoked on"))
        await self.opened(good)
        self.assertFalse(any(receiver.peers for receiver in bad.receivers))

    async def test_whileItIsConnected(self) -> None:
        """The open session is closed, and does not come back; the other one goes on."""
        credentials = await self.listenLive()
        (_, _, good), (_, _, bad) = self.join("bro1"), self.join("bro2")
        await self.opened(good)
        await self.opened(bad)
        self.factory.examine(credentials)
        revoke(self.directory, "bro2")
        self.factory.examine(credentials)
        await self.until(lambda: bad.receivers[0].reasons)
        self.assertIn("its certificate was revoked on", bad.receivers[0].reasons[0])
        await self.until(lambda: self.warnings("a certificate is not taken: middlebox bro2"))
        self.assertEqual([[]], [receiver.reasons for receiver in good.receivers])

    async def test_controller(self) -> None:
        """Middleboxes do not talk to a controller that was revoked."""
        await self.listenLive()
        _, factory, lower = self.join("bro1")
        await self.opened(lower)
        credentials = LiveCredentials(self.directory, "bro1")
        revoke(self.directory, "main")
        credentials.refresh()
        factory.examine(credentials)
        await self.until(lambda: lower.receivers[0].reasons)
        await self.until(lambda: self.warnings("is not that of controller main: ConfigurationError('its cert"))

    def test_list(self) -> None:
        """Several names, each once, with the first date; signed by the authority, or not used."""
        revoke(self.directory, "bro1")
        first = Revocations.load(self.directory, [loadCredentials(self.directory, "bro1").authority])
        revoke(self.directory, "bro2")
        revoke(self.directory, "bro1")
        authority = loadCredentials(self.directory, "bro1").authority
        both = Revocations.load(self.directory, [authority])
        own = loadCredentials(self.directory, "bro1").certificate
        self.assertEqual((1, 2), (len(first.dates), len(both.dates)))
        self.assertEqual(first.of(own), both.of(own))
        self.assertIsNone(both.of(authority))

    def test_forged(self) -> None:
        """A list of another authority, or none, is an error, and no empty list."""
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        makeCertificate(elsewhere, End.MIDDLEBOX, "x", "bro")
        forged = revoke(elsewhere, "x").read_bytes()
        for content in (forged, b"nonsense", forged[:-40]):
            (self.directory / LIST).write_bytes(content)
            self.assertRaises(ConfigurationError, LiveCredentials, self.directory, "main")

    def test_damagedLater(self) -> None:
        """A list that is damaged while it is in use does not let anybody in again."""
        revoke(self.directory, "bro2")
        credentials = LiveCredentials(self.directory, "main")
        (self.directory / LIST).write_bytes(b"nonsense")
        credentials.refresh()
        shut = loadCredentials(self.directory, "bro2").certificate
        self.assertIn("revoked", str(credentials.objection(shut)))
        self.assertEqual(1, len([e for e in self.events if "a change is not used" in str(e.get("log_format"))]))
        credentials.refresh()
        self.assertEqual(1, len([e for e in self.events if "a change is not used" in str(e.get("log_format"))]))


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
        self.assertRaises((ConfigurationError, OSError), renewCertificate, self.directory, "bro1")
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
