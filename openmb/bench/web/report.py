"""
What the bench tells of the mixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from openmb.bench.web.measure import ZEEK_MEMORY, ZEEK_PACKETS, ZEEK_SECONDS, WebResult, WebRun

_ZEEK_RATE = ZEEK_PACKETS / ZEEK_SECONDS
#: The goal: so many times real Zeek's packets per CPU second.
GOAL = 10


def webToPlain(result: WebResult) -> dict[str, Any]:
    """For C{bench.json}."""
    return {
        **asdict(result),
        "packetsPerSecond": round(result.rate),
        "memory": round(result.memory),
        "timesZeek": round(result.rate / _ZEEK_RATE, 2),
        "right": result.isRight,
    }


def webText(result: WebResult) -> Iterator[str]:
    """Lines about runs over the mixture."""
    megabytes = result.bytes / 1_000_000
    yield f"web: {result.connections:,} connections, {result.packets:,} packets, {megabytes:,.0f} MB, checksums on"
    yield f"  {result.rate:,.0f} packets per CPU second of the whole process (median of {len(result.runs)})"
    yield f"  {result.rate / _ZEEK_RATE:.1f} times real Zeek's {_ZEEK_RATE:,.0f} (goal {GOAL});"
    yield f"    Zeek's {ZEEK_SECONDS:.0f} s for {ZEEK_PACKETS:,} packets were taken elsewhere, over another capture"
    yield f"  memory at most {result.memory:,.0f} MiB (Zeek, elsewhere, on gen_traffic: {ZEEK_MEMORY:.0f} MB)"
    for number, run in enumerate(result.runs, 1):
        yield from _runText(number, run)


def _runText(number: int, run: WebRun) -> Iterator[str]:
    verdict = "logs right" if run.isRight else "logs WRONG"
    yield f"  run {number}: {run.spent.seconds:.2f} CPU s, {run.spent.memory / 1024:,.0f} MiB, {verdict}"
    for log in run.logs:
        yield f"    {log.log}: {log.agreeing:,} of {log.expected:,} rows agree, {log.found:,} written"
        if log.columns:
            yield "      columns that differ: " + ", ".join(f"{name} {count:,}" for name, count in log.columns)
        for sort, rows in (("missing", log.missing), ("surplus", log.surplus)):
            yield from (f"      {sort}: {row}" for row in rows)
