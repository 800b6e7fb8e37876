"""
What stands in a log's file: its lines as they are, or compressed.

Compressed, what is handed to the operating system at one time is a whole member of a gzip file (RFC 1952, section 2.2).
Members follow each other: a file whose writer was killed can be read up to the last flush, and one that is gone on with
is one file.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections import deque
from pathlib import Path

_BLOCK = 1 << 16
#: For C{zlib.decompressobj}: a gzip member.
_GZIP = 31


class PlainLines:
    """
    Lines as they are.

    @ivar suffix: after C{.log} in the file's name.
    """

    suffix = ""

    def encode(self, lines: bytes) -> bytes:
        """Whole lines as they are written."""
        return lines

    def written(self, data: bytes, taken: int) -> int:
        """How many lines are whole with the first C{taken} bytes of C{data}, which come next."""
        return data.count(b"\n", 0, taken)

    def mend(self, file: Path) -> None:
        """Cut off the part of a row at the end: a process left it there that was killed, or had no room."""
        with file.open("r+b") as log:
            size = end = log.seek(0, os.SEEK_END)
            while end > 0:
                begin = max(0, end - _BLOCK)
                log.seek(begin)
                place = log.read(end - begin).rfind(b"\n")
                if place >= 0:
                    end = begin + place + 1
                    break
                end = begin
            if end < size:
                log.truncate(end)


class ZippedLines:
    """
    Lines in members of a gzip file.

    @param level: 1 (fast) to 9 (small).
    """

    suffix = ".gz"

    def __init__(self, level: int) -> None:
        self._level = level
        self._members: deque[tuple[int, int]] = deque()  # bytes that are not written, and lines, of each member
        self._taken = 0  # bytes of the first one that are written

    def encode(self, lines: bytes) -> bytes:
        """As L{PlainLines.encode}."""
        member = gzip.compress(lines, self._level, mtime=0)
        self._members.append((len(member), lines.count(b"\n")))
        return member

    def written(self, data: bytes, taken: int) -> int:
        """As L{PlainLines.written}; the lines of a member are whole when it is."""
        self._taken += taken
        lines = 0
        while self._members and self._taken >= self._members[0][0]:
            size, count = self._members.popleft()
            self._taken -= size
            lines += count
        return lines

    def mend(self, file: Path) -> None:
        """Cut off the part of a member at the end."""
        with file.open("r+b") as log:
            size = log.seek(0, os.SEEK_END)
            end = _wholeMembers(file)
            if end < size:
                log.truncate(end)


def _wholeMembers(file: Path) -> int:
    """How many bytes of a gzip file are whole members."""
    whole, reader = 0, zlib.decompressobj(_GZIP)
    with file.open("rb") as log:
        place = 0
        while data := log.read(_BLOCK):
            while data:
                try:
                    reader.decompress(data)
                except zlib.error:
                    return whole
                if not reader.eof:
                    place += len(data)
                    break
                place += len(data) - len(reader.unused_data)
                whole, data, reader = place, reader.unused_data, zlib.decompressobj(_GZIP)
    return whole


#: Either encoding.
Encoding = PlainLines | ZippedLines


def encodingOf(level: int) -> Encoding:
    """Of a compression level; 0: none."""
    return ZippedLines(level) if level else PlainLines()
