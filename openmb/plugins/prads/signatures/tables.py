"""
Everything that is read from the folder of PRADS's signature files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from openmb.errors import ConfigurationError
from openmb.plugins.prads.signatures.fingerprint import Check
from openmb.plugins.prads.signatures.services import ServiceSignature, parseServices
from openmb.plugins.prads.signatures.tcp import FILES, System, Systems, parseSystems
from openmb.plugins.prads.signatures.vendors import Vendors

_SERVICES, _VENDORS = ("tcp-service.sig", "tcp-clients.sig", "udp-service.sig"), "mac.sig"


@dataclass(frozen=True, slots=True)
class Signatures:
    """
    The signatures of TCP servers, TCP clients and UDP services, in file order, the makers of network cards, and the
    tables of systems with what their lines name, by L{Check}; and the SHA-256 of all files.
    """

    servers: tuple[ServiceSignature, ...]
    clients: tuple[ServiceSignature, ...]
    datagrams: tuple[ServiceSignature, ...]
    vendors: Vendors
    systems: Systems
    named: tuple[tuple[System, ...], ...]
    digest: bytes

    @classmethod
    def read(cls, directory: Path) -> Signatures:
        """
        What the files in C{directory} say.

        @raise ConfigurationError: one of them cannot be read.
        """
        names = [*_SERVICES, _VENDORS, *FILES.values()]
        texts = {name: contents(directory, name) for name in names}
        servers, clients, datagrams = (parseServices(texts[name]) for name in _SERVICES)
        return cls(
            *(servers, clients, datagrams),
            Vendors(texts[_VENDORS]),
            *parseSystems([(FILES[check], texts[FILES[check]]) for check in Check]),
            hashlib.sha256(b"".join(hashlib.sha256(texts[name]).digest() for name in names)).digest(),
        )


def contents(directory: Path, name: str) -> bytes:
    """The bytes of one signature file."""
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {directory / name} ({error.strerror}): signatures come with the Debian package prads"
        ) from error
