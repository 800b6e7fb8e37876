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
from cryptography.hazmat.primitives.serialization import Encoding

from openmb.errors import ConfigurationError
from openmb.southbound.certificates import AUTHORITY, VALIDITY, readCertificate, readKey

LIST = f"{AUTHORITY}.crl"


class Revocations:
    """
    What was revoked, by serial number.

    @ivar dates: when, for each serial number.
    """

    def __init__(self, dates: dict[int, datetime]) -> None:
        self.dates = dates

    @classmethod
    def load(cls, directory: Path, authorities: Iterable[x509.Certificate]) -> Revocations:
        """
        The list in C{directory}; none is an empty one.

        A list does not expire: to take an old one for none would let in who was shut out.

        @raise ConfigurationError: it cannot be read, or none of C{authorities} has signed it.
        """
        path = directory / LIST
        try:
            found = x509.load_pem_x509_crl(path.read_bytes())
        except FileNotFoundError:
            return cls({})
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, x509.InvalidVersion) as error:
            raise ConfigurationError(f"{path} is not a list of revoked certificates in PEM form") from error
        if not any(_signed(found, authority) for authority in authorities):
            raise ConfigurationError(f"{path} is not signed by the authority: copy the right one")
        return cls({entry.serial_number: entry.revocation_date_utc for entry in found})

    def of(self, certificate: x509.Certificate) -> datetime | None:
        """When C{certificate} was revoked; None if it was not."""
        return self.dates.get(certificate.serial_number)


def _signed(revoked: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return revoked.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False


def revoke(directory: Path, name: str) -> Path:
    """
    Put the certificate C{name} in C{directory} on the list there, signed by the authority there.

    @return: the list's path; it has to be brought to every machine.
    @raise ConfigurationError: a file cannot be used, or the list cannot be written.
    """
    certificate = readCertificate(directory / f"{name}.pem")
    authority = readCertificate(directory / f"{AUTHORITY}.pem")
    key = readKey(directory / f"{AUTHORITY}.key")
    now = datetime.now(UTC)
    dates = {certificate.serial_number: now} | Revocations.load(directory, [authority]).dates
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    builder = builder.last_update(now).next_update(now + VALIDITY)
    for serial, date in sorted(dates.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date)
        builder = builder.add_revoked_certificate(entry.build())
    path, draft = directory / LIST, directory / f".{LIST}.new"
    try:
        draft.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        os.replace(draft, path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    return path
