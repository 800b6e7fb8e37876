"""
Certificates that are no longer valid before their time: a list signed by the authority, C{authority.crl}.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from openmb.errors import ConfigurationError
from openmb.southbound.certificates import AUTHORITY, VALIDITY, readCertificate, readKey

LIST = f"{AUTHORITY}.crl"


_END = b"-----END X509 CRL-----"


class Revocations:
    """
    What was revoked, by serial number.

    @ivar dates: when, for each serial number.
    @ivar due: when the authority should have made a new list, None without any.
    """

    def __init__(self, lists: Iterable[x509.CertificateRevocationList] = ()) -> None:
        lists = tuple(lists)
        self.dates = {each.serial_number: each.revocation_date_utc for one in lists for each in one}
        self.due = min((one.next_update_utc for one in lists if one.next_update_utc is not None), default=None)

    @classmethod
    def load(cls, directory: Path, authorities: Iterable[x509.Certificate]) -> Revocations:
        """
        What stands in C{directory}; without a list nothing is revoked.

        A list does not expire: to take an old one for none would let in who was shut out.

        @raise ConfigurationError: it cannot be read, or holds a list that none of C{authorities} has signed.
        """
        path, authorities = directory / LIST, tuple(authorities)
        lists = _lists(path)
        for each in lists:
            if not any(_signed(each, authority) for authority in authorities):
                raise ConfigurationError(f"{path} is not signed by the authority: copy the right one")
        return cls(lists)

    def of(self, certificate: x509.Certificate) -> datetime | None:
        """When C{certificate} was revoked; None if it was not."""
        return self.dates.get(certificate.serial_number)


def _lists(path: Path) -> list[x509.CertificateRevocationList]:
    """The lists in C{path}, one of each authority; none without such a file."""
    try:
        *parts, rest = path.read_bytes().split(_END)
        if rest.strip() or not parts:
            raise ValueError("something that is no list")
        return [x509.load_pem_x509_crl(part + _END) for part in parts]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigurationError(f"{path} is not a list of revoked certificates in PEM form") from error


def _signed(revoked: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return revoked.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False


def revoke(directory: Path, name: str) -> Path:
    """
    Put the certificate C{name} in C{directory} on the list there, signed by the authority there.

    Lists of other authorities in the same file, as there are while one authority takes the place of another, stay.

    @return: the list's path; it has to be brought to every machine.
    @raise ConfigurationError: a file cannot be used, or the list cannot be written.
    """
    certificate = readCertificate(directory / f"{name}.pem")
    authority = readCertificate(directory / f"{AUTHORITY}.pem")
    key = readKey(directory / f"{AUTHORITY}.key")
    path = directory / LIST
    lists = _lists(path)
    own = [each for each in lists if _signed(each, authority)]
    made = _sign(authority, key, {certificate.serial_number: datetime.now(UTC)} | Revocations(own).dates)
    others = [each for each in lists if each not in own]
    _replace(path, b"".join(each.public_bytes(Encoding.PEM) for each in (made, *others)))
    return path


def _sign(
    authority: x509.Certificate, key: ec.EllipticCurvePrivateKey, dates: dict[int, datetime]
) -> x509.CertificateRevocationList:
    if authority.public_key() != key.public_key():
        raise ConfigurationError(f"{AUTHORITY}.key is not the key of the first certificate in {AUTHORITY}.pem")
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    builder = builder.last_update(now).next_update(now + VALIDITY)
    for serial, date in sorted(dates.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256())


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
