"""
Packets over a byte stream in pcap format, as C{tcpdump -w -} writes it: sans-I/O reader and writer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from openmb.errors import CaptureError, ProtocolError
from openmb.packets.batch import PacketBatch, emptyBatch
from openmb.packets.compressed import compressorOf
from openmb.packets.pcap import (
    HEADER_LENGTH,
    INCOMPLETE,
    LARGEST_PACKET,
    NONSENSE,
    RECORD_LENGTH,
    PcapHeader,
    parsePcapHeader,
    scanRecords,
    writeRecords,
)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """
    What a stream reader takes.

    @ivar packet: captured bytes of one packet.
    @ivar batch: packets in one batch.
    """

    packet: int = LARGEST_PACKET
    batch: int = 4096


class PcapStreamReader:
    """
    Turns a pcap stream, in pieces of any size, into batches.

    @ivar header: what the stream's header says, once it came.
    """

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self._limits = limits or StreamLimits()
        self._parts: list[bytes] = []
        self._held = 0
        self._needed = HEADER_LENGTH
        self.header: PcapHeader | None = None

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their record."""
        return self._held

    def feed(self, data: bytes) -> list[PacketBatch]:
        """
        Take the next bytes of the stream and return the packets that are complete now.

        @raise ProtocolError: this is no pcap stream, or a record exceeds the limit; the stream cannot be read on.
        """
        self._parts.append(data)
        self._held += len(data)
        if self._held < self._needed:
            return []
        whole = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        start = 0
        if self.header is None:
            self.header = _parseHeader(whole)
            start = HEADER_LENGTH
        return self._split(self.header, whole, start)

    def _split(self, header: PcapHeader, whole: bytes, start: int) -> list[PacketBatch]:
        """The batches in C{whole} from C{start}; what is left over is kept."""
        data = np.frombuffer(whole, np.uint8)
        batches = []
        ending = None
        while ending != INCOMPLETE:
            scan = scanRecords(data, start, header, self._limits.batch, self._limits.packet)
            start, ending = scan.end, scan.ending
            if ending == NONSENSE:
                raise ProtocolError(f"a packet record announces more than {self._limits.packet} bytes")
            if len(scan.batch):
                batches.append(scan.batch)
        self._keep(header, whole[start:])
        return batches

    def _keep(self, header: PcapHeader, rest: bytes) -> None:
        """Keep C{rest} and work out how much must come before it is worth looking again."""
        self._parts, self._held, self._needed = [rest], len(rest), header.recordLength
        if len(rest) >= RECORD_LENGTH:
            self._needed += int.from_bytes(rest[8:12], "big" if header.bigEndian else "little")

    def finish(self) -> None:
        """
        Say that the stream has ended.

        @raise ProtocolError: it ended within a record.
        """
        if self._held:
            raise ProtocolError(f"the stream ended within a record; {self._held} bytes of it had come")


def _parseHeader(start: bytes) -> PcapHeader:
    header = parsePcapHeader(start[:HEADER_LENGTH])
    if header is None:
        if (program := compressorOf(start)) is not None:
            raise ProtocolError(f"the stream is compressed: put '{program} -dc' in front of it")
        raise ProtocolError(f"not a pcap stream: it begins with {start[:8].hex(' ')}")
    return header


class PcapStreamWriter:
    """
    Turns batches of one link type into a little-endian pcap stream.

    @param nanoseconds: write whole stamps; otherwise they are cut to microseconds.
    """

    def __init__(self, link: int, nanoseconds: bool = True) -> None:
        self._header = PcapHeader(link, nanoseconds, False)

    def header(self) -> bytes:
        """What the stream begins with."""
        return self._header.build()

    def records(self, batch: PacketBatch) -> bytes:
        """
        The records of C{batch}.

        @raise ValueError: it is of another link type, or a packet lies outside its data.
        """
        if batch.link != self._header.link:
            raise ValueError(f"a stream of link type {self._header.link} cannot take packets of type {batch.link}")
        return writeRecords(batch, self._header.nanoseconds)


def writeCapture(
    path: str | Path, batches: Iterable[PacketBatch], link: int | None = None, nanoseconds: bool = True
) -> int:
    """
    Write batches, all of one link type, to a pcap file and return the number of packets.

    @param link: the link type; by default that of the first batch, and Ethernet when there is none.
    @raise CaptureError: the file cannot be written.
    """
    coming = iter(batches)
    first = next(coming, emptyBatch() if link is None else emptyBatch(link))
    writer = PcapStreamWriter(first.link if link is None else link, nanoseconds)
    count = 0
    try:
        with open(path, "wb") as file:
            file.write(writer.header())
            for batch in chain((first,), coming):
                file.write(writer.records(batch))
                count += len(batch)
    except OSError as error:
        raise CaptureError(f"cannot write {path}: {error.strerror}") from error
    return count
