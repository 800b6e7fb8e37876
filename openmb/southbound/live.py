"""
Files that services read again when they change: certificates, the list of revoked ones, keyrings.

A change that cannot be used is told in the log, and what was in use stays in use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from cryptography import x509
from twisted.logger import Logger

from openmb.errors import ConfigurationError
from openmb.southbound.certificates import AUTHORITY, Credentials, loadCredentials
from openmb.southbound.revocation import LIST, Revocations
from openmb.southbound.verification import issued
from openmb.state.keyring import Keyring

Value = TypeVar("Value")


class Live(Generic[Value]):
    """
    Something that is read from files.

    @param load: reads it; raises L{ConfigurationError}.
    @ivar value: as it was read last.
    @ivar generation: how often it was read again.
    """

    log = Logger()

    def __init__(self, paths: Sequence[Path], load: Callable[[], Value]) -> None:
        """@raise ConfigurationError: it cannot be read at all."""
        self._paths, self._load = tuple(paths), load
        self._seen = self._look()
        self.value = load()
        self.generation = 0

    def refresh(self) -> bool:
        """Read it again if a file has changed; was there a change that could be used?"""
        now = self._look()
        if now == self._seen:
            return False
        try:
            self.value = self._load()
        except ConfigurationError as error:
            if now != self._refused:
                self.log.error("a change is not used, what was there before stays in use: {reason}", reason=error)
            self._refused = now
            return False
        self._seen = now
        self.generation += 1
        self.log.info("read again: {paths}", paths=", ".join(str(path) for path in self._paths))
        return True

    _refused: tuple[tuple[int, int, int] | None, ...] | None = None

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_mark(path) for path in self._paths)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class LiveCredentials:
    """
    The certificate C{name}, its key, the authorities, and what they have revoked, in one directory.

    @ivar generation: grows with each change.
    """

    log = Logger()

    def __init__(self, directory: Path, name: str) -> None:
        """@raise ConfigurationError: something cannot be used."""
        own = [directory / f"{name}.{ending}" for ending in ("pem", "key")]
        shared = [directory / f"{AUTHORITY}.pem"]
        self._list = directory / LIST
        self._known = Revocations()
        self._warned: datetime | None = None
        self._own = Live([*own, *shared], lambda: loadCredentials(directory, name))
        self._revoked = Live([*shared, self._list], self._loadList)
        self._warnOfAge()

    def _loadList(self) -> Revocations:
        authorities = self._own.value.authorities
        found = Revocations.load(self._list.parent, authorities)
        if (lost := found.lost(self._known, authorities)) is not None:
            raise ConfigurationError(f"{self._list}: {lost}")
        self._known = found
        return found

    def refresh(self) -> None:
        """Read what has changed."""
        self._own.refresh()
        self._revoked.refresh()
        self._warnOfAge()

    def _warnOfAge(self) -> None:
        due = self._known.due
        if due is not None and due != self._warned and datetime.now(UTC) >= due:
            self._warned = due
            self.log.warn(
                "{path} was to be made again by {due}: it stays in force, but is there a newer one?",
                path=self._list,
                due=f"{due:%Y-%m-%d}",
            )

    @property
    def current(self) -> Credentials:
        """As they are now."""
        return self._own.value

    @property
    def generation(self) -> int:
        return self._own.generation

    def objection(self, certificate: x509.Certificate, now: datetime | None = None) -> str | None:
        """Why C{certificate} must not be trusted (any more); None if nothing is against it."""
        now = now or datetime.now(UTC)
        revoked = self._known.of(certificate)
        if revoked is not None:
            return f"its certificate was revoked on {revoked:%Y-%m-%d %H:%M} UTC"
        if now >= certificate.not_valid_after_utc:
            return f"its certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        if not any(issued(authority, certificate) for authority in self.current.authorities):
            return "its certificate is signed by an authority that is not trusted any more"
        return None


def liveKeyring(path: Path) -> Live[Keyring]:
    """
    The keyring at C{path}.

    @raise ConfigurationError: it cannot be used.
    """
    return Live([path], lambda: Keyring.load(path))
