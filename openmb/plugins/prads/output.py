"""
The files: prads-asset.log, prads-connections.log, prads-statistics.log, with the lines of the real program.
"""

from __future__ import annotations

import os
from pathlib import Path

from openmb.errors import ConfigurationError, OutputFailed
from openmb.plugins.prads.following import SERVER
from openmb.plugins.prads.hosts import Service
from openmb.plugins.prads.signatures.fingerprint import Check, distanceOf, fingerprintText, linkText
from openmb.safefiles import openToWrite

ASSETS, CONNECTIONS, STATISTICS = "prads-asset.log", "prads-connections.log", "prads-statistics.log"
_HEADER = b"asset,vlan,port,proto,service,[service-info],distance,discovered\n"


class LineFile:
    """Lines on their way to a file."""

    def __init__(self, path: Path | None, append: bool, header: bytes = b"") -> None:
        self._path = path
        self._waiting = bytearray()
        self._file = None
        if path is not None:
            try:
                isNew = not append or not path.exists()
                self._file = os.fdopen(openToWrite(path, append), "wb", buffering=0)
            except OSError as error:
                raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
            if isNew:
                self._waiting += header

    def write(self, line: bytes) -> None:
        """A line, with its end."""
        if self._file is not None:
            self._waiting += line

    def flush(self) -> None:
        """
        Hand everything to the operating system.

        @raise OutputFailed: it does not take it; what it did not take is kept.
        """
        while self._waiting and self._file is not None:
            try:
                written = self._file.write(self._waiting)
            except OSError as error:
                raise OutputFailed(f"cannot write {self._path}: {error.strerror}") from error
            del self._waiting[: written or 0]


def discoveryText(now: int) -> str:
    """
    The last column of the asset log.

    Real PRADS keeps seconds as a signed number of 32 bits and prints it as an unsigned one of 64: from 2038 on that is
    beyond 2^63 (measured).
    """
    seconds = now & 0xFFFFFFFF
    return str(seconds if seconds < 1 << 31 else seconds + (1 << 64) - (1 << 32))


def systemLine(address: str, vlan: int, port: int, check: Check, found: object, name: bytes, now: int) -> bytes:
    """
    A fingerprint that a host has not shown before.

    @param found: L{openmb.plugins.prads.signatures.fingerprint.FINGERPRINT}C{[()]}.
    @param name: C{system:details}.
    """
    made: dict[str, int] = found  # type: ignore[assignment]
    text = f"{fingerprintText(found)}:".encode() + name  # type: ignore[arg-type]
    if made["maximum"]:
        text += f":link:{linkText(int(made['maximum']))}".encode()
    if made["time"]:
        text += f":uptime:{int(made['time']) // 360000}hrs".encode()
    end = f"],{distanceOf(int(made['ttl']))},{discoveryText(now)}\n".encode()
    return f"{address},{vlan},{port},6,{check.name},[".encode() + text + end


def serviceLine(address: str, vlan: int, key: tuple[int, int], service: Service, now: int) -> bytes:
    """A service of a host."""
    role = "SERVER" if service.role == SERVER else "CLIENT"
    start = f"{address},{vlan},{key[0]},{key[1]},{role},[".encode()
    end = f"],{distanceOf(service.ttl)},{discoveryText(now)}\n".encode()
    return start + service.name + b":" + service.application + end


def cardLine(address: str, vlan: int, card: bytes, vendor: bytes | None, now: int) -> bytes:
    """A network card."""
    text = card.hex(":").upper().encode() + (b",(" + vendor + b")" if vendor is not None else b"")
    return f"{address},{vlan},0,0,ARP,[".encode() + text + f"],0,{discoveryText(now)}\n".encode()


class Output:
    """
    The three files in a directory.

    @param directory: None for no files at all.
    @raise ConfigurationError: a file cannot be opened.
    """

    def __init__(self, directory: Path | None, append: bool = False) -> None:
        if directory is not None:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(f"--logs: {error}") from error
        self.assets = LineFile(directory and directory / ASSETS, append, _HEADER)
        self.connections = LineFile(directory and directory / CONNECTIONS, append)
        self.statistics = LineFile(directory and directory / STATISTICS, append)

    def flush(self) -> None:
        """See C{IEngine}."""
        self.assets.flush()
        self.connections.flush()
        self.statistics.flush()
