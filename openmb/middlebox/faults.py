"""
Packets on which the engine threw: counted, told, and kept in a capture, so that somebody can look into them.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from twisted.logger import Logger

from openmb.errors import OpenMBError, OperationError, OutputFailed, Refusal
from openmb.interfaces import Failed
from openmb.packets.batch import PacketBatch
from openmb.packets.pcap import writeRecords
from openmb.packets.stream import PcapStreamWriter
from openmb.ratelimitedlog import RateLimitedLog
from openmb.safefiles import checkDirectory, openToWrite

#: Bytes of packets that are kept; beyond that they are only counted.
KEPT = 16 << 20
#: Faults that are logged one by one; after that each time their number has doubled.
TOLD = 20


class SetAside:
    """
    What was set aside.

    @param name: of the middlebox; the captures are C{set-aside-<name>-<link type>.pcap}.
    @param directory: where it is written, made when it is first needed, for this user alone; None: packets are only
        counted.
    @raise ConfigurationError: others can write in C{directory}.
    @ivar packets: how many there were.
    @ivar kept: how many of them are in a capture.
    @ivar faults: how often the engine threw, with packets or without.
    """

    log = Logger()

    def __init__(self, name: str, directory: Path | None) -> None:
        self.packets = self.kept = self.faults = 0
        self._name, self._directory = name, directory
        self._peers = RateLimitedLog(self.log, time.monotonic)
        if directory is not None and directory.exists():
            checkDirectory(directory)
        self._room = KEPT
        self._begun: set[int] = set()

    def add(self, packets: PacketBatch, reason: str) -> None:
        """The engine threw C{reason} on C{packets}."""
        self.packets += len(packets)
        kept = self._keep(packets) if len(packets) else 0
        self.kept += kept
        whole = f"{len(packets)} packets set aside ({kept} of them kept, {self.packets} so far)"
        self.tell(f"{whole}: {reason}" if len(packets) else f"the engine threw: {reason}")

    def addAll(self, packets: PacketBatch, failed: Sequence[Failed]) -> NDArray[np.int64]:
        """
        What an engine says of a batch, each reason told once; without a place in it: something else has failed.

        @return: the places of the packets set aside.
        """
        for reason in dict.fromkeys(each.reason for each in failed):
            self.add(packets.select(_places(each for each in failed if each.reason == reason)), reason)
        return _places(failed)

    def tell(self, text: str) -> None:
        """Log a fault, unless too many have been: then each time their number has doubled."""
        self.faults += 1
        if self.faults <= TOLD or self.faults & (self.faults - 1) == 0:
            self.log.error("{text} (fault {number})", text=text, number=self.faults)

    @contextmanager
    def enduring(self, what: str) -> Iterator[None]:
        """Around calls after which one must go on although the engine throws; output that waits is no such fault."""
        try:
            yield
        except OutputFailed:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is: packets must not wait for ever because of it
            self.tell(f"the engine threw at {what}: {describe(error)}")

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
            self._directory.mkdir(mode=0o700, exist_ok=True)
            checkDirectory(self._directory)
            descriptor = openToWrite(path, append=not first, private=True)
            try:
                written = os.write(descriptor, start + records)
                if written < len(start) + len(records):
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
                    raise OSError(28, "no room for it as a whole")
            finally:
                os.close(descriptor)
        except OSError as error:
            self._peers.warn("cannot keep them in {path}: {reason}", path=path, reason=error.strerror)
            return 0
        self._begun.add(packets.link)
        self._room -= len(records)
        return len(packets)

    def _path(self, link: int) -> Path:
        assert self._directory is not None
        return self._directory / f"set-aside-{self._name}-{link}.pcap"


def _places(failed: Iterable[Failed]) -> NDArray[np.int64]:
    return np.unique(np.array([each.index for each in failed if each.index >= 0], np.int64))


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
