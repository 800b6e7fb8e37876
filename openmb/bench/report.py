"""
What the bench tells: text for people, a document for programs.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from openmb.bench.assets import AssetsResult, Side
from openmb.bench.engine import EngineResult
from openmb.bench.goals import goalText
from openmb.bench.latency import Latencies, LatencyResult
from openmb.bench.move import MoveResult

#: Lines of a profile, and differences of logs, that are shown.
LINES, SHOWN = 15, 5
ENGINE_GOAL, MOVE_GOAL = 1_100_000, 100_000
#: Times the real PRADS.
ASSETS_GOAL = 5.0


def machineToPlain() -> dict[str, Any]:
    """The machine and how busy it is."""
    load = [round(each, 2) for each in os.getloadavg()]
    return {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(), "load": load}


def engineToPlain(result: EngineResult) -> dict[str, Any]:
    """For C{bench.json}."""
    return {**asdict(replace(result, profile=())), "profile": dict(result.profile)}


def moveToPlain(result: MoveResult) -> dict[str, Any]:
    """For C{bench.json}."""
    verdict = result.verdict
    return {
        "flows": result.flows,
        "flowsPerSecond": round(result.rate),
        "seconds": round(result.seconds, 4),
        "packetsPerSecond": round(result.sent / result.seconds),
        "stages": {name: round(seconds, 4) for name, seconds in result.stages.items()},
        "counts": dict(result.counts),
        "cpuSeconds": {name: round(seconds, 2) for name, seconds in result.processor.items()},
        "memory": dict(result.memory),
        "rows": {name: log.rows for name, log in verdict.logs.items()},
        "equal": verdict.equal,
        "missing": len(verdict.missing),
        "surplus": len(verdict.surplus),
        "disordered": len(verdict.disordered),
        "profiles": {name: dict(profile) for name, profile in result.profiles.items()},
    }


def latencyToPlain(result: LatencyResult) -> dict[str, Any]:
    """For C{bench.json}."""
    return asdict(result)


def engineText(title: str, result: EngineResult) -> Iterator[str]:
    """Lines about runs of the engine."""
    low, high = result.rates[0], result.rates[-1]
    yield f"engine, {title}: {result.packets:,} packets, {len(result.rates)} runs"
    yield f"  {result.median:,.0f} packets per CPU second of the whole process (from {low:,.0f} to {high:,.0f})"
    memory = f"memory at most {result.memory / 1024:,.0f} MiB"
    yield f"  goal {ENGINE_GOAL:,}: {goalText(result.median, ENGINE_GOAL)}; {memory}"
    yield from profileText("where the CPU time goes (one more run)", result.profile)


def assetsToPlain(result: AssetsResult) -> dict[str, Any]:
    """For C{bench.json}."""
    return asdict(result)


def assetsText(result: AssetsResult) -> Iterator[str]:
    """Lines about PRADS beside the real program."""
    yield f"prads: {result.packets:,} packets, {len(result.ratios)} turns of the real program and ours"
    yield from (_sideLine(name, side) for name, side in (("real", result.real), ("ours", result.ours)))
    low, high = result.ratios[0], result.ratios[-1]
    yield f"  {result.ratio:.2f} times as fast (from {low:.2f} to {high:.2f})"
    yield f"  goal {ASSETS_GOAL:g}: {goalText(result.ratio, ASSETS_GOAL)}"
    yield f"  files: {'DIFFERENT: ' + ', '.join(result.different) if result.different else 'equal'}"


def _sideLine(name: str, side: Side) -> str:
    return (
        f"  {name}: {side.median:,.0f} packets per CPU second (from {side.rates[0]:,.0f} to {side.rates[-1]:,.0f}), "
        f"at most {side.memory / 1024:,.0f} MiB; a connection takes {side.connection:,.0f}, "
        f"a host with one system {side.host:,.0f} bytes"
    )


def profileText(title: str, profile: tuple[tuple[str, float], ...]) -> Iterator[str]:
    """The largest entries of a profile."""
    total = sum(seconds for _, seconds in profile) or 1.0
    yield f"  {title}:"
    for name, seconds in profile[:LINES]:
        yield f"    {seconds:7.3f} s {seconds / total:5.1%}  {name}"


def moveText(result: MoveResult) -> Iterator[str]:
    """Lines about a move."""
    counts, verdict = result.counts, result.verdict
    yield f"move: {result.flows:,} flows, {result.sent / result.seconds:,.0f} packets/s to them all the while"
    yield f"  {result.rate:,.0f} flows/s: {result.seconds:.3f} s from the request to the source's DELETED"
    yield f"  goal {MOVE_GOAL:,}: {goalText(result.rate, MOVE_GOAL)}"
    yield "  stages: " + ", ".join(f"{name} {seconds:.3f} s" for name, seconds in result.stages.items())
    yield "  counts: " + ", ".join(f"{name} {count:,}" for name, count in counts.items())
    yield "  CPU seconds in that time: " + ", ".join(f"{name} {each:.2f}" for name, each in result.processor.items())
    yield "  memory: " + ", ".join(f"{name} {each / 1024:,.0f} MiB" for name, each in result.memory.items())
    yield f"  logs of both against an instance that saw everything: {'equal' if verdict.equal else 'DIFFERENT'}"
    for name, log in verdict.logs.items():
        yield f"    {name}: {log.rows:,} rows, {' + '.join(f'{part:,}' for part in log.split)}"
    for line in (*verdict.missing[:SHOWN], *verdict.surplus[:SHOWN], *verdict.disordered[:SHOWN]):
        yield f"    {line}"
    for name, profile in result.profiles.items():
        yield from profileText(f"CPU time of {name} in that time", profile)


def latencyText(result: LatencyResult) -> Iterator[str]:
    """Lines about latencies."""
    yield f"latency: {result.flows:,} flows, {result.rate:,.0f} packets/s, {len(result.gets)} alternations"
    yield f"  gets took {min(result.gets):.3f} to {max(result.gets):.3f} s"
    yield from latencyLines(result.without, result.during, "get")


def latencyLines(without: Latencies, during: Latencies, what: str) -> Iterator[str]:
    """Latencies without and during something, and their ratios."""
    yield f"  {'microseconds':16} {'packets':>10} {'mean':>10} {'p50':>10} {'p99':>10}"
    yield _latencyLine(f"without a {what}", without)
    yield _latencyLine(f"during a {what}", during)
    yield f"  {'ratio':16} {'':10} " + " ".join(
        f"{getattr(during, name) / (getattr(without, name) or 1.0):10.2f}" for name in ("mean", "p50", "p99")
    )


def _latencyLine(title: str, found: Latencies) -> str:
    return f"  {title:16} {found.packets:10,} {found.mean:10,.0f} {found.p50:10,.0f} {found.p99:10,.0f}"
