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

#: The column that says to which connection a row belongs.
UID = "uid"


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
class Compared:
    """
    What the comparison of one log found.

    @ivar columns: how many the log has.
    @ivar rows: how many the reference has.
    @ivar split: how many each instance wrote.
    @ivar alike: whoever wrote the log gave it the same columns.
    @ivar missing: rows that only the reference has.
    @ivar surplus: rows that the reference does not have.
    @ivar disordered: flows, by their uid, whose rows stand in another order.
    """

    columns: int
    rows: int
    split: tuple[int, ...]
    alike: bool
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    disordered: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """It is the reference's."""
        return self.alike and not (self.missing or self.surplus or self.disordered)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the comparison found.

    @ivar logs: every log that anyone wrote, by its name.
    """

    logs: Mapping[str, Compared]

    @property
    def equal(self) -> bool:
        """The logs agree, and there was something to compare."""
        return self.rows > 0 and all(log.equal for log in self.logs.values())

    @property
    def rows(self) -> int:
        """Rows of the reference."""
        return sum(log.rows for log in self.logs.values())

    @property
    def missing(self) -> list[str]:
        """Rows that only the reference has, each with its log's name."""
        return [f"{name}: {row}" for name, log in self.logs.items() for row in log.missing]

    @property
    def surplus(self) -> list[str]:
        """Rows that the reference does not have, each with its log's name."""
        return [f"{name}: {row}" for name, log in self.logs.items() for row in log.surplus]

    @property
    def disordered(self) -> list[str]:
        """Flows whose rows stand in another order: log and uid."""
        return [f"{name} {uid}" for name, log in self.logs.items() for uid in log.disordered]

    @property
    def unlike(self) -> list[str]:
        """Logs whose columns are not the same wherever they were written."""
        return [name for name, log in self.logs.items() if not log.alike]


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
    Hold the logs in the directories C{instances} together against those of C{reference}: every log that is in any of
    these directories.

    Rows are compared whole, as multisets; and the rows of each flow must come in the reference's order, where the
    second instance's rows stand in one piece somewhere among the first one's (the flow went there and came back). Rows
    of a log without uids belong to no flow and have no order.
    """
    wanted, parts = readLogs(reference), [readLogs(each) for each in instances]
    names = sorted({name for logs in (wanted, *parts) for name in logs})
    absent = Log((), ())
    return Verdict(
        {name: _compareLog(wanted.get(name, absent), [part.get(name, absent) for part in parts]) for name in names}
    )


def _compareLog(wanted: Log, parts: Sequence[Log]) -> Compared:
    together = [row for part in parts for row in part.rows]
    layouts = {log.columns for log in (wanted, *parts) if log.columns}
    return Compared(
        max((len(columns) for columns in layouts), default=0),
        len(wanted.rows),
        tuple(len(part.rows) for part in parts),
        len(layouts) < 2,
        _only(wanted.rows, together),
        _only(together, wanted.rows),
        tuple(_disordered(wanted, parts)),
    )


def _only(these: Iterable[tuple[str, ...]], those: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(" ".join(row) for row in (Counter(these) - Counter(those)).elements())


def _byFlow(log: Log) -> dict[str, list[tuple[str, ...]]]:
    flows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    if UID in log.columns:
        for uid, row in zip(log.column(UID), log.rows, strict=True):
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


def pendingMoved(log: Log, server: str, before: int, after: int) -> int:
    """
    How many requests to C{server} have their row in this instance's C{log} (of requests or of queries) although they
    were seen, before C{before} (nanoseconds) and after C{after}, by the other one.
    """
    if not log.rows:
        return 0
    stamps = (int(Decimal(stamp) * 1_000_000_000) for stamp in log.column("ts"))
    return sum(
        address == server and after < stamp < before
        for stamp, address in zip(stamps, log.column("id.resp_h"), strict=True)
    )
