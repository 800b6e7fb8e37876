"""
Capture files: pcap, memory-mapped, and pcapng.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from openmb.errors import CaptureError
from openmb.packets.batch import PacketBatch
from openmb.packets.nextgen import PcapngCapture, isPcapng
from openmb.packets.pcap import (
    HEADER_LENGTH,
    INCOMPLETE,
    LARGEST_PACKET,
    NONSENSE,
    PcapHeader,
    isPcap,
    parsePcapHeader,
    scanRecords,
)
from openmb.packets.pipe import openPipe


class Capture(Protocol):
    """
    A capture file that was opened.

    @ivar path: where it lies.
    @ivar remarks: what reading met that is worth telling, such as a last record cut off; grows as C{batches} goes on.
    """

    path: Path
    remarks: list[str]

    def batches(self, limit: int = 4096) -> Iterator[PacketBatch]:
        """
        The packets, from the first, in batches of C{limit} at most, each of one link type.

        @raise CaptureError: the rest of the file makes no sense.
        """
        ...


class PcapCapture:
    """A memory-mapped pcap file: its batches share the mapping, nothing is copied."""

    def __init__(self, path: Path, data: NDArray[np.uint8], header: PcapHeader) -> None:
        self.path = path
        self.header = header
        self.remarks: list[str] = []
        self._data = data

    def batches(self, limit: int = 4096) -> Iterator[PacketBatch]:
        """See L{Capture.batches}."""
        start, ending = HEADER_LENGTH, None
        while ending != INCOMPLETE:
            scan = scanRecords(self._data, start, self.header, limit, LARGEST_PACKET)
            if len(scan.batch):
                yield scan.batch
            start, ending = scan.end, scan.ending
            if ending == NONSENSE:
                raise CaptureError(f"{self.path}: the record at byte {start} claims more than {LARGEST_PACKET} bytes")
        if start < len(self._data):
            self.remarks.append(f"the last record, at byte {start}, is cut off and was left out")


def openCapture(path: str | Path) -> Capture:
    """
    Open a capture, whatever its format by its magic number; C{-}, a named pipe or a UNIX socket: a pcap stream.

    @raise CaptureError: there is no such file, or it is not a capture.
    """
    place = Path(path)
    stream = openPipe(place)
    if stream is not None:
        return stream
    data = _mapFile(place)
    start = data[:HEADER_LENGTH].tobytes()
    if isPcapng(start):
        return PcapngCapture(place)
    if not isPcap(start):
        raise CaptureError(f"{place} is not a capture: neither pcap nor pcapng begins with {start[:4].hex(' ')}")
    header = parsePcapHeader(start)
    if header is None:
        raise CaptureError(f"{place} is not a capture: its header is cut off or not of pcap version 2")
    return PcapCapture(place, data, header)


def _mapFile(path: Path) -> NDArray[np.uint8]:
    """The contents of a file, mapped into memory as long as the array or a part of it lives."""
    try:
        with open(path, "rb") as file:
            if file.seek(0, 2) == 0:
                raise CaptureError(f"{path} is empty")
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror or error}") from error
