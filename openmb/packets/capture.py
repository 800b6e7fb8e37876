"""
Capture files: pcap, read block by block, and pcapng.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from openmb.errors import CaptureError
from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.compressed import compressorOf
from openmb.packets.nextgen import PcapngCapture, isPcapng
from openmb.packets.pcap import (
    FILLED,
    HEADER_LENGTH,
    LARGEST_PACKET,
    NONSENSE,
    PcapHeader,
    isPcap,
    parsePcapHeader,
    scanRecords,
)
from openmb.packets.pipe import openPipe

#: Bytes read at one time: some thousand packets, which the processor's cache still holds when they are processed; a
#: record always fits.
_BLOCK = 2 << 20


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
    """
    A pcap file, read block by block; the batches of a block share it, nothing is copied.

    Reading costs a third of mapping, whose pages are met one by one, and the memory does not grow with the file.
    """

    def __init__(self, path: Path, header: PcapHeader) -> None:
        self.path = path
        self.header = header
        self.remarks: list[str] = []

    def batches(self, limit: int = 4096) -> Iterator[PacketBatch]:
        """See L{Capture.batches}."""
        place, left = HEADER_LENGTH, np.empty(0, np.uint8)
        with _opened(self.path) as file:
            file.seek(HEADER_LENGTH)
            while len(block := _readBlock(file, left)) > len(left):
                start, ending = 0, FILLED
                while ending == FILLED:
                    scan = scanRecords(block, start, self.header, limit, LARGEST_PACKET)
                    if len(scan.batch):
                        yield scan.batch
                    start, ending = scan.end, scan.ending
                place, left = place + start, block[start:]
                if ending == NONSENSE:
                    text = f"the record at byte {place} claims more than {LARGEST_PACKET} bytes"
                    raise CaptureError(f"{self.path}: {text}")
        if len(left):
            self.remarks.append(f"the last record, at byte {place}, is cut off and was left out")


def openCapture(path: str | Path) -> Capture:
    """
    Open a capture, whatever its format by its magic number; C{-}, a named pipe or a UNIX socket: a pcap stream.

    @raise CaptureError: there is no such file, or it is not a capture.
    """
    place = Path(path)
    stream = openPipe(place)
    if stream is not None:
        return stream
    with _opened(place) as file:
        start = _readBlock(file, np.empty(0, np.uint8), HEADER_LENGTH).tobytes()
    if not start:
        raise CaptureError(f"{place} is empty")
    if isPcapng(start):
        return PcapngCapture(place)
    if (program := compressorOf(start)) is not None:
        raise CaptureError(f"{place} is compressed: run '{program} -dc {place} | openmb ... --pcap -'")
    if not isPcap(start):
        raise CaptureError(f"{place} is not a capture: neither pcap nor pcapng begins with {start[:4].hex(' ')}")
    header = parsePcapHeader(start)
    if header is None:
        raise CaptureError(f"{place} is not a capture: its header is cut off or not of pcap version 2")
    return PcapCapture(place, header)


def _opened(path: Path) -> BufferedReader:
    try:
        return open(path, "rb")
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror or error}") from error


def _readBlock(file: BufferedReader, left: NDArray[np.uint8], size: int = _BLOCK) -> NDArray[np.uint8]:
    """C{left} and what follows in the file, C{size} bytes in all if there are so many."""
    block = np.empty(size, np.uint8)
    block[: len(left)] = left
    try:
        count = file.readinto(block[len(left) :].data)
    except OSError as error:
        raise CaptureError(f"cannot read {file.name}: {error.strerror or error}") from error
    return block[: len(left) + count]


def unknownLink(path: Path, link: int) -> CaptureError:
    """What is to be raised of a capture whose link type nobody decodes."""
    names = ", ".join(f"{each.name} ({each.value})" for each in LinkType)
    return CaptureError(f"{path}: link type {link} is not known; there are {names}")


def checkLink(capture: Capture) -> None:
    """
    Is this a capture that can be decoded?  A stream, and a capture of several link types, says so as it comes.

    @raise CaptureError: of a link type that nobody knows.
    """
    if isinstance(capture, PcapCapture) and capture.header.link not in tuple(LinkType):
        raise unknownLink(capture.path, capture.header.link)
