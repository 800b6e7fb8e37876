"""Chains of certificates with one between the authority and the end, and floods of new keys, over real TLS."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest

from openmb.southbound.certificates import AUTHORITY, loadCredentials, makeCertificate, readCertificate, readKey
from openmb.wire.formats import End
from tests.southbound.test_tls import TLSTestCase

_BETWEEN = "between"


def _authority(
    name: str, issuer: x509.Name | None, signer: ec.EllipticCurvePrivateKey | None, length: int
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An authority of its own, or one that C{issuer} has signed; C{length}: how many may come below it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(signer or key, hashes.SHA256()), key


def _put(folder: Path, authorities: list[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> None:
    """The files of an authority: the first of these signs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{AUTHORITY}.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in authorities))
    path = folder / f"{AUTHORITY}.key"
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


class ChainTests(TLSTestCase):
    """An intermediate authority."""

    async def test_ownRoot(self) -> None:
        """A root of one's own with an authority below it: both stand in C{authority.pem}, the one that signs first."""
        root, rootKey = _authority("root", None, None, 1)
        between, key = _authority(_BETWEEN, root.subject, rootKey, 0)
        self.directory = Path(self.mktemp())
        _put(self.directory, [between, root], key)
        makeCertificate(self.directory, End.MIDDLEBOX, "bro1", "bro")
        makeCertificate(self.directory, End.CONTROLLER, "main")
        port = await self.listen("main")
        _, lower = self.client(self.credentials("bro1"), port=port)
        await self.until(lambda: lower.receivers and lower.receivers[0].peers)

    async def test_belowOurs(self) -> None:
        """Below an authority that 'openmb certs' made there may be none: who shows one is refused, and told why."""
        lower = await self.openSession()
        ours = readCertificate(self.directory / f"{AUTHORITY}.pem")
        between, key = _authority(_BETWEEN, ours.subject, readKey(self.directory / f"{AUTHORITY}.key"), 0)
        other = Path(self.mktemp())
        _put(other, [between, ours], key)
        makeCertificate(other, End.MIDDLEBOX, "bro2", "bro")
        self.client(loadCredentials(other, "bro2"))
        await self.until(lambda: self.warnings("is not taken"))
        self.assertRegex(self.warnings("is not taken")[0], "allows no other authority below")
        await self.assertUndisturbed(lower)


class KeyUpdateTests(TLSTestCase):
    """A peer that asks for new keys again and again, with OpenSSL's own client."""

    timeout = 60

    async def test_flood(self) -> None:
        """Ten thousand requests: no session is disturbed, and the peer is gone at the end of its hand-shake time."""
        program = shutil.which("openssl")
        if program is None:
            raise SkipTest("there is no openssl program")
        lower = await self.openSession()
        address = self.port.getHost()
        files = ("-cert", "bro2.pem", "-key", "bro2.key", "-CAfile", f"{AUTHORITY}.pem")
        command = [program, "s_client", "-connect", f"127.0.0.1:{address.port}", "-tls1_3", *files]  # type: ignore[attr-defined]

        def flood() -> int:
            return subprocess.run(
                command, cwd=self.directory, input=b"K\n" * 10_000, capture_output=True, timeout=50
            ).returncode

        await deferToThread(flood)
        await self.assertUndisturbed(lower)
