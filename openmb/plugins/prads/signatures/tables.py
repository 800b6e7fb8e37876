"""
Everything that is read from the folder of PRADS's signature files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openmb.errors import ConfigurationError
from openmb.plugins.prads.signatures.services import ServiceSignature, parseServices
from openmb.plugins.prads.signatures.vendors import Vendors, parseVendors


@dataclass(frozen=True, slots=True)
class Signatures:
    """The signatures of TCP servers, TCP clients and UDP services, in file order, and the makers of network cards."""

    servers: tuple[ServiceSignature, ...]
    clients: tuple[ServiceSignature, ...]
    datagrams: tuple[ServiceSignature, ...]
    vendors: Vendors

    @classmethod
    def read(cls, directory: Path) -> Signatures:
        """
        What the files in C{directory} say.

        @raise ConfigurationError: one of them cannot be read.
        """
        return cls(
            parseServices(contents(directory, "tcp-service.sig")),
            parseServices(contents(directory, "tcp-clients.sig")),
            parseServices(contents(directory, "udp-service.sig")),
            parseVendors(contents(directory, "mac.sig")),
        )


def contents(directory: Path, name: str) -> bytes:
    """The bytes of one signature file."""
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {directory / name} ({error.strerror}): signatures come with the Debian package prads"
        ) from error
