"""
Frames out of a stream of bytes, cut anywhere.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from openmb.errors import FrameTooLarge, ProtocolError
from openmb.wire.formats import FRAME_VERSION, MAGIC
from openmb.wire.messages import MessageType

#: Bytes of a body unless told otherwise.
BODY_LIMIT = 1 << 20
#: The header of C{openmb.wire.formats} for the struct module.
HEADER_STRUCT = struct.Struct("<2sBBHHLQQ")
HEADER_SIZE = HEADER_STRUCT.size
#: Pieces smaller than this are gathered, so that a sender of single bytes costs no more memory than any other.
_SMALL = 4096
_GATHERED = 65536
_TYPES = {int(member): member for member in MessageType}


@dataclass(frozen=True, slots=True)
class Header:
    """A frame header that passed every check that needs no body."""

    type: MessageType
    length: int
    operation: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its header, and all its bytes, header included."""

    header: Header
    data: bytes

    @property
    def body(self) -> memoryview:
        """The bytes after the header, not copied."""
        return memoryview(self.data)[HEADER_SIZE:]


def parseHeader(data: bytes | bytearray | memoryview, offset: int = 0, limit: int = BODY_LIMIT) -> Header:
    """
    The header at C{offset}.

    @raise ProtocolError: not a header, an unknown type, or a body above C{limit} bytes.
    """
    magic, version, number, flags, reserved, length, operation, sequence = HEADER_STRUCT.unpack_from(data, offset)
    if magic != MAGIC:
        raise ProtocolError(f"not an OpenMB frame: it begins with {magic.hex()}")
    if version != FRAME_VERSION:
        raise ProtocolError(f"frame version {version} is not {FRAME_VERSION}")
    if number not in _TYPES:
        raise ProtocolError(f"unknown message type {number}")
    if flags or reserved:
        raise ProtocolError(f"flags {flags:#x}, reserved {reserved:#x} must be 0")
    if length > limit:
        raise FrameTooLarge(length, limit)
    return Header(_TYPES[number], length, operation, sequence)


def packHeader(header: Header) -> bytes:
    """
    The 28 bytes of C{header}.

    @raise ProtocolError: a number does not fit.
    """
    try:
        return HEADER_STRUCT.pack(
            MAGIC, FRAME_VERSION, header.type, 0, 0, header.length, header.operation, header.sequence
        )
    except struct.error as error:
        raise ProtocolError(f"{header.type.name} cannot be framed: {error}") from error


class Deframer:
    """
    Cuts a stream of bytes into frames.  Every byte of a frame is copied once, however the stream was segmented.

    After a L{ProtocolError} it must not be fed again.
    """

    def __init__(self, limit: int = BODY_LIMIT) -> None:
        self._limit = limit
        self._pieces: deque[bytes | bytearray] = deque()
        self._start = 0  # bytes of the first piece that are used up
        self._size = 0
        self._header: Header | None = None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """
        Take C{data} at once; frames come out as the answer is iterated.

        @raise ProtocolError: while iterating, after the good frames before the bad one.
        """
        self._push(data)
        return self._frames()

    def _push(self, data: bytes) -> None:
        self._size += len(data)
        if len(data) >= _SMALL:
            self._pieces.append(data)
        elif self._pieces and isinstance(last := self._pieces[-1], bytearray) and len(last) < _GATHERED:
            last += data
        elif data:
            self._pieces.append(bytearray(data))

    def _frames(self) -> Iterator[Frame]:
        while (header := self._nextHeader()) is not None and self._size >= HEADER_SIZE + header.length:
            self._header = None
            yield Frame(header, self._take(HEADER_SIZE + header.length))

    def _nextHeader(self) -> Header | None:
        if self._header is None and self._size >= HEADER_SIZE:
            first = self._pieces[0]
            if len(first) - self._start >= HEADER_SIZE:
                self._header = parseHeader(first, self._start, self._limit)
            else:
                self._header = parseHeader(self._gather(HEADER_SIZE), 0, self._limit)
        return self._header

    def _gather(self, count: int) -> bytes:
        """The first C{count} bytes, left where they are."""
        parts, start = [], self._start
        for piece in self._pieces:
            part = piece[start : start + count]
            parts.append(part)
            count, start = count - len(part), 0
            if not count:
                break
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def _take(self, count: int) -> bytes:
        taken = self._gather(count)
        self._size -= count
        self._start += count
        while self._pieces and self._start >= len(self._pieces[0]):
            self._start -= len(self._pieces.popleft())
        return taken
