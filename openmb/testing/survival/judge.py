"""
The verdict over one run: which flows' rows must be the truth's, which may be lost, and whether just those were.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openmb.testing.survival.rows import Flow, Row
from openmb.testing.survival.traffic import Class
from openmb.testing.survival.truth import Known

#: By how many packets the sweeps and batches of two middleboxes may differ in when they write a row, which may
#: wait for its connection's end; and in the logs whose rows do not.
_SLACK, _SOONER = 1200, {"http": 300}


@dataclass(frozen=True, slots=True)
class Lost:
    """
    The records of a class died with their middlebox.

    @ivar killed: packets sent when it was killed.
    @ivar again: packets sent when its place was taken; from there on nothing may be wrong any more.
    @ivar written: what was written of this class before the death, wherever.
    """

    killed: int
    again: int
    written: frozenset[Row]


@dataclass(frozen=True, slots=True)
class Gapped:
    """The records survived, but packets sent from C{low} to C{high} may be missing."""

    low: int
    high: int


#: What happened to a class; None: nothing, its rows are the truth's.
Fate = Lost | Gapped | None


@dataclass
class Judgement:
    """
    What a run's logs say.

    @ivar wrong: what must not be, in words; empty when all is well.
    @ivar rows: of the truth.
    @ivar lost: rows of it that nobody wrote, for L{Lost} classes.
    @ivar least: @ivar most: how many of these a lone crash loses at least and at most.
    @ivar gapped: flows whose rows differ, for L{Gapped} classes, of C{exposed} that could.
    @ivar partial: rows of the part of a connection that came after a death.
    @ivar lag: packets between the last that the dead one is known to have processed and the last one sent, at most.
    """

    wrong: list[str] = field(default_factory=list)
    rows: int = 0
    lost: int = 0
    least: int = 0
    most: int = 0
    gapped: int = 0
    exposed: int = 0
    partial: int = 0
    lag: int = 0


def judge(truth: Mapping[Flow, Known], live: Sequence[Row], fates: Mapping[Class, Fate]) -> Judgement:
    """Hold C{live}, the rows of all middleboxes together, against C{truth}."""
    found = Judgement(rows=sum(len(known.rows) for known in truth.values()))
    byFlow: dict[Flow, list[Row]] = defaultdict(list)
    for row in live:
        byFlow[row.flow].append(row)
    progress = {kind: _progress(truth, kind, fate) for kind, fate in fates.items() if isinstance(fate, Lost)}
    for kind, fate in fates.items():
        if isinstance(fate, Lost) and progress[kind]:
            found.lag = max(found.lag, fate.killed - progress[kind])
    for flow in byFlow.keys() - truth.keys():
        found.wrong.append(f"{flow}: rows of a flow that was not sent: {byFlow[flow][0].text}")
    for flow, known in truth.items():
        rows = byFlow.get(flow, [])
        _checkRepeated(found, flow, known, rows)
        fate = fates[known.kind]
        if isinstance(fate, Lost):
            _judgeLost(found, flow, known, Counter(rows), fate, progress[known.kind])
        elif Counter(rows) != known.texts or isinstance(fate, Gapped):
            _judgeDifferent(found, flow, known, Counter(rows), fate)
    return found


def slackOf(row: Row) -> int:
    """By how many packets two middleboxes may differ in when they write this row."""
    return _SOONER.get(row.log, _SLACK)


def _progress(truth: Mapping[Flow, Known], kind: Class, fate: Lost) -> int:
    """How many packets the dead one has processed at least: those before the last row that was written."""
    rows = (each for known in truth.values() for each in known.rows)
    return max((place - slackOf(row) for row, place in rows if row in fate.written), default=0)


def _checkRepeated(found: Judgement, flow: Flow, known: Known, rows: list[Row]) -> None:
    """Nothing twice: no row, no connection, no packet."""
    wanted, seen = known.texts, Counter(rows)
    for row in seen:
        if seen[row] > max(wanted[row], 1):
            found.wrong.append(f"{flow}: {seen[row]} times: {row.text}")
    connections = [row for row in rows if row.log == "conn"]
    for uid, count in Counter(row.uid for row in connections).items():
        if count > 1:
            found.wrong.append(f"{flow}: {count} rows of connection {uid}")
    for side in (0, 1):
        counted = sum(row.packets[side] for row in connections)
        if counted > known.sent[side]:
            found.wrong.append(f"{flow}: {counted} packets counted, {known.sent[side]} sent")


def _judgeLost(found: Judgement, flow: Flow, known: Known, rows: Counter[Row], fate: Lost, progress: int) -> None:
    missing, surplus = known.texts - rows, rows - known.texts
    places = dict(known.rows)
    if known.first > fate.again and (missing or surplus):
        found.wrong.append(f"{flow}: began after the restart and differs: {_first(missing, surplus)}")
        return
    for row in missing:
        found.lost += missing[row]
        if places[row] + slackOf(row) < progress:
            found.wrong.append(f"{flow}: due after {places[row]} packets of {progress}, not written: {row.text}")
    for row, place in known.rows:
        died = known.first < progress and place > fate.killed + slackOf(row)
        found.least += died and row.log == "conn"
        found.most += known.first <= fate.again and place + slackOf(row) >= progress
        if died and row.log == "conn" and row not in missing:
            found.wrong.append(f"{flow}: its record had died, and yet there is {row.text}")
    found.partial += surplus.total()
    for row in surplus:
        if row in fate.written:
            found.wrong.append(f"{flow}: written before the death, and wrong: {row.text}")


def _judgeDifferent(found: Judgement, flow: Flow, known: Known, rows: Counter[Row], fate: Gapped | None) -> None:
    missing, surplus = known.texts - rows, rows - known.texts
    exposed = isinstance(fate, Gapped) and known.within(fate.low, fate.high)
    found.exposed += exposed
    if not missing and not surplus:
        return
    if not exposed:
        found.wrong.append(f"{flow}: differs although nobody lost it: {_first(missing, surplus)}")
        return
    found.gapped += 1
    began = isinstance(fate, Gapped) and known.first < fate.low
    wanted = {row.uid for row in known.texts if row.log == "conn"}
    there = {row.uid for row in rows if row.log == "conn"}
    if began and not wanted <= there:
        found.wrong.append(f"{flow}: its record should have survived: {_first(missing, surplus)}")


def _first(missing: Counter[Row], surplus: Counter[Row]) -> str:
    lines = [f"missing {row.text}" for row in missing] + [f"instead {row.text}" for row in surplus]
    return "; ".join(lines[:2])
