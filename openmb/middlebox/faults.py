"""
Packets on which the engine threw: counted, told, and kept in a capture, so that somebody can look into them.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.logger import Logger

from openmb.errors import OpenMBError, OperationError, Refusal
from openmb.packets.batch import PacketBatch
from openmb.packets.pcap import writeRecords
from openmb.packets.stream import PcapStreamWriter

#: Bytes of packets that are kept; beyond that they are only counted.
KEPT = 16 << 20
#: Faults that are logged one by one; after that each time their number has doubled.
TOLD = 20


class SetAside:
    """
    What was set aside.

    @param name: of the middlebox; the captures are C{set-aside-<name>-<link type>.pcap}.
    @param directory: where it is written; None: packets are only counted.
    @ivar packets: how many there were.
    @ivar kept: how many of them are in a capture.
    """

    log = Logger()

    def __init__(self, name: str, directory: Path | None) -> None:
        self.packets = self.kept = 0
        self._name, self._directory = name, directory
        self._room = KEPT
        self._told = 0
        self._begun: set[int] = set()

    def add(self, packets: PacketBatch, reason: str) -> None:
        """The engine threw C{reason} on C{packets}."""
        if not len(packets):
            return
        self.packets += len(packets)
        kept = self._keep(packets)
        self.kept += kept
        self._tell(len(packets), kept, reason)

    def _tell(self, packets: int, kept: int, reason: str) -> None:
        self._told += 1
        if self._told <= TOLD or self._told & (self._told - 1) == 0:
            self.log.error(
                "{packets} packets set aside ({kept} of them kept, {total} so far): {reason}",
                packets=packets,
                kept=kept,
                total=self.packets,
                reason=reason,
            )

    def _keep(self, packets: PacketBatch) -> int:
        """Append to the capture as much as there is room for, at once and whole; how many packets."""
        if self._directory is None:
            return 0
        records = writeRecords(packets, True)
        if len(records) > self._room:
            return 0
        first = packets.link not in self._begun
        start = PcapStreamWriter(packets.link).header() if first else b""
        path = self._path(packets.link)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if first else os.O_APPEND), 0o600)
            try:
                written = os.write(descriptor, start + records)
                if written < len(start) + len(records):
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
                    raise OSError(28, "no room for it as a whole")
            finally:
                os.close(descriptor)
        except OSError as error:
            self.log.warn("cannot keep them in {path}: {reason}", path=path, reason=error.strerror)
            return 0
        self._begun.add(packets.link)
        self._room -= len(records)
        return len(packets)

    def _path(self, link: int) -> Path:
        assert self._directory is not None
        return self._directory / f"set-aside-{self._name}-{link}.pcap"


@contextmanager
def engineFaults(what: str) -> Iterator[None]:
    """
    Around calls of an engine's adapter: what it throws ends the operation, not the middlebox.

    @raise OperationError: C{ENGINE_FAILED}.
    """
    try:
        yield
    except OpenMBError:
        raise
    except Exception as error:
        raise OperationError(Refusal.ENGINE_FAILED, f"{what}: {describe(error)}") from error


def describe(error: Exception) -> str:
    """What was thrown, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
