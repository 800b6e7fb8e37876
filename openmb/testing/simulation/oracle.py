"""
The oracle: the union of the outputs of all instances equals the output of one instance that saw all the packets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of output.

    @ivar log: which log.
    @ivar flow: the flow it is about, canonical (the same text for both directions).
    @ivar line: the whole line, ids included.
    """

    log: str
    flow: str
    line: str


def differences(
    expected: Iterable[Row], actual: Iterable[Row], tainted: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """
    What is wrong with C{actual} (in the order in which all instances together wrote), in words; empty when nothing is.

    Flows in C{tainted} were lost in part with a middlebox that died: for them only repeats are wrong.
    """
    wanted, got = list(expected), list(actual)
    lost = Counter(row for row in wanted if row.flow not in tainted)
    lost.subtract(row for row in got if row.flow not in tainted)
    found = [f"missing {n}: {row.log} {row.line}" for row, n in lost.items() if n > 0]
    found += [f"unexpected {-n}: {row.log} {row.line}" for row, n in lost.items() if n < 0]
    found += [f"repeated: {row.log} {row.line}" for row, n in Counter(got).items() if n > 1 and row.flow in tainted]
    return tuple(found) or disorder(wanted, got, tainted)


def disorder(wanted: list[Row], got: list[Row], tainted: frozenset[str]) -> tuple[str, ...]:
    """Flows whose rows of one log came in another order."""
    found = []
    orders = sequences(wanted, tainted), sequences(got, tainted)
    for key, lines in orders[0].items():
        if orders[1].get(key) != lines:
            found.append(f"order of {key[0]} for {key[1]}: {lines} became {orders[1].get(key)}")
    return tuple(found)


def sequences(rows: list[Row], tainted: frozenset[str]) -> dict[tuple[str, str], list[str]]:
    """The lines of each flow in each log, in order."""
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        if row.flow not in tainted:
            lines[row.log, row.flow].append(row.line)
    return lines
