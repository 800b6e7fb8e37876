"""
What the bench tells of SmartRE.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from openmb.bench.goals import goalText
from openmb.bench.report import latencyLines
from openmb.bench.smartre.clone import CloneResult
from openmb.bench.smartre.measure import CODEC, STAGED, Rates, SetResult, SmartreResult
from openmb.bench.smartre.migration import Outcome, Way

#: MB a second of CPU time, over the synthetic set; times zstd's stream; share saved by the set's name.
ENCODE_GOAL, DECODE_GOAL, RATIO_GOAL = 350.0, 1200.0, 3.0
CLONE_GOAL = 4.0
SAVED_GOALS = {"first": 0.75, "zipf": 0.80}
_SYNTHETIC = "synthetic"


def smartreToPlain(result: SmartreResult) -> dict[str, Any]:
    """For C{bench.json}."""
    return asdict(result)


def migrationToPlain(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """For C{bench.json}."""
    return [{**asdict(each), "way": each.way.name} for each in outcomes]


def migrationText(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The table: for each loss undecodable bytes, packets asked for, share saved."""
    losses = sorted({each.loss for each in outcomes})
    for talking in (True, False):
        how = "gate, acknowledgements, answers" if talking else "neither gate nor messages"
        yield f"migration of every second packet, {how}: undecodable bytes; packets asked for; saved"
        yield f"  {'loss':34}" + "".join(f"{loss:>24.1%}" for loss in losses)
        for way in Way:
            found = {each.loss: each for each in outcomes if each.way is way and each.talking == talking}
            yield f"  {way.value:34}" + "".join(f"{_outcomeText(found[loss]):>24}" for loss in losses)
    yield f"  packets that came out and nobody sent: {sum(each.wrong for each in outcomes)}"


def _outcomeText(found: Outcome) -> str:
    return f"{found.undecodable / found.payload:.1%}; {found.asked:,}; {found.saved:.1%}"


def cloneToPlain(result: CloneResult) -> dict[str, Any]:
    """For C{bench.json}."""
    return asdict(result)


def cloneText(result: CloneResult) -> Iterator[str]:
    """Lines about a clone."""
    size = result.slots * 1536 / (1 << 20)
    turns = f"{result.rate:,.0f} packets/s: {len(result.clones)} alternations"
    yield f"clone of a decoder's cache of {size:.0f} MiB, {turns}"
    seconds = statistics.median(result.clones)
    yield f"  {result.records:,} records, {result.bytes / 1e6:.1f} MB: {seconds:.2f} s until all are at the destination"
    yield f"  (from {min(result.clones):.2f} to {max(result.clones):.2f} s); goal under {CLONE_GOAL:g} s: " + (
        "reached" if seconds < CLONE_GOAL else "not reached"
    )
    yield from latencyLines(result.without, result.during, "clone")
    yield f"  packets that did not come out: {result.missing}"


def smartreText(result: SmartreResult) -> Iterator[str]:
    """Lines about SmartRE."""
    for each in result.sets:
        yield from _setText(each)
    for role in result.memory:
        start = result.start[role]
        kept = f"{result.memory[role]:,.0f} bytes for a packet that is kept"
        yield f"  {role}: {kept}; starts and ends in {start.seconds:.2f} CPU s"
    yield f"  every payload came back as it was: {'yes' if result.isRight else 'NO'}"


def _setText(found: SetResult) -> Iterator[str]:
    yield f"smartre, {found.name}: {found.packets:,} payloads, {found.bytes / 1e6:,.1f} MB"
    yield f"  {'MB of payload per second of CPU time, best (median)':52} {'encode':>15} {'decode':>15} {'saved':>7}"
    for each in found.rates:
        yield f"  {each.name:52} {_bestOf(each.encode):>15} {_bestOf(each.decode):>15} {each.saved:7.1%}"
    for name in found.absent:
        yield f"  {name:52} not installed: pip install 'openmb[bench]'"
    yield f"  our codec encodes {statistics.median(found.ratios):.2f} times as fast as zstd's stream of level 1"
    yield from _goals(found)


def _bestOf(rates: tuple[float, ...]) -> str:
    return f"{rates[-1]:,.0f} ({statistics.median(rates):,.0f})"


def _goals(found: SetResult) -> Iterator[str]:
    rates: dict[str, Rates] = {each.name: each for each in found.rates}
    if found.name == _SYNTHETIC:
        yield f"  goal {ENCODE_GOAL:g} MB/s encode: {goalText(statistics.median(rates[CODEC].encode), ENCODE_GOAL)}"
        yield f"  goal {DECODE_GOAL:,g} MB/s decode: {goalText(statistics.median(rates[CODEC].decode), DECODE_GOAL)}"
        yield f"  goal {RATIO_GOAL:g} times zstd: {goalText(statistics.median(found.ratios), RATIO_GOAL)}"
    elif found.name in SAVED_GOALS:
        goal = SAVED_GOALS[found.name]
        yield f"  goal {goal:.0%} saved with the second stage: {goalText(rates[STAGED].saved, goal)}"
