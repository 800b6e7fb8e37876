"""
Application parsers of connections: what the kernels found is fed to them, their rows come out.

A session exists for a connection only once there is data for it, so connections without it cost nothing. Imported
sessions stay bytes until the first packet that needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from openmb.plugins.bro.analyzers.http.parser import HTTPParser
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.analyzers.ssh import SSHWatcher
from openmb.plugins.bro.tracking.states import ANALYZER_HTTP, NEVER
from openmb.plugins.bro.tracking.work import (
    PIECE_CLEARED,
    PIECE_DATA,
    PIECE_ENDED,
    PIECE_HELD,
    PIECE_LOST,
    PIECE_RELEASED,
    PIECE_RESET,
)

#: Bytes that may wait for holes to be filled, both directions together, and what each packet of them costs besides.
#: More are treated as lost.  With what a parser keeps at most, a record always fits into one frame.
MOST_HELD, EACH_HELD = 384 << 10, 12


class IParser(Protocol):
    """What reads one connection's data; see L{HTTPParser}."""

    def data(self, originator: bool, data: bytes, now: int, size: int = 0) -> list[HTTPRow]:
        """In-order bytes."""

    def gap(self, originator: bool, length: int, now: int) -> list[HTTPRow]:
        """Bytes that were never seen."""

    def finished(self, originator: bool, now: int, size: int = 0) -> list[HTTPRow]:
        """The end of one direction."""

    def reset(self, now: int) -> list[HTTPRow]:
        """A RST."""

    def removed(self, now: int) -> list[HTTPRow]:
        """The end of the connection."""

    def skip(self, originator: bool) -> int:
        """How many bytes need not be delivered; -1 for all."""

    def skipped(self, originator: bool, length: int, now: int, size: int = 0) -> list[HTTPRow]:
        """Bytes that were passed over."""

    def dump(self) -> bytes:
        """The state."""


@dataclass(frozen=True, slots=True)
class Found:
    """
    One piece for a parser (see C{openmb.plugins.bro.tracking.work.Piece}).

    @ivar end: the endpoint of the native key that sent it, 0 for a.
    """

    kind: int
    originator: bool
    end: int
    stamp: int
    sequence: int
    length: int
    size: int


