"""
Certificates that are no longer valid before their time: a list signed by the authority, C{authority.crl}.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from openmb.errors import ConfigurationError
from openmb.safefiles import replaceFile
from openmb.southbound.certificates import AUTHORITY, VALIDITY, certificatesOf, readCertificate, readKey

LIST = f"{AUTHORITY}.crl"
_END = b"-----END X509 CRL-----"


class Revocations:
    """
    What was revoked, by serial number.

    @ivar dates: when, for each serial number.
    @ivar due: when the authority should have made a new list, None without any.
    @ivar lists: the lists themselves.
    """

    def __init__(self, lists: Iterable[x509.CertificateRevocationList] = ()) -> None:
        self.lists = lists = tuple(lists)
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

    def lost(self, before: Revocations, authorities: Iterable[x509.Certificate]) -> str | None:
        """
        What C{before} had of one of C{authorities} and this has not, in words: whoever keeps an old list could let in
        again whom a newer one shuts out.  None if nothing is lost.
        """
        for authority in authorities:
            old, new = before._newest(authority), self._newest(authority)
            name = authority.subject.rfc4514_string()
            if old is None:
                continue
            if new is None:
                return f"the list of {name} is gone, which lets nobody in again: bring it back"
            if rank(new) < rank(old):
                return f"the list of {name} is older ({_age(new)}) than the one in use ({_age(old)}): bring the newer"
            if rank(new) == rank(old) and not _serials(new) >= _serials(old):
                return f"the list of {name} is as old as the one in use, and less is on it: make a new one"
        return None

    def _newest(self, authority: x509.Certificate) -> x509.CertificateRevocationList | None:
        return max((each for each in self.lists if _signed(each, authority)), key=rank, default=None)


def rank(revoked: x509.CertificateRevocationList) -> tuple[int, datetime]:
    """How new a list is: its number (RFC 5280, 5.2.3; 0 without one), which no clock disturbs, then its date."""
    try:
        number = revoked.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        number = 0
    return number, revoked.last_update_utc


def _age(revoked: x509.CertificateRevocationList) -> str:
    number, made = rank(revoked)
    return f"number {number} of {made:%Y-%m-%d %H:%M:%S} UTC"


def _serials(revoked: x509.CertificateRevocationList) -> set[int]:
    return {each.serial_number for each in revoked}


def _lists(path: Path) -> list[x509.CertificateRevocationList]:
    """The lists in C{path}, one of each authority; none without such a file."""
    try:
        *parts, rest = path.read_bytes().split(_END)
        if rest.strip() or not parts:
            raise ValueError("something that is no list")
        lists = [x509.load_pem_x509_crl(part + _END) for part in parts]
        for each in lists:
            rank(each)  # a list whose extensions cannot be read is none
        return lists
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise ConfigurationError(f"{path} is not a list of revoked certificates in PEM form") from error


def _signed(revoked: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return revoked.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False


def revoke(directory: Path, name: str) -> Path:
    """
    Put the certificate C{name} in C{directory}, and those that it has taken the place of, on the list there, signed by
    the authority there.

    Lists of other authorities in the same file, as there are while one authority takes the place of another, stay.

    @return: the list's path; it has to be brought to every machine.
    @raise ConfigurationError: a file cannot be used, or the list cannot be written.
    """
    certificates = certificatesOf(directory, name)
    authority = readCertificate(directory / f"{AUTHORITY}.pem")
    key = readKey(directory / f"{AUTHORITY}.key")
    path = directory / LIST
    lists = _lists(path)
    own = [each for each in lists if _signed(each, authority)]
    number = max((rank(each)[0] for each in own), default=0) + 1
    dates = {each.serial_number: datetime.now(UTC) for each in certificates} | Revocations(own).dates
    made = _sign(authority, key, dates, number)
    others = [each for each in lists if each not in own]
    _replace(path, b"".join(each.public_bytes(Encoding.PEM) for each in (made, *others)))
    return path


def _sign(
    authority: x509.Certificate, key: ec.EllipticCurvePrivateKey, dates: dict[int, datetime], number: int
) -> x509.CertificateRevocationList:
    if authority.public_key() != key.public_key():
        raise ConfigurationError(f"{AUTHORITY}.key is not the key of the first certificate in {AUTHORITY}.pem")
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    builder = builder.last_update(now).next_update(now + VALIDITY)
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for serial, date in sorted(dates.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256())


def _replace(path: Path, data: bytes) -> None:
    try:
        replaceFile(path, data)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
