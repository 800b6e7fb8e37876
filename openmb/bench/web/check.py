"""
Logs against what must be in them: how many rows agree, and which do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openmb.bench.web.truth import CONN, DNS, HTTP, Truth
from openmb.demo.verdict import readLog

#: Rows of each sort that are kept as examples.
SHOWN = 5
#: The first columns, time and ends, say which row it is.
KEY = 5
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """
    One log against the truth.

    @ivar expected: rows that must be there.
    @ivar found: rows that are there.
    @ivar agreeing: rows that are equal in every compared column.
    @ivar missing: some rows that should be there.
    @ivar surplus: some rows that should not.
    @ivar columns: for rows that are there but differ: in which column how many do, the most first.
    """

    log: str
    expected: int
    found: int
    agreeing: int
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    columns: tuple[tuple[str, int], ...]

    @property
    def isComplete(self) -> bool:
        """Every row is there, and no other; and there was something to compare."""
        return 0 < self.expected == self.found == self.agreeing


def checkLogs(folder: Path, truth: Truth) -> tuple[Agreement, ...]:
    """
    All three logs in C{folder}; one that is not there has no rows.

    @raise CaptureError: a file is not such a log.
    """
    logs = (("conn.log", CONN, truth.conn), ("http.log", HTTP, truth.http), ("dns.log", DNS, truth.dns))
    return tuple(_agreement(folder / name, columns, rows) for name, columns, rows in logs)


def _agreement(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> Agreement:
    wanted, found = Counter(rows), _chosen(path, columns)
    missing, surplus = wanted - found, found - wanted
    examples, differing = (_examples(missing), _examples(surplus)), _differing(columns, missing, surplus)
    return Agreement(path.name, wanted.total(), found.total(), (wanted & found).total(), *examples, differing)


def _differing(columns: Sequence[str], missing: Counter[Row], surplus: Counter[Row]) -> tuple[tuple[str, int], ...]:
    """Rows of one time and connection belong together."""
    places = {row[:KEY]: row for row in surplus.elements()}
    pairs = ((row, places[row[:KEY]]) for row in missing.elements() if row[:KEY] in places)
    counts = Counter(
        name for pair in pairs for name, ours, theirs in zip(columns, *pair, strict=True) if ours != theirs
    )
    return tuple(counts.most_common())


def _chosen(path: Path, columns: Sequence[str]) -> Counter[Row]:
    """The rows of a log in these columns; a column that the log does not have is unset."""
    log = readLog(path)
    places = [log.columns.index(name) if name in log.columns else -1 for name in columns]
    return Counter(tuple(row[place] if place >= 0 else "-" for place in places) for row in log.rows)


def _examples(rows: Counter[Row]) -> tuple[str, ...]:
    return tuple(" ".join(row) for row in sorted(rows)[:SHOWN])
