"""
Lines of text protocols, from any segmentation.

Two rules exist. Mostly a line ends with CR LF, a lone CR or a lone LF; the CR ends it at once and an LF that comes next
is swallowed. Where telnet lies beneath (FTP), only LF ends a line, a CR before it belongs to the end, and telnet's
options are taken out of the stream. An unterminated last line counts once its direction has ended.

No rule of ours looks beyond the first L{LONGEST} bytes of a line, so no more of it is kept.
"""

from __future__ import annotations

import re
from typing import Any

from construct import Flag, GreedyBytes, Int8ul, Int16ul, Prefixed, Struct

from openmb.plugins.bro.analyzers.analyzer import Analyzer, Sign, Surroundings
from openmb.plugins.bro.reading import check

#: Bytes of a line that are looked at.
LONGEST = 8192

READER = Struct(
    "buffer" / Prefixed(Int16ul, GreedyBytes) * "what is known of the unfinished line",
    "swallow" / Flag * "an LF that comes next belongs to the line before",
    "nulls" / Flag * "the next NUL byte will be the first, which is left out",
    "option" / Prefixed(Int8ul, GreedyBytes) * "the beginning of an unfinished telnet option",
)

_OPTION = re.compile(
    rb"\xff(?:\xff|[\xfb-\xfe].|\xfa(?:[^\xff]|\xff\xff)*(?:\xff\xf0|(?=\xff[^\xff\xf0]))|[^\xff\xfa-\xfe])", re.DOTALL
)
_UNFINISHED = re.compile(rb"\xff(?:[\xfb-\xfe]|\xfa(?:[^\xff]|\xff\xff)*(\xff)?)?\Z", re.DOTALL)
_OPTIONS = (b"", b"\xff", b"\xff\xfb", b"\xff\xfc", b"\xff\xfd", b"\xff\xfe", b"\xff\xfa", b"\xff\xfa\xff")


def nextDot(lines: list[bytes], place: int) -> int:
    """The next line from C{place} on that is a single dot, or the number of lines."""
    try:
        return lines.index(b".", place)
    except ValueError:
        return len(lines)


class LineReader:
    """
    One direction's lines.

    @param telnet: the second rule, else the first.
    @param nulls: leave out the first NUL byte ever.
    """

    __slots__ = ("_telnet", "buffer", "nulls", "option", "swallow")

    def __init__(self, telnet: bool = False, nulls: bool = False) -> None:
        self._telnet, self.nulls = telnet, nulls
        self.buffer = self.option = b""
        self.swallow = False

    def take(self, data: bytes) -> list[bytes]:
        """The lines that end here, without their ends."""
        if self._telnet:
            return self._ofTelnet(data)
        if self.swallow and data:
            self.swallow = False
            data = data[1:] if data[:1] == b"\n" else data
        if not data:
            return []
        lines = data.splitlines()
        lines[0] = self.buffer + lines[0]
        last = data[-1:]
        self.swallow = last == b"\r"
        self.buffer = b"" if last in b"\r\n" else lines.pop()[:LONGEST]
        return self._cleaned(lines) if self.nulls else lines

    def _ofTelnet(self, data: bytes) -> list[bytes]:
        if self.option or b"\xff" in data:
            data = self._withoutOptions(self.option + data)
        lines = (self.buffer + data).split(b"\n")
        self.buffer = lines.pop()[:LONGEST]
        lines = [line[:-1] if line[-1:] == b"\r" else line for line in lines]
        return self._cleaned(lines)

    def _withoutOptions(self, data: bytes) -> bytes:
        kept: list[bytes] = []
        self.option, place = b"", 0
        while (start := data.find(b"\xff", place)) >= 0:
            kept.append(data[place:start])
            found = _OPTION.match(data, start)
            if found is None:
                tail = _UNFINISHED.match(data, start)
                self.option = data[start : start + 2] + (tail[1] or b"" if tail else b"")
                return b"".join(kept)
            if data[start + 1] == 255:
                kept.append(b"\xff")
            place = found.end()
        return b"".join(kept) + data[place:]

    def _cleaned(self, lines: list[bytes]) -> list[bytes]:
        """Without the NUL bytes that do not count."""
        for number, line in enumerate(lines):
            if b"\0" in line:
                cleaned = line.replace(b"\r\0", b"\r") if self._telnet else line
                lines[number] = cleaned.replace(b"\0", b"", 1) if self.nulls else cleaned
                self.nulls = self.nulls and b"\0" not in cleaned
        return lines

    def finish(self) -> list[bytes]:
        """The unterminated last line."""
        return self.take(b"\n") if self.buffer else []

    def dump(self) -> dict[str, object]:
        """For L{READER}."""
        return {"buffer": self.buffer, "swallow": self.swallow, "nulls": self.nulls, "option": self.option}

    def load(self, state: Any, what: str) -> None:
        """Go on where another stopped."""
        self.buffer, self.swallow = bytes(state["buffer"]), bool(state["swallow"])
        self.nulls, self.option = bool(state["nulls"]), bytes(state["option"])
        check(len(self.buffer) <= LONGEST and self.option in (_OPTIONS if self._telnet else (b"",)), what)
        check(not (b"\n" in self.buffer or (b"\r" in self.buffer and not self._telnet)), what)


class LineAnalyzer(Analyzer):
    """
    Analysers of lines.

    @ivar readers: originator's and responder's.
    @ivar confirmed: said so.
    @ivar over: nothing that may come has any effect.
    """

    __slots__ = ("confirmed", "over", "readers")

    def __init__(self, around: Surroundings, telnet: bool = False, nulls: bool = False) -> None:
        super().__init__(around)
        self.readers = LineReader(telnet, nulls), LineReader(telnet, nulls)
        self.confirmed = self.over = False

    def confirm(self) -> None:
        """The protocol is spoken."""
        if not self.confirmed:
            self.confirmed = True
            self.findings.append(Sign.CONFIRMED)

    def common(self) -> dict[str, object]:
        """For the formats of analysers: what all of them keep."""
        readers = [reader.dump() for reader in self.readers]
        return {"over": self.over, "confirmed": self.confirmed, "readers": readers}

    def resume(self, state: Any, what: str) -> None:
        """The inverse of L{common}."""
        for reader, old in zip(self.readers, state["readers"], strict=True):
            reader.load(old, what)
        self.over, self.confirmed = bool(state["over"]), bool(state["confirmed"])

    def lines(self, originator: bool, lines: list[bytes]) -> None:
        """Whole lines of one direction, at least one; analysers say here what they are."""

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """In-order bytes."""
        if not self.over:
            lines = self.readers[not originator].take(data)
            if lines:
                self.lines(originator, lines)

    def finished(self, originator: bool, now: int) -> None:
        """The last line counts also without an end."""
        if not self.over:
            lines = self.readers[not originator].finish()
            if lines:
                self.lines(originator, lines)

    def skip(self, originator: bool) -> int:
        """All, or nothing: lines have no length."""
        return -1 if self.over else 0

    def skipped(self, originator: bool, length: int, now: int) -> None:
        """Nothing is ever passed over but gaps."""
        if not self.over:
            self.gap(originator, length, now)
