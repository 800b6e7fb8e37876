"""
How fast live flows move: real processes, TLS, packets to the flows all the while, and the logs compared afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from openmb.bench.engine import Profile, engineArguments, readProfile, runProcess
from openmb.bench.feed import Feed
from openmb.bench.field import CONTROLLER, DESTINATION, NAMES, PATIENCE, SOURCE, SWITCH, Field, Usage
from openmb.bench.loop import runOnReactor, theReactor
from openmb.bench.traffic import CaptureWriter, Traffic
from openmb.demo.deployment import temporaryDeployment
from openmb.demo.moves import Moved
from openmb.demo.processes import pause
from openmb.demo.verdict import Verdict, compare
from openmb.packets.batch import PacketBatch

#: Seconds of load before the request and after the reply.
LEAD, TRAIL = 1.0, 0.5


@dataclass(frozen=True, slots=True)
class MoveResult:
    """
    One move under load.

    @ivar seconds: from the request to the reply that the source has deleted, at the application.
    @ivar sent: packets sent in that time.
    @ivar processor: seconds of CPU time that each process took in that time.
    @ivar memory: KiB at most, of each process.
    @ivar profiles: for each profiled process, seconds by function in that time.
    """

    flows: int
    seconds: float
    sent: int
    stages: Mapping[str, float]
    counts: Mapping[str, int]
    processor: Mapping[str, float]
    memory: Mapping[str, int]
    verdict: Verdict
    profiles: Mapping[str, Profile]

    @property
    def rate(self) -> float:
        """Flows per second."""
        return self.counts["deleted"] / self.seconds


@dataclass
class _Seen:
    moved: Moved
    seconds: float = 0.0
    sent: int = 0
    before: Mapping[str, Usage] | None = None
    after: Mapping[str, Usage] | None = None
    profiles: list[Mapping[str, Profile]] = field(default_factory=list)


def measureMove(flows: int, rate: float, results: Path, profiled: bool) -> MoveResult:
    """
    Set up C{flows} flows at one Bro and move them all to another while C{rate} packets per second go to them.

    @raise OpenMBError: it could not be run to its end.
    """
    folders = {name: results / name for name in (*NAMES, "reference")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
        for log in folder.glob("*.log"):
            log.unlink()
    capture = results / "sent.pcap"
    seen = _Seen(Moved(SOURCE, DESTINATION))
    profiles = {name: results / f"{name}.json" for name in (SWITCH, CONTROLLER, *NAMES)} if profiled else {}
    with temporaryDeployment("bro", NAMES) as deployment:
        runners = {name: ("-m", "openmb.bench.sampled", str(place), "twisted") for name, place in profiles.items()}
        feed = Feed(theReactor())
        writer = CaptureWriter(capture)
        feed.recorder = writer.write
        place = Field(theReactor(), deployment, folders, feed, runners)

        def look() -> None:
            seen.profiles.append({name: readProfile(path) for name, path in profiles.items()})

        runOnReactor(_play(place, feed, Traffic(flows), rate, seen, look), place.stop)
        writer.close()
    reference = engineArguments(capture, folders["reference"], checksums=True)
    runProcess([sys.executable, "-m", *reference])
    verdict = compare([folders[SOURCE], folders[DESTINATION]], folders["reference"])
    capture.unlink()
    return _resultOf(flows, seen, verdict)


async def _play(field: Field, feed: Feed, traffic: Traffic, rate: float, seen: _Seen, look: Callable[[], None]) -> None:
    await field.start()
    await feed.send(traffic.opening())
    await field.quiet()
    load = feed.send(_endless(traffic), rate)
    await pause(theReactor(), LEAD)
    look()
    seen.before, began, sent = field.usage(), theReactor().seconds(), feed.sent
    await _move(field, seen.moved)
    seen.seconds, seen.sent = theReactor().seconds() - began, feed.sent - sent
    seen.after = field.usage()
    look()
    await pause(theReactor(), TRAIL)
    feed.stop()
    await load
    await field.idle()
    reports = (await field.ask("operations"))["over"]
    seen.moved.enter(reports[-1])
    await feed.send(traffic.closing())
    await field.finish()


async def _move(field: Field, moved: Moved) -> None:
    """Everything goes to the destination, and its state with it: one request with the new route."""
    began = theReactor().seconds()

    def notice(report: Mapping[str, Any]) -> None:
        moved.stages.setdefault(str(report["stage"]), theReactor().seconds() - began)

    route = {"flows": "*", "path": [moved.destination], "table": "bench", "priority": 100, "egress": None}
    ends = {"source": moved.source, "destination": moved.destination, "flows": "*", "route": route}
    moved.enter(await field.controller.call("moveInternal", ends, PATIENCE, notice))


def _endless(traffic: Traffic) -> Iterator[PacketBatch]:
    return chain.from_iterable(traffic.round() for _ in count())


def _between(before: Profile, after: Profile) -> Profile:
    """What was added from one profile to the next, the most first."""
    earlier = dict(before)
    added = ((name, seconds - earlier.get(name, 0.0)) for name, seconds in after)
    return tuple(sorted((each for each in added if each[1] > 0), key=lambda item: -item[1]))


def _resultOf(flows: int, seen: _Seen, verdict: Verdict) -> MoveResult:
    before, after = seen.before or {}, seen.after or {}
    return MoveResult(
        flows,
        seen.seconds,
        seen.sent,
        seen.moved.stages,
        seen.moved.counts,
        {name: after[name].seconds - before[name].seconds for name in after},
        {name: usage.memory for name, usage in after.items()},
        verdict,
        {name: _between(seen.profiles[0][name], seen.profiles[1][name]) for name in seen.profiles[0]},
    )
