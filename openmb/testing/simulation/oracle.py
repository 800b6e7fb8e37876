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
    @ivar packets: how many packets it accounts for; 0 in logs that are not about packets.
    """

    log: str
    flow: str
    line: str
    packets: int = 0


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


@dataclass(frozen=True, slots=True)
class Excuse:
    """
    An operation that did not end as it should: its flows may have been cut in two, but not counted twice.

    @ivar flows: the canonical flows that it is about.
    @ivar lost: how many packets its middleboxes reported as lost; None: any number (one of them died).
    """

    operation: int
    flows: frozenset[str]
    lost: int | None


def miscounts(expected: Iterable[Row], actual: Iterable[Row], excuses: Iterable[Excuse]) -> tuple[str, ...]:
    """
    Each packet of an excused operation's flows is accounted for by one row of one instance, however the flows were cut.

    Packets may be missing only if they were reported as lost; none may be counted twice.
    """
    wanted, got = packetsOf(expected), packetsOf(actual)
    found: list[str] = []
    reports: dict[frozenset[str], int | None] = {}
    for excuse in excuses:
        earlier = reports.get(excuse.flows, 0)
        reports[excuse.flows] = None if earlier is None or excuse.lost is None else earlier + excuse.lost
    for flows, lost in reports.items():
        more = [f"{flow} ({wanted[flow]}, not {got[flow]})" for flow in sorted(flows) if got[flow] > wanted[flow]]
        missing = sum(max(wanted[flow] - got[flow], 0) for flow in flows)
        if more:
            found.append(f"packets counted twice: {', '.join(more)}")
        if lost is not None and missing > lost:
            found.append(f"{missing} packets missing, {lost} reported as lost")
    return tuple(found)


def packetsOf(rows: Iterable[Row]) -> Counter[str]:
    """How many packets the rows of each flow account for."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.flow] += row.packets
    return counts
