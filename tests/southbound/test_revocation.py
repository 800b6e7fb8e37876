"""Certificates that somebody may have stolen: the list of the authority, while everything runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from openmb.errors import ConfigurationError
from openmb.southbound import revocation
from openmb.southbound.certificates import (
    loadCredentials,
    makeAuthority,
    makeCertificate,
    readCertificate,
    readKey,
    renewCertificate,
)
from openmb.southbound.live import LiveCredentials
from openmb.southbound.revocation import LIST, Revocations, rank, revoke
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
        await self.until(lambda: self.warnings("the peer does not take the certificate of this end"))

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

    def test_renewedBefore(self) -> None:
        """Those that were renewed are valid still, and go on the list with the name; others' and later ones do not."""
        made = []
        for _ in range(3):
            made.append(loadCredentials(self.directory, "bro1").certificate)
            renewCertificate(self.directory, "bro1")
        renewCertificate(self.directory, "bro2")
        made.append(loadCredentials(self.directory, "bro1").certificate)
        revoke(self.directory, "bro1")
        renewCertificate(self.directory, "bro1")
        authority = loadCredentials(self.directory, "bro1").authority
        found = Revocations.load(self.directory, [authority])
        self.assertEqual({each.serial_number for each in made}, set(found.dates))
        self.assertIsNone(found.of(loadCredentials(self.directory, "bro1").certificate))
        self.assertEqual([], list((self.directory / "replaced").glob("*.key")), "no key is kept")

    async def test_sessionOfBefore(self) -> None:
        """A session that began with a certificate that was renewed since is closed too."""
        credentials = await self.listenLive()
        _, _, lower = self.join("bro2")
        await self.opened(lower)
        renewCertificate(self.directory, "bro2")
        revoke(self.directory, "bro2")
        self.factory.examine(credentials)
        await self.until(lambda: lower.receivers[0].reasons)
        self.assertIn("its certificate was revoked on", lower.receivers[0].reasons[0])

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


