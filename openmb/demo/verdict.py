"""
The verdict: the logs of two instances together against those of the one that saw everything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from openmb.errors import CaptureError


@dataclass(frozen=True, slots=True)
class Log:
    """One log: names of the columns, and the rows as they stand, in order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> list[str]:
        """One column's fields."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the comparison found.

    @ivar rows: for each log, how many rows the reference has.
    @ivar split: for each log, how many rows each instance wrote.
    @ivar missing: rows that only the reference has.
    @ivar surplus: rows that the reference does not have.
    @ivar disordered: flows (log and uid) whose rows stand in another order.
    """

    rows: Mapping[str, int]
    split: Mapping[str, tuple[int, ...]]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    disordered: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """The logs agree, and there was something to compare."""
        return bool(sum(self.rows.values())) and not (self.missing or self.surplus or self.disordered)


def readLog(path: Path) -> Log:
    """
    A log of tab-separated values; one that was never written is empty.

    @raise CaptureError: the file is not such a log.
    """
    if not path.exists():
        return Log((), ())
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#fields\t"):
            columns = tuple(line.split("\t")[1:])
        elif not line.startswith("#"):
            rows.append(tuple(line.split("\t")))
    if any(len(row) != len(columns) for row in rows):
        raise CaptureError(f"{path} has rows that do not fit its columns")
    return Log(columns, tuple(rows))


def readLogs(directory: Path) -> dict[str, Log]:
    """Every log of C{directory} by its name."""
    return {path.stem: readLog(path) for path in sorted(directory.glob("*.log"))}


def compare(instances: Sequence[Path], reference: Path) -> Verdict:
    """
    Hold the logs in the directories C{instances} together against those of C{reference}.

    Rows are compared whole, as multisets; and the rows of each flow must come in the reference's order, where the
    second instance's rows stand in one piece somewhere among the first one's (the flow went there and came back).
    """
    wanted, parts = readLogs(reference), [readLogs(each) for each in instances]
    names = sorted({name for logs in (wanted, *parts) for name in logs})
    missing: list[str] = []
    surplus: list[str] = []
    disordered: list[str] = []
    for name in names:
        expected = wanted.get(name, Log((), ()))
        logs = [part.get(name, Log((), ())) for part in parts]
        missing += _only(expected.rows, [row for log in logs for row in log.rows], name)
        surplus += _only([row for log in logs for row in log.rows], expected.rows, name)
        disordered += [f"{name} {uid}" for uid in _disordered(expected, logs)]
    rows = {name: len(wanted[name].rows) for name in names if name in wanted}
    split = {name: tuple(len(part[name].rows) if name in part else 0 for part in parts) for name in names}
    return Verdict(rows, split, tuple(missing), tuple(surplus), tuple(disordered))


def _only(these: Iterable[tuple[str, ...]], those: Iterable[tuple[str, ...]], name: str) -> list[str]:
    return [f"{name}: {' '.join(row)}" for row in (Counter(these) - Counter(those)).elements()]


def _byFlow(log: Log) -> dict[str, list[tuple[str, ...]]]:
    flows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    if log.rows:
        for uid, row in zip(log.column("uid"), log.rows, strict=True):
            flows[uid].append(row)
    return flows


def _disordered(reference: Log, logs: Sequence[Log]) -> list[str]:
    parts = [_byFlow(log) for log in logs]
    return [uid for uid, rows in _byFlow(reference).items() if not _fits(rows, [part.get(uid, []) for part in parts])]


def _fits(rows: list[tuple[str, ...]], parts: list[list[tuple[str, ...]]]) -> bool:
    """Are C{rows} the first part with all others, in their order, in one piece somewhere in it?"""
    first, rest = parts[0], [row for part in parts[1:] for row in part]
    if Counter(rows) != Counter(first + rest):
        return True  # missing or surplus: said elsewhere
    return any(first[:place] + rest + first[place:] == rows for place in range(len(first) + 1))


def pendingMoved(http: Log, server: str, before: int, after: int) -> int:
    """
    How many requests to C{server} have their row in this instance's C{http} log although they were seen, before
    C{before} (nanoseconds) and after C{after}, by the other one.
    """
    if not http.rows:
        return 0
    stamps = (int(Decimal(stamp) * 1_000_000_000) for stamp in http.column("ts"))
    return sum(
        address == server and after < stamp < before
        for stamp, address in zip(stamps, http.column("id.resp_h"), strict=True)
    )
