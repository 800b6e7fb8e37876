"""
Checks of certificates, their keys, and keyrings.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from openmb.errors import ConfigurationError
from openmb.northbound.doctor.finding import Findings, ok, warning, wrong
from openmb.southbound.certificates import Identity, identityOf, loadCredentials
from openmb.southbound.revocation import LIST, Revocations
from openmb.southbound.verification import checkUse, issued
from openmb.state.advice import restricting
from openmb.state.keyring import Keyring
from openmb.wire.formats import End

#: A certificate that ends within this time is worth a warning.
SOON = timedelta(days=30)
_AUTHORITY = "authority"


def checkCertificates(
    folder: Path, names: Sequence[str], kinds: dict[str, str], now: datetime | None = None
) -> Findings:
    """
    The directory of certificates.

    @param names: whose certificates must be there; none: whoever's are.
    @param kinds: gets the kind of each middlebox that has a certificate.
    """
    now = now or datetime.now(UTC)
    if not folder.is_dir():
        yield wrong(folder, "no such directory: make it with 'openmb certs authority'")
        return
    if folder.stat().st_mode & 0o022:
        yield wrong(folder, f"others can write here: {restricting(folder, 'go-w')}")
    try:
        authority, *others = authorities = x509.load_pem_x509_certificates((folder / f"{_AUTHORITY}.pem").read_bytes())
    except (OSError, ValueError) as error:
        yield wrong(folder / f"{_AUTHORITY}.pem", f"cannot be used ({error}): make one with 'openmb certs authority'")
        return
    for each in (authority, *others):
        yield from _checkAuthority(folder, each, now)
    revoked = Revocations()
    try:
        revoked = Revocations.load(folder, authorities)
    except ConfigurationError as error:
        yield wrong(folder / LIST, str(error))
    if revoked.due is not None and now >= revoked.due:
        yield warning(folder / LIST, f"was to be made again by {revoked.due:%Y-%m-%d}: is there a newer one?")
    found = sorted(path.stem for path in folder.glob("*.pem") if path.stem != _AUTHORITY)
    if not (names or found):
        yield warning(
            folder, "only an authority: make certificates with 'openmb certs controller' and 'certs middlebox'"
        )
    for name in names or found:
        yield from _checkCertificate(folder, name, revoked, kinds, now)


def _checkAuthority(folder: Path, authority: x509.Certificate, now: datetime) -> Findings:
    path = folder / f"{_AUTHORITY}.pem"
    yield from _checkDates(path, authority, now)
    try:
        isAuthority = authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        isAuthority = False
    if not isAuthority:
        yield wrong(path, "this is no authority's certificate: copy the right authority.pem here")
    key = folder / f"{_AUTHORITY}.key"
    if key.exists() and key.stat().st_mode & 0o077:
        yield wrong(
            key, f"others can read it, and so make certificates: {restricting(key, '600')}, and make a new authority"
        )
    elif key.exists():
        yield warning(
            key, "whoever has it can make certificates: keep it on the machine where you make them, only there"
        )


def _checkCertificate(folder: Path, name: str, revoked: Revocations, kinds: dict[str, str], now: datetime) -> Findings:
    path = folder / f"{name}.pem"
    try:
        credentials = loadCredentials(folder, name)
        identity = identityOf(credentials.certificate)
    except ConfigurationError as error:
        yield wrong(path, str(error))
        return
    if not any(issued(authority, credentials.certificate) for authority in credentials.authorities):
        yield wrong(path, "another authority has signed it: make it again here, or copy the authority.pem it came with")
        return
    if identity.name != name:
        yield wrong(path, f"it is that of {identity}, not of {name}: rename the file, or make the right one")
        return
    if (date := revoked.of(credentials.certificate)) is not None:
        yield wrong(path, f"revoked on {date:%Y-%m-%d}: run 'openmb certs renew {name}', if it is to be trusted again")
        return
    if identity.role is End.MIDDLEBOX:
        kinds[name] = identity.kind
    try:
        checkUse(credentials.certificate, identity.role)
    except ConfigurationError as error:
        yield wrong(
            path, f"its key usage is not that of a {identity.role.value} ({error}): make it again with 'openmb certs'"
        )
        return
    yield from _checkDates(path, credentials.certificate, now, identity)


def _checkDates(path: Path, certificate: x509.Certificate, now: datetime, identity: Identity | None = None) -> Findings:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        yield wrong(path, f"valid only from {begins:%Y-%m-%d %H:%M} UTC on: is the clock of this machine right?")
    elif now >= ends:
        yield wrong(path, f"expired on {ends:%Y-%m-%d}: run 'openmb certs renew {path.stem}'")
    elif now >= ends - SOON:
        yield warning(path, f"expires on {ends:%Y-%m-%d}: make a new one in time")
    else:
        yield ok(path, f"{identity or 'the authority'}, valid until {ends:%Y-%m-%d}")


def checkKeyrings(paths: Sequence[Path], kinds: dict[str, str]) -> Findings:
    """Keyring files, and whether they fit together and to the certificates' kinds."""
    rings: dict[str, tuple[Path, Keyring]] = {}
    for path in paths:
        try:
            ring = Keyring.load(path)
        except ConfigurationError as error:
            yield wrong(path, str(error))
            continue
        first, earlier = rings.setdefault(ring.kind, (path, ring))
        if earlier.keys != ring.keys:
            yield wrong(path, f"its keys are not those of {first}, for the same kind: bring one file to all of them")
        elif earlier.current != ring.current:
            yield warning(path, f"seals with another key than {first}: fine while keys are rotated, not for ever")
        else:
            yield ok(path, f"keys for {ring.kind}: {len(ring.keys)}; number {ring.current} seals")
        if kinds and ring.kind not in kinds.values():
            found = ", ".join(sorted(set(kinds.values())))
            yield wrong(path, f"it is for {ring.kind}, but the certificates are of {found}: give the right keyring")
