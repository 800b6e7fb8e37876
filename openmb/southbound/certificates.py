"""
Certificates: an authority, and one certificate for the controller and each middlebox.

P-256 keys, 825 days.  Who a certificate speaks for stands in its subjectAltName as a URI,
C{openmb:middlebox/<kind>/<name>} or C{openmb:controller/<name>}; a controller also has the DNS name
C{<name>.controller.openmb}, for service_identity.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from openmb.errors import ConfigurationError, InvalidOption
from openmb.safefiles import UnsafeFile, checkOwner
from openmb.state.advice import restricting
from openmb.wire.fields import KIND_LIMIT, NAME_LIMIT, NAME_PATTERN
from openmb.wire.formats import End

VALIDITY = timedelta(days=825)
#: Certificates are valid from a little before they are made, for clocks that lag.
_LAG = timedelta(hours=1)
AUTHORITY = "authority"
#: Where certificates (not keys) are kept that others have taken the place of, so that they can still be revoked.
REPLACED = "replaced"
_URI = re.compile(
    r"openmb:(?:controller/(?P<controller>[\w.-]+)|middlebox/(?P<kind>[\w.-]+)/(?P<middlebox>[\w.-]+))", re.ASCII
)

#: Bytes of a file that may be a key.
_LARGEST_KEY = 1 << 16


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate speaks for; C{kind} is empty for a controller."""

    role: End
    name: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.role.value} {self.name}" + (f" of kind {self.kind}" if self.kind else "")


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    What an end of a connection needs: its certificate and key, and the authority it trusts.

    @ivar others: more authorities that are trusted, while one takes the place of another.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    authority: x509.Certificate
    others: tuple[x509.Certificate, ...] = ()

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """Every authority that is trusted."""
        return (self.authority, *self.others)


def controllerHost(name: str) -> str:
    """The DNS name in the certificate of the controller C{name}."""
    return f"{name}.controller.openmb"


def makeAuthority(directory: Path) -> Path:
    """
    Make C{authority.pem} and C{authority.key} in C{directory}.  Only C{authority.pem} goes to other machines.

    @return: the certificate's path.
    @raise ConfigurationError: they are there already, or cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("OpenMB authority")
    builder = (
        _builder(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _store(directory, AUTHORITY, builder.sign(key, hashes.SHA256()), key)


def makeCertificate(directory: Path, role: End, name: str, kind: str = "", target: Path | None = None) -> Path:
    """
    Make C{<name>.pem} and C{<name>.key} in C{directory}, signed by the authority there.

    @param target: where to put them instead.
    @return: the certificate's path.
    @raise ConfigurationError: no authority, a name that cannot be used, or files that are there already.
    """
    identity = Identity(role, name, kind)
    _checkIdentity(identity)
    authority = readCertificate(directory / f"{AUTHORITY}.pem")
    authorityKey = readKey(directory / f"{AUTHORITY}.key")
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if role is End.CONTROLLER else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_subject(name), authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_alternativeNames(identity), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authorityKey.public_key()), critical=False)
    )
    return _store(target or directory, name, builder.sign(authorityKey, hashes.SHA256()), key)


def renewCertificate(directory: Path, name: str) -> Path:
    """
    Make a new key and certificate for whom C{<name>.pem} in C{directory} speaks for, in the place of the old ones.

    The old certificate is valid until its end, or until it is revoked: it is kept in L{REPLACED}, its key is not.

    @return: the certificate's path.
    @raise ConfigurationError: there is none, or it cannot be replaced; the old ones are then still there.
    """
    old = readCertificate(directory / f"{name}.pem")
    identity = identityOf(old)
    if identity.name != name:
        raise ConfigurationError(f"{directory / name}.pem is that of {identity}: rename it first")
    try:
        with tempfile.TemporaryDirectory(dir=directory, prefix=".renew-") as draft:
            makeCertificate(directory, identity.role, name, identity.kind, Path(draft))
            _keep(directory / REPLACED, old)
            # a reader that comes between the two finds that they do not match, and reads again later
            for ending in ("key", "pem"):
                os.replace(Path(draft) / f"{name}.{ending}", directory / f"{name}.{ending}")
    except OSError as error:
        raise ConfigurationError(f"cannot write in {directory}: {error.strerror}") from error
    return directory / f"{name}.pem"


def certificatesOf(directory: Path, name: str) -> list[x509.Certificate]:
    """
    The certificate C{name} in C{directory}, and those it has taken the place of.

    @raise ConfigurationError: there is none, or one that was kept cannot be read.
    """
    own = readCertificate(directory / f"{name}.pem")
    kept = map(readCertificate, sorted((directory / REPLACED).glob("*.pem")))
    return [own, *(each for each in kept if identityOf(each).name == name)]


def _keep(directory: Path, certificate: x509.Certificate) -> None:
    path = directory / f"{certificate.serial_number:x}.pem"
    directory.mkdir(exist_ok=True)
    if not path.exists():
        _write(path, certificate.public_bytes(Encoding.PEM))


def loadCredentials(directory: Path, name: str) -> Credentials:
    """
    The certificate and key C{name} in C{directory}, and the authority beside them.

    @raise ConfigurationError: a file is missing, damaged, or readable by others; or key and certificate do not match.
    """
    certificate = readCertificate(directory / f"{name}.pem")
    key = readKey(directory / f"{name}.key")
    try:
        matching = certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{directory / name}.pem has a key of no known kind: {error}") from error
    if not matching:
        raise ConfigurationError(f"{directory / name}.key is not the key of {name}.pem: make the certificate again")
    authority, *others = readAuthorities(directory)
    return Credentials(certificate, key, authority, tuple(others))


def identityOf(certificate: x509.Certificate) -> Identity:
    """
    Whom C{certificate} speaks for.

    @raise ConfigurationError: it is not one of OpenMB's, or names more than one.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError) as error:
        raise ConfigurationError(f"a certificate without usable subjectAltName: {error}") from error
    match = _URI.fullmatch(uris[0]) if len(uris) == 1 else None
    if match is None:
        raise ConfigurationError(f"a certificate that names no single OpenMB identity: {', '.join(uris) or 'no URI'}")
    if match["controller"]:
        return Identity(End.CONTROLLER, match["controller"])
    return Identity(End.MIDDLEBOX, match["middlebox"], match["kind"])