class AgeTests(LiveTestCase):
    """Lists that were good once, brought back by mistake or by somebody whom a newer one shuts out."""

    def lists(self) -> tuple[bytes, bytes]:
        """An older one, with bro1, and a newer one, with bro2 too; the newer is there."""
        older = revoke(self.directory, "bro1").read_bytes()
        return older, revoke(self.directory, "bro2").read_bytes()

    def bring(self, credentials: LiveCredentials, *lists: bytes) -> list[str]:
        """Put C{lists} into the file and read it; what is said of those that are not used."""
        before = len(self.refusals())
        (self.directory / LIST).write_bytes(b"".join(lists))
        credentials.refresh()
        return self.refusals()[before:]

    def refusals(self) -> list[str]:
        return [str(e["reason"]) for e in self.events if "a change is not used" in str(e.get("log_format"))]

    def shut(self, credentials: LiveCredentials, name: str, directory: Path | None = None) -> bool:
        shown = loadCredentials(directory or self.directory, name).certificate
        return "revoked" in str(credentials.objection(shown))

    async def test_older(self) -> None:
        """It is told and not used, over sockets too; a newer one than that in use is taken again."""
        older, _ = self.lists()
        credentials = await self.listenLive()
        (reason,) = self.bring(credentials, older)
        self.assertIn("is older (number 1 of ", reason)
        self.assertIn("than the one in use (number 2 of ", reason)
        _, _, lower = self.join("bro2")
        await self.until(lambda: self.warnings("a certificate is not taken: middlebox bro2 of kind bro"))
        self.assertFalse(any(receiver.peers for receiver in lower.receivers))

    def test_newerAgain(self) -> None:
        older, newer = self.lists()
        credentials = LiveCredentials(self.directory, "main")
        self.assertEqual(1, len(self.bring(credentials, older)))
        credentials.refresh()
        self.assertEqual(1, len(self.refusals()), "it is said once")
        self.assertEqual([], self.bring(credentials, newer))
        makeCertificate(self.directory, End.MIDDLEBOX, "bro3", "bro")
        revoke(self.directory, "bro3")
        credentials.refresh()
        self.assertEqual([True] * 3, [self.shut(credentials, name) for name in ("bro1", "bro2", "bro3")])

    def test_clockOfTheAuthority(self) -> None:
        """Numbers count, not the clock of the machine where lists are made."""
        self.assertLess(rank(_dated(self.directory, 1, 5)), rank(_dated(self.directory, 2, 0)))
        self.assertLess(rank(_dated(self.directory, None, 5)), rank(_dated(self.directory, 1, 0)))
        self.assertLess(rank(_dated(self.directory, None, 0)), rank(_dated(self.directory, None, 1)))

    def test_asOld(self) -> None:
        """Two lists of one number and date: what is in use is not taken off by the other."""
        revoke(self.directory, "bro1")
        kept = _dated(self.directory, 7, 0, "bro1").public_bytes(Encoding.PEM)
        (self.directory / LIST).write_bytes(kept)
        credentials = LiveCredentials(self.directory, "main")
        (reason,) = self.bring(credentials, _dated(self.directory, 7, 0, "bro2").public_bytes(Encoding.PEM))
        self.assertIn("less is on it", reason)
        both = _dated(self.directory, 7, 0, "bro1", "bro2").public_bytes(Encoding.PEM)
        self.assertEqual([], self.bring(credentials, both))
        self.assertTrue(self.shut(credentials, "bro2"))

    def test_startedAgain(self) -> None:
        """Whoever starts anew has seen no newer one: this is what the page on security says."""
        older, _ = self.lists()
        (self.directory / LIST).write_bytes(older)
        credentials = LiveCredentials(self.directory, "main")
        self.assertEqual((True, False), (self.shut(credentials, "bro1"), self.shut(credentials, "bro2")))

    def test_eachAuthority(self) -> None:
        """Of two authorities each list has its own age; neither may vanish while its authority is trusted."""
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        makeCertificate(elsewhere, End.MIDDLEBOX, "x", "bro")
        older, newer = self.lists()
        other = revoke(elsewhere, "x").read_bytes()
        own, added = ((each / "authority.pem").read_bytes() for each in (self.directory, elsewhere))
        (self.directory / "authority.pem").write_bytes(own + added)
        (self.directory / LIST).write_bytes(newer + other)
        credentials = LiveCredentials(self.directory, "main")
        for lists, words in (((older, other), "older"), ((newer,), "is gone"), ((other,), "is gone")):
            (reason,) = self.bring(credentials, *lists)
            self.assertIn(words, reason)
        self.assertEqual([], self.bring(credentials, other, newer))
        (self.directory / "authority.pem").write_bytes(own)
        self.assertEqual(
            [], self.bring(credentials, newer), "an authority that is trusted no more takes its list along"
        )
        self.assertTrue(self.shut(credentials, "bro2"))

    def test_onlyList(self) -> None:
        """The only list goes with its authority, when another has taken its place."""
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        makeCertificate(elsewhere, End.CONTROLLER, "main")
        revoke(self.directory, "bro1")
        credentials = LiveCredentials(self.directory, "main")
        for path in elsewhere.iterdir():
            (self.directory / path.name).write_bytes(path.read_bytes())
        (self.directory / LIST).unlink()
        credentials.refresh()
        self.assertEqual([], self.refusals())
        self.assertIn(
            "not trusted any more", str(credentials.objection(loadCredentials(self.directory, "bro1").certificate))
        )


def _dated(directory: Path, number: int | None, later: int, *names: str) -> x509.CertificateRevocationList:
    """A list of the authority in C{directory} with C{names}, C{later} days after the first of January."""
    made = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=later)
    issuer = readCertificate(directory / "authority.pem").subject
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(made)
    builder = builder.next_update(made + timedelta(days=5000))
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for name in names:
        serial = readCertificate(directory / f"{name}.pem").serial_number
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(made).build()
        )
    return builder.sign(readKey(directory / "authority.key"), hashes.SHA256())
