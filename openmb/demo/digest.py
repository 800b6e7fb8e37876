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

_ROW = np.dtype([("row", "<u8"), ("uid", "<u8")])
_UID = 1


@dataclass(frozen=True, slots=True)
class LongVerdict:
    """
    What the comparison found.

    @ivar rows: for each log, how many rows the reference has, and how many each instance.
    @ivar missing: @ivar surplus: how many rows only the reference has, or only the instances; of both the first few.
    @ivar repeated: rows that stand in the instances' logs more often than in the reference's.
    @ivar disordered: flows whose rows do not stand in the reference's order in one of the logs.
    """

    rows: dict[str, tuple[int, ...]]
    missing: int
    surplus: int
    repeated: int
    disordered: int
    examples: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """The logs agree, and there was something to compare."""
        wrong = self.missing or self.surplus or self.repeated or self.disordered
        return bool(sum(counts[0] for counts in self.rows.values())) and not wrong


def compareLong(instances: Sequence[Path], reference: Path) -> LongVerdict:
    """Hold the logs of the directories C{instances} together against those of C{reference}."""
    names = sorted({path.stem for folder in (reference, *instances) for path in folder.glob("*.log")})
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
    return LongVerdict(rows, missed, extra, again, disordered, tuple(examples))


def digests(log: Path) -> NDArray[np.void]:
    """The digests of each row and of its flow's uid, in order; none if there is no such file."""
    if not log.exists():
        return np.zeros(0, _ROW)
    with log.open("rb") as file:
        found = [(_digest(line), _digest(line.split(b"\t", 2)[_UID])) for line in file if not line.startswith(b"#")]
    return np.array(found, _ROW)


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