def identityOfDER(data: bytes) -> Identity:
    """
    Whom a certificate in DER form, such as a peer has shown, speaks for.

    @raise ConfigurationError: it is none, or not one of OpenMB's.
    """
    try:
        certificate = x509.load_der_x509_certificate(data)
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigurationError(f"not a certificate: {error}") from error
    return identityOf(certificate)


def _checkIdentity(identity: Identity) -> None:
    if not NAME_PATTERN.fullmatch(identity.name) or len(identity.name) > NAME_LIMIT:
        raise InvalidOption(f"{identity.name!r} cannot be a name: letters, digits, '.', '_' and '-' only")
    if identity.name == AUTHORITY:
        raise InvalidOption(f"{AUTHORITY!r} is the name of the authority: choose another")
    if (identity.role is End.CONTROLLER) != (identity.kind == ""):
        raise ConfigurationError("a middlebox has a kind, a controller has none")
    if identity.kind and (not NAME_PATTERN.fullmatch(identity.kind) or len(identity.kind) > KIND_LIMIT):
        raise InvalidOption(f"{identity.kind!r} cannot be a kind: letters, digits, '.', '_' and '-' only")


def _alternativeNames(identity: Identity) -> x509.SubjectAlternativeName:
    if identity.role is End.MIDDLEBOX:
        uri = x509.UniformResourceIdentifier(f"openmb:middlebox/{identity.kind}/{identity.name}")
        return x509.SubjectAlternativeName([uri])
    uri = x509.UniformResourceIdentifier(f"openmb:controller/{identity.name}")
    return x509.SubjectAlternativeName([uri, x509.DNSName(controllerHost(identity.name))])


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LAG)
        .not_valid_after(now + VALIDITY - _LAG)
    )


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _store(directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Path:
    path = directory / f"{name}.pem"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory / f"{name}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _write(path, certificate.public_bytes(Encoding.PEM))
    except FileExistsError as error:
        raise ConfigurationError(f"{error.filename} exists already: remove it first to replace it") from error
    except OSError as error:
        raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}") from error
    return path


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def readCertificate(path: Path) -> x509.Certificate:
    """
    The certificate in C{path}, the first if there are several.

    @raise ConfigurationError: there is none.
    """
    return _readCertificates(path)[0]


def readAuthorities(directory: Path) -> list[x509.Certificate]:
    """
    Every authority in C{authority.pem} of C{directory}, the one whose key is used here first.

    @raise ConfigurationError: there is none.
    """
    return _readCertificates(directory / f"{AUTHORITY}.pem")


def _readCertificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}; make it with 'openmb certs'") from error
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigurationError(f"{path} is not a certificate in PEM form") from error


def readKey(path: Path) -> ec.EllipticCurvePrivateKey:
    """
    The private key in C{path}.

    @raise ConfigurationError: there is none, or others can read it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_KEY)
            checkOwner(path, os.fstat(file.fileno()))
            if os.fstat(file.fileno()).st_mode & 0o077:
                advice = restricting(path, "600", content.startswith(b"-----BEGIN "))
                raise ConfigurationError(f"{path} can be read by others: {advice}; or make a new key")
            key = load_pem_private_key(content, None)
    except UnsafeFile:
        raise
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}; make it with 'openmb certs'") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path} is not an unencrypted private key in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{path} is not an elliptic curve key")
    return key
