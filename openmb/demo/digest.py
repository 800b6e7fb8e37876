"""
The verdict over logs of any length: as in C{openmb.demo.verdict}, but rows are held as 64-bit digests, not as text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Rows of each kind of difference that are looked up again as text.
SHOWN = 5

#: How the line with the names of the columns begins, and the column that says to which connection a row belongs.
_NAMES, _UID = b"#fields\t", b"uid"
_ROW = np.dtype([("row", "<u8"), ("uid", "<u8")])


@dataclass(frozen=True, slots=True)
class LongVerdict:
    """
    What the comparison found.

    @ivar rows: for each log that anyone wrote, how many rows the reference has, and how many each instance.
    @ivar unlike: logs whose columns are not the same wherever they were written.
    @ivar missing: @ivar surplus: how many rows only the reference has, or only the instances; of both the first few.
    @ivar repeated: rows that stand in the instances' logs more often than in the reference's.
    @ivar disordered: flows whose rows do not stand in the reference's order in one of the logs.
    """

    rows: dict[str, tuple[int, ...]]
    unlike: tuple[str, ...]
    missing: int
    surplus: int
    repeated: int
    disordered: int
    examples: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """The logs agree, and there was something to compare."""
        wrong = self.unlike or self.missing or self.surplus or self.repeated or self.disordered
        return bool(sum(counts[0] for counts in self.rows.values())) and not wrong


def compareLong(instances: Sequence[Path], reference: Path) -> LongVerdict:
    """Hold every log that is in one of the directories C{instances} or in C{reference} against the latter's."""
    folders = (reference, *instances)
    names = sorted({path.stem for folder in folders for path in folder.glob("*.log")})
    unlike = tuple(name for name in names if len({columnsOf(each / f"{name}.log") for each in folders} - {()}) > 1)
    rows: dict[str, tuple[int, ...]] = {}
    missed = extra = again = disordered = 0
    examples: list[str] = []
    for name in names:
        wanted, parts = digests(reference / f"{name}.log"), [digests(each / f"{name}.log") for each in instances]
        rows[name] = (len(wanted), *map(len, parts))
        together = np.concatenate(parts)
        missing, surplus = _only(wanted["row"], together["row"]), _only(together["row"], wanted["row"])
        repeated = surplus[np.isin(surplus, wanted["row"])]
        missed, extra, again = missed + len(missing), extra + len(surplus), again + len(repeated)
        disordered += sum(_disordered(wanted, part) for part in parts)
        examples += [f"only the reference: {row}" for row in _find(reference / f"{name}.log", missing)]
        for each in instances:
            examples += [f"only {each.name}: {row}" for row in _find(each / f"{name}.log", surplus)]
    return LongVerdict(rows, unlike, missed, extra, again, disordered, tuple(examples))


def columnsOf(log: Path) -> tuple[bytes, ...]:
    """The names of a log's columns; none if there is no such file, or it has none."""
    if not log.exists():
        return ()
    with log.open("rb") as file:
        named = next((line for line in file if line.startswith(_NAMES)), _NAMES)
    return tuple(named.rstrip(b"\n").split(b"\t")[1:])


def digests(log: Path) -> NDArray[np.void]:
    """
    The digests of each row and of its flow's uid, in order; none if there is no such file.

    In a log without uids each row is a flow of its own: it has no order.
    """
    if not log.exists():
        return np.zeros(0, _ROW)
    columns = columnsOf(log)
    place = columns.index(_UID) if _UID in columns else None
    with log.open("rb") as file:
        rows = (line for line in file if not line.startswith(b"#"))
        found = [(_digest(row), _digest(row if place is None else _field(row, place))) for row in rows]
    return np.array(found, _ROW)


def _field(row: bytes, place: int) -> bytes:
    """One field; none of a row that is too short, which no row of the reference equals."""
    fields = row.rstrip(b"\n").split(b"\t", place + 1)
    return fields[place] if place < len(fields) else b""


def _digest(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _only(these: NDArray[np.uint64], those: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """What is in C{these} more often than in C{those}, each as often as that."""
    values, counts = np.unique(these, return_counts=True)
    others, otherCounts = np.unique(those, return_counts=True)
    more = counts.astype(np.int64)
    _, here, there = np.intersect1d(values, others, assume_unique=True, return_indices=True)
    more[here] -= otherCounts[there]
    return np.repeat(values, np.maximum(more, 0))


def _disordered(wanted: NDArray[np.void], part: NDArray[np.void]) -> int:
    """How many flows have rows in C{part} in another order than in C{wanted}; rows that it lacks do not count."""
    order = np.argsort(wanted["row"], kind="stable")
    place = np.searchsorted(wanted["row"][order], part["row"])
    known = place < len(order)
    known[known] = wanted["row"][order][place[known]] == part["row"][known]
    positions, uids = order[place[known]], part["uid"][known]
    byFlow = np.argsort(uids, kind="stable")
    back = (np.diff(positions[byFlow]) < 0) & (np.diff(uids[byFlow].astype(np.int64)) == 0)
    return len(np.unique(uids[byFlow][1:][back]))


def _find(log: Path, wanted: NDArray[np.uint64]) -> list[str]:
    """The first rows with one of these digests, as text."""
    found: list[str] = []
    known = set(wanted.tolist())
    if not known or not log.exists():
        return found
    with log.open("rb") as file:
        for line in file:
            if not line.startswith(b"#") and _digest(line) in known:
                found.append(line.decode(errors="replace").rstrip("\n"))
                if len(found) == SHOWN:
                    break
    return found
