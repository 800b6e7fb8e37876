"""
Bytes that came ahead of a hole, until it is filled.

What touches is one run; the runs of a direction are sorted and do not overlap.  So a segment costs a search among at
most L{MOST_RUNS} runs, whatever the order in which segments come.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from openmb.plugins.bro.tracking.states import BLOCK_LIMIT

#: Bytes that may wait for holes to be filled, both directions together, and what each piece of them costs besides.
#: More are treated as lost. With what analysers keep at most, a record always fits into one frame.
MOST_HELD, EACH_HELD = 384 << 10, 12

#: Runs of one direction; what would begin another is treated as lost. The kernel gives up at as many ranges.
MOST_RUNS = BLOCK_LIMIT


@dataclass(slots=True)
class _Run:
    """Bytes without a hole, from relative sequence number C{start} up to C{end}, in pieces as they came."""

    start: int
    end: int
    pieces: deque[bytes] = field(default_factory=deque)

    def cut(self, until: int) -> bytes:
        """Take out and return the bytes before C{until}, which is not beyond the end."""
        if until >= self.end:
            whole = b"".join(self.pieces)
            self.pieces.clear()
        else:
            whole = b"".join(self._before(until))
        self.start = max(self.start, until)
        return whole

    def _before(self, until: int) -> Iterator[bytes]:
        place = self.start
        while place < until:
            piece = self.pieces.popleft()
            if place + len(piece) > until:
                self.pieces.appendleft(piece[until - place :])
                piece = piece[: until - place]
            place += len(piece)
            yield piece


def _startOf(run: _Run) -> int:
    return run.start


class Ahead:
    """
    Both directions of one connection.

    @param held: for each endpoint of the native key, (relative sequence number, bytes).
    @ivar weight: what waits, in bytes, with L{EACH_HELD} for each piece; at most L{MOST_HELD}.
    """

    __slots__ = ("_runs", "weight")

    def __init__(self, held: Sequence[Sequence[tuple[int, bytes]]] = ((), ())) -> None:
        self._runs: list[list[_Run]] = [[], []]
        self.weight = 0
        for end in range(2):
            for sequence, data in held[end]:
                self.hold(end, sequence, data)

    @property
    def isWaiting(self) -> bool:
        """Is anything held?"""
        return self.weight > 0

    def held(self, end: int) -> list[tuple[int, bytes]]:
        """The pieces of one end with their relative sequence numbers, ascending."""
        found = []
        for run in self._runs[end]:
            place = run.start
            for piece in run.pieces:
                found.append((place, piece))
                place += len(piece)
        return found

    def hold(self, end: int, sequence: int, data: bytes) -> None:
        """Keep bytes, unless too much waits. Of bytes that came twice the first copy counts."""
        runs, until = self._runs[end], sequence + len(data)
        place = sequence
        at = bisect_right(runs, place, key=_startOf)
        while place < until:
            if at and runs[at - 1].end > place:
                place = runs[at - 1].end
                continue
            following = runs[at].start if at < len(runs) else until
            stop = min(following, until)
            if stop > place:
                at = self._store(runs, at, place, data[place - sequence : stop - sequence])
            place = stop
            if at < len(runs) and runs[at].start <= place:
                at += 1

    def _store(self, runs: list[_Run], at: int, start: int, data: bytes) -> int:
        """Put bytes that nobody holds before the run C{at}, or to one that they touch; where the next run is then."""
        if self.weight + len(data) + EACH_HELD > MOST_HELD:
            return at
        end = start + len(data)
        before = runs[at - 1] if at and runs[at - 1].end == start else None
        after = runs[at] if at < len(runs) and runs[at].start == end else None
        if before is not None:
            before.pieces.append(data)
            before.end = end
            if after is not None:
                self._join(runs, at)
        elif after is not None:
            after.pieces.appendleft(data)
            after.start = start
        elif len(runs) >= MOST_RUNS:
            return at
        else:
            runs.insert(at, _Run(start, end, deque((data,))))
            at += 1
        self.weight += len(data) + EACH_HELD
        return at

    @staticmethod
    def _join(runs: list[_Run], at: int) -> None:
        """The run C{at} touches the one before it: they are one; the shorter list of pieces is moved."""
        before, after = runs[at - 1], runs.pop(at)
        if len(before.pieces) >= len(after.pieces):
            before.pieces.extend(after.pieces)
        else:
            after.pieces.extendleft(reversed(before.pieces))
            before.pieces = after.pieces
        before.end = after.end

    def clear(self, end: int) -> None:
        """Keep nothing of this end."""
        for run in self._runs[end]:
            self._lighten(run)
        self._runs[end].clear()

    def _lighten(self, run: _Run, sign: int = 1) -> None:
        self.weight -= sign * (run.end - run.start + EACH_HELD * len(run.pieces))

    def release(self, end: int, position: int, until: int) -> list[bytes | int]:
        """
        What is there from C{position} to C{until}, in order: bytes, or how many were not kept. Afterwards it is
        forgotten, and so is what lies before.
        """
        found: list[bytes | int] = []
        runs, count = self._runs[end], 0
        while count < len(runs) and runs[count].start < until:
            run = runs[count]
            self._lighten(run)
            run.cut(min(position, run.end))
            if run.start > position:
                found.append(run.start - position)
            if run.start < run.end:
                position = min(run.end, until)
                found.append(run.cut(position))
            if run.start < run.end:
                self._lighten(run, -1)
                break
            count += 1
        del runs[:count]
        if position < until:
            found.append(until - position)
        return found
