"""
The pcap format: the file header, and kernels that find and write record headers.

Both byte orders, microseconds and nanoseconds, and the modified format of Alexey Kuznetzov's libpcap, whose record
headers are eight bytes longer.  As libpcap does, a record is cut to the capture length that the file header names.
Source: draft-ietf-opsawg-pcap; libpcap's reader.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from construct import Const, Int16ub, Int16ul, Int32ub, Int32ul, Padding, Struct, Terminated
from numba import njit
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch
from openmb.packets.loads import load32, loadLittle32, plain, sourceOf

HEADER_LENGTH = 24
RECORD_LENGTH = 16
MODIFIED_RECORD_LENGTH = 24
#: The longest packet that tcpdump captures; libpcap refuses longer records too.
LARGEST_PACKET = 262144

_MICROSECONDS = 0xA1B2C3D4
_NANOSECONDS = 0xA1B23C4D
_MODIFIED = 0xA1B2CD34
_MAGICS = (_MICROSECONDS, _NANOSECONDS, _MODIFIED)
_LARGEST_SIGNED = 0x7FFFFFFF
_LINK_BITS = 0x03FFFFFF
_LITTLE = Struct(
    "magic" / Int32ul,
    "major" / Const(2, Int16ul),
    "minor" / Int16ul,
    Padding(8),
    "snap" / Int32ul,
    "link" / Int32ul,
    Terminated,
).compile()
_BIG = Struct(
    "magic" / Int32ub,
    "major" / Const(2, Int16ub),
    "minor" / Int16ub,
    Padding(8),
    "snap" / Int32ub,
    "link" / Int32ub,
    Terminated,
).compile()

#: How a scan ended: every place was filled; the next record is not all there; the next record's length is nonsense.
FILLED = 0
INCOMPLETE = 1
NONSENSE = 2


@dataclass(frozen=True, slots=True)
class PcapHeader:
    """
    What the header of a capture says.

    @ivar link: link type number.
    @ivar nanoseconds: stamps count nanoseconds rather than microseconds.
    @ivar bigEndian: the byte order of the record headers.
    @ivar most: bytes of a packet; what a record holds beyond them is left out.
    @ivar modified: the format whose record headers have 24 bytes.
    """

    link: int
    nanoseconds: bool
    bigEndian: bool
    most: int = LARGEST_PACKET
    modified: bool = False

    @property
    def recordLength(self) -> int:
        """Bytes of a record's header."""
        return MODIFIED_RECORD_LENGTH if self.modified else RECORD_LENGTH

    def build(self) -> bytes:
        """The header's 24 bytes."""
        magic = _NANOSECONDS if self.nanoseconds else _MICROSECONDS
        fields = {"magic": magic, "minor": 4, "snap": LARGEST_PACKET, "link": self.link}
        header: bytes = (_BIG if self.bigEndian else _LITTLE).build(fields)
        return header


def isPcap(start: bytes) -> bool:
    """Whether the first four bytes are one of the magic numbers, in either byte order."""
    return int.from_bytes(start[:4], "little") in _MAGICS or int.from_bytes(start[:4], "big") in _MAGICS


def parsePcapHeader(header: bytes) -> PcapHeader | None:
    """The header in 24 bytes, or None when they are not one of pcap 2.x."""
    if len(header) != HEADER_LENGTH or not isPcap(header):
        return None
    bigEndian = int.from_bytes(header[:4], "big") in _MAGICS
    if int.from_bytes(header[4:6], "big" if bigEndian else "little") != 2:
        return None
    found = (_BIG if bigEndian else _LITTLE).parse(header)
    most = min(found.snap, LARGEST_PACKET) if 0 < found.snap <= _LARGEST_SIGNED else LARGEST_PACKET
    return PcapHeader(found.link & _LINK_BITS, found.magic == _NANOSECONDS, bigEndian, most, found.magic == _MODIFIED)


