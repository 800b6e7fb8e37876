"""
What a get costs the packets: their latency with one under way and without, turn by turn in one run.

A C{moveInternal} without a route that is aborted once every record is installed is exactly a get: export, transfer,
import, re-process events, and no switch-over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmb.bench.feed import Feed
from openmb.bench.field import DESTINATION, NAMES, PATIENCE, SOURCE, Field
from openmb.bench.loop import runOnReactor, theReactor
from openmb.bench.traffic import Traffic
from openmb.demo.deployment import temporaryDeployment
from openmb.demo.processes import pause
from openmb.packets.batch import PacketBatch

#: Seconds without a get in each turn, and the wait before it for what the last get has left.
WITHOUT, SETTLING = 0.5, 0.2

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latency of packets in microseconds, and how many packets."""

    packets: int
    mean: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class LatencyResult:
    """
    One run.

    @ivar gets: seconds that each get took.
    """

    flows: int
    rate: float
    gets: tuple[float, ...]
    without: Latencies
    during: Latencies


def measureLatency(flows: int, rate: float, turns: int, results: Path) -> LatencyResult:
    """
    Send C{rate} packets per second to C{flows} flows and do C{turns} gets of them all, with pauses as a comparison.

    @raise OpenMBError: it could not be run to its end.
    """
    folders = {name: results / "latency" / name for name in NAMES}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    place = results / "latency.npy"
    runners = {SOURCE: ("-m", "openmb.bench.measured", str(place))}
    quiet: Spans = []
    busy: Spans = []
    with temporaryDeployment("bro", NAMES) as deployment:
        feed = Feed(theReactor(), live=True)
        field = Field(theReactor(), deployment, folders, feed, runners)
        runOnReactor(_play(field, feed, Traffic(flows), rate, turns, quiet, busy), field.stop)
    stamps, taken = np.load(place)
    place.unlink()
    gets = tuple((end - begin) / 1e9 for begin, end in busy)
    return LatencyResult(flows, rate, gets, within(stamps, taken, quiet), within(stamps, taken, busy))


async def _play(field: Field, feed: Feed, traffic: Traffic, rate: float, turns: int, quiet: Spans, busy: Spans) -> None:
    await field.start()
    await feed.send(traffic.opening())
    await field.quiet()
    load = feed.send(_endless(traffic), rate)
    await pause(theReactor(), 1.0)
    for _ in range(turns):
        await pause(theReactor(), SETTLING)
        quiet.append(await _spanOf(field, False))
        busy.append(await _spanOf(field, True))
        await field.idle()
    feed.stop()
    await load
    await field.finish()


async def _spanOf(field: Field, get: bool) -> tuple[int, int]:
    began = time.time_ns()
    if not get:
        await pause(theReactor(), WITHOUT)
        return began, time.time_ns()
    ends = {"source": SOURCE, "destination": DESTINATION, "flows": "*", "route": None}
    report = await field.controller.call("moveInternal", ends, PATIENCE)
    ended = time.time_ns()
    await field.ask("abort", operation=report["operation"])
    return began, ended


def _endless(traffic: Traffic) -> Iterator[PacketBatch]:
    return chain.from_iterable(traffic.round() for _ in count())


def within(stamps: NDArray[np.int64], taken: NDArray[np.int64], spans: Spans) -> Latencies:
    """The latencies of the packets that were written within C{spans}."""
    inside = np.zeros(len(stamps), np.bool_)
    for begin, end in spans:
        inside |= (stamps >= begin) & (stamps < end)
    found = taken[inside] / 1000
    if not len(found):
        return Latencies(0, 0.0, 0.0, 0.0)
    p50, p99 = np.percentile(found, [50, 99])
    return Latencies(len(found), float(found.mean()), float(p50), float(p99))
