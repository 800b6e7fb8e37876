"""
The demonstration for hours: traffic without an end, and one server's flows go back and forth between two Bros.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twisted.internet.task import LoopingCall

from openmb.bench.loop import runOnReactor, theReactor
from openmb.demo.bro import ANSWER, FIRST, NAMES, REFERENCE, SECOND, BroScenario
from openmb.demo.deployment import Deployment, temporaryDeployment
from openmb.demo.digest import LongVerdict, compareLong
from openmb.demo.endless import Endless
from openmb.demo.load import Rule
from openmb.demo.memory import MemoryWatch, Trend
from openmb.demo.moves import COUNTS, Moved, move
from openmb.demo.processes import Child, pause
from openmb.demo.replay import Replay
from openmb.demo.runner import ownCapture, prepareResults
from openmb.demo.survey import Survey, survey
from openmb.packets.capture import openCapture
from openmb.warmup import warmUp

#: Moves after which the final counts of those that are over are asked for: the controller shows the last 1000.
COLLECTED = 200
#: Part of the time that counts as warm-up, and seconds of it at most: tables and caches fill.
WARM, WARMEST = 0.2, 300.0
#: Rows of C{memory.tsv}: seconds between two.
SAMPLING = 1.0

#: Told now and then: what is going on, seconds so far, moves so far.
Progress = Callable[[str, float, int], None]

_NEVER = Rule(lambda replay: False, lambda replay: False)


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How long, and how fast.

    @ivar minutes: of wall-clock time.
    @ivar every: seconds from one move's end to the next one's beginning.
    @ivar speed: seconds of the capture in one second.
    """

    minutes: float
    every: float
    speed: float


@dataclass(frozen=True, slots=True)
class Soaked:
    """
    What a soak came to.

    @ivar counts: of all moves together.
    @ivar longest: seconds of the longest move, from the request to its end.
    @ivar files: bytes of the controller's journal.
    """

    seconds: float
    packets: int
    moves: int
    counts: Mapping[str, int]
    longest: float
    trends: Mapping[str, Trend]
    journal: int
    verdict: LongVerdict

    @property
    def good(self) -> bool:
        """Logs equal, nothing lost, no process grows."""
        flat = all(trend.flat for trend in self.trends.values())
        return self.verdict.equal and flat and not self.counts["lost"] and self.moves > 0


class SoakScenario(BroScenario):
    """
    Moves back and forth until the time is over.

    @ivar memory: what the processes took.
    """

    def __init__(
        self,
        deployment: Deployment,
        folders: dict[str, Path],
        endless: Endless,
        looked: Survey,
        pace: Pace,
    ) -> None:
        replay = Replay(endless, pace.speed, theReactor())
        super().__init__(theReactor(), deployment, folders, replay, looked, _NEVER, wait=False)
        self.memory = MemoryWatch()
        self.moves, self.longest, self.seconds = 0, 0.0, 0.0
        self.counts = dict.fromkeys(COUNTS, 0)
        self.journalSize = 0
        self._endless, self._pace, self._journal = endless, pace, deployment.journal
        self._began = theReactor().seconds()
        self._counted: set[str] = set()
        self._sampling = LoopingCall(self._sample)

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return theReactor().seconds() - self._began

    async def _play(self) -> None:
        self.stage = "starting the second Bro"
        self._start(SECOND)
        await self._ready(SECOND)
        self._sampling.start(SAMPLING).addErrback(lambda failure: failure.raiseException())
        began = theReactor().seconds()
        self._replay.start()
        ends, here = (FIRST, SECOND), 0
        while theReactor().seconds() - began < self._pace.minutes * 60:
            self.stage = f"at {ends[here]}"
            await pause(theReactor(), self._pace.every)
            await self._soakMove(ends[here], ends[1 - here])
            here = 1 - here
        self._endless.stopping = True
        self.stage = "the last round"
        self.outcome.packets = await self._replay.done
        self.seconds = theReactor().seconds() - began
        self._sampling.stop()

    async def _soakMove(self, source: str, destination: str) -> None:
        self.stage = f"moving to {destination}"
        began, moved = theReactor().seconds(), Moved(source, destination)
        await move(self._controller, self._reactor, moved, self._survey.flows, _nothing)
        self.longest = max(self.longest, theReactor().seconds() - began)
        self.moves += 1
        if self.moves % COLLECTED == 0:
            await self._collect()

    async def _collect(self) -> None:
        """Add up the counts of the moves that are over and were not counted yet."""
        reports = (await self._controller.call("operations", {}, ANSWER))["over"]
        for report in reports:
            if report["operation"] not in self._counted:
                self._counted.add(report["operation"])
                for name in COUNTS:
                    self.counts[name] += int(report[name])
        self._counted &= {report["operation"] for report in reports}

    async def _windows(self) -> None:
        await super()._windows()
        await self._collect()
        self.journalSize = sum(path.stat().st_size for path in self._journal.parent.glob(f"{self._journal.name}*"))

    def _sample(self) -> None:
        processes: dict[str, int] = {"driver": os.getpid()}
        for child in self.children.running:
            processes[child.name] = _number(child)
        self.memory.sample(self.elapsed, processes)


async def _nothing() -> int:
    """Nobody asks which packet was the last of the old way."""
    return 0


def _number(child: Child) -> int:
    transport: Any = child.transport
    return int(transport.pid or 0)


def soak(pace: Pace, results: Path, progress: Progress) -> Soaked:
    """
    Run it; logs, C{memory.tsv} and C{soak.json} go to C{results}.

    @raise OpenMBError: it could not be run to its end.
    """
    folders = prepareResults(results)
    looked = survey(openCapture(ownCapture()))
    warmUp(lambda place, total, name, seconds: progress(f"kernels {place}/{total}", 0.0, 0))
    with temporaryDeployment("bro", NAMES) as deployment:
        scenario = SoakScenario(deployment, folders, Endless(openCapture(ownCapture())), looked, pace)
        telling = LoopingCall(lambda: progress(scenario.stage, scenario.elapsed, scenario.moves))
        telling.start(1.0)
        runOnReactor(scenario.run(), scenario.stop)
        telling.stop()
    _writeSamples(scenario.memory, results / "memory.tsv")
    verdict = compareLong([folders[FIRST], folders[SECOND]], folders[REFERENCE])
    soaked = Soaked(
        scenario.seconds,
        scenario.outcome.packets,
        scenario.moves,
        scenario.counts,
        scenario.longest,
        scenario.memory.trends(min(pace.minutes * 60 * WARM, WARMEST)),
        scenario.journalSize,
        verdict,
    )
    text = json.dumps({**asdict(soaked), "equal": verdict.equal, "good": soaked.good}, indent=2)
    (results / "soak.json").write_text(text + "\n", encoding="utf-8")
    return soaked


def _writeSamples(memory: MemoryWatch, path: Path) -> None:
    lines = ["process\tseconds\tKiB\n"]
    for name, samples in memory.samples.items():
        lines += [f"{name}\t{seconds:.1f}\t{kib}\n" for seconds, kib in samples]
    path.write_text("".join(lines), encoding="utf-8")
