"""Certificates that somebody may have stolen: the list of the authority, while everything runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from openmb.errors import ConfigurationError
from openmb.southbound import revocation
from openmb.southbound.certificates import loadCredentials, makeAuthority, makeCertificate
from openmb.southbound.live import LiveCredentials
from openmb.southbound.revocation import LIST, Revocations, revoke
from openmb.wire.formats import End
from tests.southbound.test_identity import LiveTestCase


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
        await self.until(lambda: self.warnings("controller main, signed by CN=OpenMB authority, shown by 127.0.0.1:"))
        (line, *_) = self.warnings("shown by 127.0.0.1:")
        self.assertIn("its certificate was revoked on", line)

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

    def test_gone(self) -> None:
        """A list that vanishes, as when a directory is brought over without it, lets nobody in again."""
        revoke(self.directory, "bro2")
        kept = (self.directory / LIST).read_bytes()
        credentials = LiveCredentials(self.directory, "main")
        (self.directory / LIST).unlink()
        credentials.refresh()
        shut = loadCredentials(self.directory, "bro2").certificate
        self.assertIn("revoked", str(credentials.objection(shut)))
        (self.directory / LIST).write_bytes(kept)
        revoke(self.directory, "bro1")
        credentials.refresh()
        self.assertIn("revoked", str(credentials.objection(loadCredentials(self.directory, "bro1").certificate)))

    def test_severalAuthorities(self) -> None:
        """While one authority takes the place of another each has its list, in one file; both are in force."""
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        makeCertificate(elsewhere, End.MIDDLEBOX, "bro2", "bro")
        old = loadCredentials(self.directory, "bro1").authority
        new = loadCredentials(elsewhere, "bro2").authority
        (elsewhere / LIST).write_bytes(revoke(self.directory, "bro1").read_bytes())
        revoke(elsewhere, "bro2")
        both = Revocations.load(elsewhere, [new, old])
        for directory, name in ((self.directory, "bro1"), (elsewhere, "bro2")):
            self.assertIsNotNone(both.of(loadCredentials(directory, name).certificate))
        self.assertRaises(ConfigurationError, Revocations.load, elsewhere, [new])
        self.assertIsNone(both.of(old))

    def test_overdue(self) -> None:
        """A list that should have been made again long ago stays in force; that is said once."""
        self.patch(revocation, "VALIDITY", timedelta(0))
        revoke(self.directory, "bro2")
        credentials = LiveCredentials(self.directory, "main")
        credentials.refresh()
        self.assertEqual(1, len(self.warnings("it stays in force")))
        self.assertIn("revoked", str(credentials.objection(loadCredentials(self.directory, "bro2").certificate)))

    def test_otherKey(self) -> None:
        """A list is only made with the key of the authority whose name it bears."""
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        (self.directory / "authority.key").unlink()
        (self.directory / "authority.key").write_bytes((elsewhere / "authority.key").read_bytes())
        (self.directory / "authority.key").chmod(0o600)
        self.assertRaises(ConfigurationError, revoke, self.directory, "bro1")
        self.assertFalse((self.directory / LIST).exists())