class Session:
    """
    The parser of one connection, and the bytes that wait for a hole to be filled.

    @ivar position: for each endpoint of the native key, the relative sequence number up to which the parser was fed.
    @ivar held: for each endpoint, bytes that came ahead of a hole: (sequence number, bytes), in order of arrival.
    """

    __slots__ = ("_analyzer", "_dump", "_parser", "_waiting", "held", "position")

    def __init__(self, analyzer: int, parser: IParser | None, dump: bytes = b"") -> None:
        self._analyzer, self._parser, self._dump = analyzer, parser, dump
        self.position = [1, 1]
        self.held: list[list[tuple[int, bytes]]] = [[], []]
        self._waiting = 0  # bytes of C{held}, as L{MOST_HELD} counts them

    @classmethod
    def fresh(cls, analyzer: int) -> Session:
        """The session of a connection that has just begun."""
        return cls(analyzer, HTTPParser() if analyzer == ANALYZER_HTTP else SSHWatcher())

    @classmethod
    def silent(cls, analyzer: int) -> Session:
        """What is left of a session whose parser threw: the connection goes on, nothing more is read of its data."""
        return cls(analyzer, HTTPParser.silent() if analyzer == ANALYZER_HTTP else SSHWatcher.silent())

    @classmethod
    def dumped(cls, analyzer: int, dump: bytes) -> Session:
        """A session whose parser was dumped elsewhere; L{load} says whether it is one."""
        return cls(analyzer, None, dump)

    def goOn(self, position: list[int], held: list[list[tuple[int, bytes]]]) -> None:
        """Take over what waited elsewhere."""
        self.position, self.held = position, held
        self._weigh()

    def _weigh(self) -> None:
        self._waiting = sum(len(data) + EACH_HELD for end in self.held for _, data in end)

    def load(self) -> None:
        """
        Make the parser of its dump: while an operation can still be refused, not when the first packet comes.

        @raise OperationError: what was imported is no parser's dump.
        """
        if self._parser is None:
            kind = HTTPParser if self._analyzer == ANALYZER_HTTP else SSHWatcher
            self._parser = kind.load(self._dump)
            self._dump = b""

    @property
    def parser(self) -> IParser:
        """
        The parser.

        @raise OperationError: what was imported is no parser's dump.
        """
        self.load()
        assert self._parser is not None
        return self._parser

    def dump(self) -> bytes:
        """The parser's state."""
        return self._dump if self._parser is None else self._parser.dump()

    @property
    def exceeded(self) -> bool:
        """Has an SSH connection shown an impossible packet length?"""
        return isinstance(self._parser, SSHWatcher) and self._parser.exceeded

    def take(self, found: Found, data: bytes) -> list[HTTPRow]:
        """Feed one piece; C{data} are its bytes where it has any."""
        if found.kind == PIECE_HELD:
            self._hold(found, data)
            return []
        if found.kind == PIECE_CLEARED:
            self.held[found.end].clear()
            self._weigh()
            return []
        if found.kind == PIECE_RESET:
            return self.parser.reset(found.stamp)
        if self.parser.skip(found.originator) < 0:
            # given up: the kernel tells nothing more of this side, but knows so only after the batch
            return []
        return self._pass(found) + self._deliver(found, data)

    def _hold(self, found: Found, data: bytes) -> None:
        """Keep bytes that came ahead of a hole, unless the parser will not want them, or too much waits."""
        if found.sequence + found.length <= self.wanted(found.originator, found.end):
            return
        cost = len(data) + EACH_HELD
        if self._waiting + cost <= MOST_HELD:
            self.held[found.end].append((found.sequence, data))
            self._waiting += cost

    def _pass(self, found: Found) -> list[HTTPRow]:
        """Tell the parser of bytes that the kernel left out."""
        missing = found.sequence - self.position[found.end]
        if missing <= 0:
            return []
        self.position[found.end] = found.sequence
        return self.parser.skipped(found.originator, missing, found.stamp, found.size)

    def _deliver(self, found: Found, data: bytes) -> list[HTTPRow]:
        if found.kind == PIECE_ENDED:
            return self.parser.finished(found.originator, found.stamp, found.size)
        if found.kind == PIECE_DATA:
            self.position[found.end] = found.sequence + found.length
            return self.parser.data(found.originator, data, found.stamp, found.size)
        if found.kind == PIECE_LOST:
            self.position[found.end] = found.sequence + found.length
            return self.parser.gap(found.originator, found.length, found.stamp)
        if found.kind == PIECE_RELEASED:
            return self._release(found)
        return []

    def _release(self, found: Found) -> list[HTTPRow]:
        """Put together held bytes and feed them; of bytes that came twice the first copy counts."""
        rows: list[HTTPRow] = []
        position, until = found.sequence, found.sequence + found.length
        while position < until:
            data = self._heldAt(found.end, position)[: until - position]
            if data:
                rows += self.parser.data(found.originator, data, found.stamp, found.size)
                position += len(data)
            else:
                later = min((start for start, _ in self.held[found.end] if start > position), default=until)
                missing = min(later, until) - position
                rows += self._miss(found, missing)
                position += missing
        self.position[found.end] = until
        self.held[found.end] = [one for one in self.held[found.end] if one[0] + len(one[1]) > until]
        self._weigh()
        return rows

    def _miss(self, found: Found, length: int) -> list[HTTPRow]:
        """Bytes that were not kept: not wanted, or too many."""
        if self.parser.skip(found.originator) > 0:
            return self.parser.skipped(found.originator, length, found.stamp, found.size)
        return self.parser.gap(found.originator, length, found.stamp)

    def _heldAt(self, end: int, position: int) -> bytes:
        """Held bytes from C{position} on, up to where an earlier copy begins."""
        for place, (start, data) in enumerate(self.held[end]):
            if start <= position < start + len(data):
                earlier = [one for one, _ in self.held[end][:place] if one > position]
                return data[position - start : min(earlier, default=start + len(data)) - start]
        return b""

    def wanted(self, originator: bool, end: int) -> int:
        """The relative sequence number below which the parser wants nothing more."""
        skip = self.parser.skip(originator)
        if skip < 0:
            return int(NEVER)
        return self.position[end] + skip if skip else 0
