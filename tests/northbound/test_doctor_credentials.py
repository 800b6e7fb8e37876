"""Faults of certificates and keyrings, made for real, and what C{openmb doctor} says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from openmb.northbound.doctor.credentials import checkCertificates, checkKeyrings
from openmb.northbound.doctor.finding import Finding, Level
from openmb.southbound.certificates import VALIDITY, makeAuthority, makeCertificate
from openmb.southbound.keys import makeKeyring, rotateKeyring
from openmb.southbound.revocation import LIST, revoke
from openmb.state.keyring import Keyring
from openmb.wire.formats import End
from tests.northbound.doctoring import DoctorCase


def withoutPurpose(path: Path, key: Path, purpose: x509.ObjectIdentifier | None) -> None:
    """Sign the certificate at C{path} again, for C{purpose} alone, or for none."""
    old = x509.load_pem_x509_certificate(path.read_bytes())
    builder = x509.CertificateBuilder(
        old.issuer,
        old.subject,
        old.public_key(),
        old.serial_number,
        old.not_valid_before_utc,
        old.not_valid_after_utc,
        [each for each in old.extensions if not isinstance(each.value, x509.ExtendedKeyUsage)],
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    signer = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    path.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))


class CertificateTests(DoctorCase):
    """Certificates and their keys."""

    def setUp(self) -> None:
        super().setUp()
        makeAuthority(self.folder)
        makeCertificate(self.folder, End.CONTROLLER, "controller")
        makeCertificate(self.folder, End.MIDDLEBOX, "bro1", "bro")
        self.signer = self.folder / "elsewhere"
        (self.folder / "authority.key").rename(self.signer)
        self.kinds: dict[str, str] = {}

    def look(self, *names: str, now: datetime | None = None) -> list[Finding]:
        return list(checkCertificates(self.folder, names, self.kinds, now))

    def test_revoked(self) -> None:
        """A certificate on the list, and a list that is none of the authority here."""
        (self.folder / "authority.key").write_bytes(self.signer.read_bytes())
        (self.folder / "authority.key").chmod(0o600)
        revoke(self.folder, "bro1")
        (self.folder / "authority.key").unlink()
        self.has(self.look("bro1"), Level.WRONG, "bro1.pem: revoked on")
        self.assertEqual({}, self.kinds)
        (self.folder / LIST).write_bytes(b"nonsense")
        self.has(self.look(), Level.WRONG, "authority.crl: ")

    def test_listOverdue(self) -> None:
        """It stays in force, but there is probably a newer one somewhere."""
        (self.folder / "authority.key").write_bytes(self.signer.read_bytes())
        (self.folder / "authority.key").chmod(0o600)
        revoke(self.folder, "bro1")
        (self.folder / "authority.key").unlink()
        words = "authority.crl: was to be made again by "
        self.has(self.look(now=datetime.now(UTC) + VALIDITY), Level.WARNING, words)
        self.assertNotIn(words, " ".join(map(str, self.look())))

    def test_twoAuthorities(self) -> None:
        """While one takes the place of the other, certificates of either are good."""
        elsewhere = Path(self.mktemp())
        makeAuthority(elsewhere)
        makeCertificate(elsewhere, End.MIDDLEBOX, "bro2", "bro")
        for ending in ("pem", "key"):
            path = self.folder / f"bro2.{ending}"
            path.write_bytes((elsewhere / path.name).read_bytes())
            path.chmod(0o600)
        self.has(self.look("bro2"), Level.WRONG, "another authority has signed it")
        with (self.folder / "authority.pem").open("ab") as file:
            file.write((elsewhere / "authority.pem").read_bytes())
        self.assertEqual(Level.OK, self.worst(self.look()))

    def test_well(self) -> None:
        self.assertEqual(Level.OK, self.worst(self.look()))
        self.assertEqual({"bro1": "bro"}, self.kinds)
        self.has(self.look("bro1"), Level.OK, "bro1.pem: middlebox bro1 of kind bro, valid until")

    def test_noDirectory(self) -> None:
        self.has(checkCertificates(self.folder / "x", (), {}), Level.WRONG, "no such directory", "openmb certs")

    def test_writable(self) -> None:
        self.folder.chmod(0o777)
        self.has(self.look(), Level.WRONG, "others can write here", "chmod go-w")

    def test_missing(self) -> None:
        self.has(self.look("bro7"), Level.WRONG, "bro7.pem", "make it with 'openmb certs'")

    def test_noAuthority(self) -> None:
        (self.folder / "authority.pem").write_text("nonsense")
        self.has(self.look(), Level.WRONG, "authority.pem: cannot be used")

    def test_onlyAuthority(self) -> None:
        other = self.folder / "other"
        makeAuthority(other)
        found = list(checkCertificates(other, (), {}))
        self.has(found, Level.WARNING, "only an authority")
        self.has(found, Level.WARNING, "authority.key: whoever has it")

    def test_authorityKeyForAll(self) -> None:
        other = self.folder / "other"
        makeAuthority(other)
        (other / "authority.key").chmod(0o644)
        self.has(checkCertificates(other, (), {}), Level.WRONG, "authority.key: others can read it", "chmod 600")

    def test_otherAuthority(self) -> None:
        other = self.folder / "other"
        makeAuthority(other)
        (self.folder / "authority.pem").write_bytes((other / "authority.pem").read_bytes())
        self.has(self.look("bro1"), Level.WRONG, "bro1.pem: another authority has signed it")

    def test_leafAsAuthority(self) -> None:
        (self.folder / "authority.pem").write_bytes((self.folder / "bro1.pem").read_bytes())
        self.has(self.look(), Level.WRONG, "authority.pem: this is no authority's certificate")

    def test_renamed(self) -> None:
        for ending in ("pem", "key"):
            (self.folder / f"bro1.{ending}").rename(self.folder / f"bro2.{ending}")
        self.has(self.look("bro2"), Level.WRONG, "it is that of middlebox bro1 of kind bro, not of bro2")

    def test_keyForAll(self) -> None:
        (self.folder / "bro1.key").chmod(0o640)
        self.has(self.look(), Level.WRONG, "bro1.key can be read by others", "chmod 600")

    def test_otherKey(self) -> None:
        (self.folder / "bro1.key").write_bytes((self.folder / "controller.key").read_bytes())
        self.has(self.look(), Level.WRONG, "bro1", "is not the key of")

    def test_purpose(self) -> None:
        """A certificate for the other end of a connection, and one for no end."""
        for name, role, purpose in (
            ("bro1", "middlebox", ExtendedKeyUsageOID.SERVER_AUTH),
            ("controller", "controller", ExtendedKeyUsageOID.CLIENT_AUTH),
            ("controller", "controller", None),
        ):
            withoutPurpose(self.folder / f"{name}.pem", self.signer, purpose)
            self.has(self.look(name), Level.WRONG, f"{name}.pem: its key usage is not that of a {role}")

    def test_samePurpose(self) -> None:
        withoutPurpose(self.folder / "bro1.pem", self.signer, ExtendedKeyUsageOID.CLIENT_AUTH)
        self.assertEqual(Level.OK, self.worst(self.look()))

    def test_dates(self) -> None:
        now = datetime.now(UTC)
        self.has(self.look(now=now + timedelta(days=820)), Level.WARNING, "bro1.pem: expires on")
        self.has(self.look(now=now + timedelta(days=900)), Level.WRONG, "bro1.pem: expired on")
        self.has(self.look(now=now - timedelta(days=2)), Level.WRONG, "valid only from", "clock")


class KeyringTests(DoctorCase):
    """Keyring files."""

    def ring(self, name: str, kind: str = "bro") -> Path:
        makeKeyring(self.folder / name, kind)
        return self.folder / name

    def test_well(self) -> None:
        one = self.ring("one")
        Keyring.load(one).save(self.folder / "two")
        found = list(checkKeyrings([one, self.folder / "two"], {"bro1": "bro"}))
        self.assertEqual(Level.OK, self.worst(found))
        self.has(found, Level.OK, "keys for bro: 1; number 1 seals")

    def test_unusable(self) -> None:
        one = self.ring("one")
        one.chmod(0o644)
        self.has(checkKeyrings([one, self.folder / "none"], {}), Level.WRONG, "can be used by others", "chmod 600")
        self.has(checkKeyrings([one, self.folder / "none"], {}), Level.WRONG, "none", "cannot be read")

    def test_different(self) -> None:
        self.has(checkKeyrings([self.ring("one"), self.ring("two")], {}), Level.WRONG, "two: its keys are not those")

    def test_halfRotated(self) -> None:
        one = self.ring("one")
        rotateKeyring(one)
        ring = Keyring.load(one)
        ring.using(1).save(self.folder / "two")
        self.has(checkKeyrings([one, self.folder / "two"], {}), Level.WARNING, "two: seals with another key than")

    def test_otherKind(self) -> None:
        one = self.ring("one", "prads")
        self.has(checkKeyrings([one], {"bro1": "bro"}), Level.WRONG, "it is for prads, but the certificates are of bro")