@dataclass(frozen=True, slots=True)
class Scan:
    """
    Records found.

    @ivar batch: their packets; C{data} reaches from the scan's start to its end.
    @ivar end: where the next record begins.
    @ivar ending: L{FILLED}, L{INCOMPLETE} or L{NONSENSE}.
    """

    batch: PacketBatch
    end: int
    ending: int


@njit(cache=True)
def _scanRecords(
    data: NDArray[np.uint8],
    start: int,
    bigEndian: bool,
    unit: int,
    before: int,
    largest: int,
    most: int,
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    wire: NDArray[np.uint32],
    stamps: NDArray[np.int64],
) -> tuple[int, int, int]:
    """
    Fill the arrays (C{offsets} count from C{start}); return how many records, where the next begins, the ending.

    @param before: bytes of a record's header.
    @param most: bytes of a packet that are taken.
    """
    source = sourceOf(data)
    place = start
    for index in range(len(offsets)):
        if place + before > len(data):
            return index, place, INCOMPLETE
        if bigEndian:
            seconds, fraction = load32(source, place), load32(source, place + 4)
            captured, sent = load32(source, place + 8), load32(source, place + 12)
        else:
            seconds, fraction = loadLittle32(source, place), loadLittle32(source, place + 4)
            captured, sent = loadLittle32(source, place + 8), loadLittle32(source, place + 12)
        if captured > largest:
            return index, place, NONSENSE
        if place + before + captured > len(data):
            return index, place, INCOMPLETE
        offsets[index] = place + before - start
        lengths[index] = min(captured, most)
        wire[index] = max(captured, sent)
        stamps[index] = seconds * 1000000000 + fraction * unit
        place += before + captured
    return len(offsets), place, FILLED


def scanRecords(data: NDArray[np.uint8], start: int, header: PcapHeader, limit: int, largest: int) -> Scan:
    """The records that follow each other in C{data} from C{start}, C{limit} at most; nothing is copied."""
    limit = min(limit, (len(data) - start) // header.recordLength + 1)
    offsets, stamps = np.empty(limit, np.int64), np.empty(limit, np.int64)
    lengths, wire = np.empty(limit, np.uint32), np.empty(limit, np.uint32)
    unit = 1 if header.nanoseconds else 1000
    count, end, ending = _scanRecords(
        plain(data),
        start,
        header.bigEndian,
        unit,
        header.recordLength,
        largest,
        header.most,
        offsets,
        lengths,
        wire,
        stamps,
    )
    batch = PacketBatch(data[start:end], offsets[:count], lengths[:count], wire[:count], stamps[:count], header.link)
    return Scan(batch, int(end), int(ending))


@njit(cache=True)
def _writeRecords(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    out: NDArray[np.uint8],
    words: NDArray[np.uint8],
) -> bool:
    """Put each packet behind its 16 bytes of C{words} in C{out}.  False when a packet does not lie in C{data}."""
    place = np.int64(0)
    for index in range(len(offsets)):
        start = offsets[index]
        length = np.int64(lengths[index])
        if start < 0 or start > len(data) - length:
            return False
        for byte in range(16):
            out[place + byte] = words[index, byte]
        place += 16
        for byte in range(length):
            out[place + byte] = data[start + byte]
        place += length
    return True


def writeRecords(batch: PacketBatch, nanoseconds: bool) -> bytes:
    """
    The little-endian records of all packets of a batch.

    @raise ValueError: a packet does not lie in the batch's data.
    """
    total = RECORD_LENGTH * len(batch) + int(batch.lengths.sum(dtype=np.int64))
    out = np.empty(total, np.uint8)
    words = np.empty((len(batch), 4), "<u4")
    words[:, 0] = batch.stamps // 1_000_000_000
    words[:, 1] = batch.stamps % 1_000_000_000 // (1 if nanoseconds else 1000)
    words[:, 2] = batch.lengths
    words[:, 3] = batch.wire
    places = plain(batch.offsets), plain(batch.lengths)
    if not _writeRecords(plain(batch.data), *places, out, plain(words.view(np.uint8))):
        raise ValueError("a packet of the batch lies outside its data")
    return out.tobytes()
