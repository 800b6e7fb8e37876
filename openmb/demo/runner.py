"""
Runs a demonstration from the capture to the verdict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from openmb.demo.bro import FIRST, NAMES, REFERENCE, SECOND, BroScenario, Outcome
from openmb.demo.deployment import temporaryDeployment
from openmb.demo.load import byRate, byShare
from openmb.demo.moves import Moved
from openmb.demo.processes import IDemoReactor
from openmb.demo.replay import Replay
from openmb.demo.report import toPlain
from openmb.demo.survey import Survey, survey
from openmb.demo.verdict import Verdict, compare, pendingMoved, readLog
from openmb.errors import ConfigurationError
from openmb.packets.capture import openCapture
from openmb.warmup import warmUp

#: Told now and then: what is going on, packets sent, packets in all.
Progress = Callable[[str, int, int], None]

#: Where each instance's logs lie in the directory of the results.
FOLDERS = {FIRST: "bro1", SECOND: "bro2", REFERENCE: "reference"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a demonstration came to."""

    outcome: Outcome
    survey: Survey
    verdict: Verdict


def ownCapture() -> Path:
    """The capture that comes with the package."""
    return Path(str(files("openmb.demo") / "traces" / "demo.pcap"))


def demonstrate(capture: Path | None, speed: float, results: Path, progress: Progress) -> Shown | None:
    """
    Run the demonstration on the reactor, which runs for this and stops afterwards.

    @param capture: None: the package's own.
    @return: None when it was interrupted.
    @raise OpenMBError: it could not be run to its end.
    """
    looked = survey(openCapture(capture or ownCapture()))
    folders = prepareResults(results)
    # compiled here once, so that no child is silent for so long that the controller takes it for dead
    warmUp(lambda place, total, name, seconds: progress(f"kernels {place}/{total}", 0, len(looked.stamps)))
    rule = byShare(len(looked.stamps)) if capture else byRate()
    with temporaryDeployment("bro", NAMES) as deployment:
        loop = demoReactor()
        replay = Replay(openCapture(capture or ownCapture()), speed, loop)
        scenario = BroScenario(loop, deployment, folders, replay, looked, rule, wait=speed == 0)
        outcome = runScenario(scenario, lambda: progress(scenario.stage, replay.sent, len(looked.stamps)))
    if outcome is None:
        return None
    return judge(outcome, looked, results)


def judge(outcome: Outcome, looked: Survey, results: Path) -> Shown:
    """Compare the logs in C{results}, count, and write C{results.json} beside them."""
    folders = {name: results / folder for name, folder in FOLDERS.items()}
    for moved in outcome.moves:
        moved.requests, moved.queries = (_pending(moved, outcome, looked, folders, name) for name in ("http", "dns"))
    verdict = compare([folders[FIRST], folders[SECOND]], folders[REFERENCE])
    document = json.dumps(toPlain(outcome, looked, verdict), indent=2)
    (results / "results.json").write_text(document + "\n", encoding="utf-8")
    return Shown(outcome, looked, verdict)


def _pending(moved: Moved, outcome: Outcome, looked: Survey, folders: dict[str, Path], log: str) -> int:
    earlier = [each for each in outcome.moves[: outcome.moves.index(moved)] if each.destination == moved.source]
    after = max((each.over for each in earlier), default=0)
    return pendingMoved(readLog(folders[moved.destination] / f"{log}.log"), looked.server, moved.asked, after)


def prepareResults(results: Path) -> dict[str, Path]:
    """L{prepareFolders} of the demonstration on Bro."""
    return prepareFolders(results, FOLDERS)


def prepareFolders(results: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """
    The instances' directories, made if they are missing, without logs of earlier runs.

    @param names: of the directories, by instance.

    @raise ConfigurationError: they cannot be made.
    """
    folders = {name: (results / folder).absolute() for name, folder in names.items()}
    try:
        results.mkdir(parents=True, exist_ok=True)
        (results / "results.json").unlink(missing_ok=True)
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                log.unlink()
    except OSError as error:
        raise ConfigurationError(f"--results: {error}") from error
    return folders


def demoReactor() -> IDemoReactor:
    """The process's."""
    from twisted.internet import reactor

    return cast(IDemoReactor, cast(Any, reactor))


#: What came of a scenario.
_Came = TypeVar("_Came", covariant=True)
_Result = TypeVar("_Result")


class Runnable(Protocol[_Came]):
    """What L{runScenario} runs."""

    async def run(self) -> _Came:
        """All of it."""

    async def stop(self) -> None:
        """End every child."""


def runScenario(scenario: Runnable[_Result], tick: Callable[[], None]) -> _Result | None:
    """Run C{scenario} on the reactor, which stops afterwards; None when it was interrupted."""
    loop: Any = demoReactor()
    ended: list[_Result | Failure] = []
    stopping: list[bool] = []
    ticking = LoopingCall(tick)

    def end(result: _Result | Failure) -> None:
        if not stopping:  # what fails since every child is ended is no result
            ended.append(result)
            loop.stop()

    def begin() -> None:
        ticking.start(0.1)
        Deferred.fromCoroutine(scenario.run()).addBoth(end)

    def interrupted() -> Deferred[None]:
        stopping.append(True)
        return Deferred.fromCoroutine(scenario.stop())

    loop.addSystemEventTrigger("before", "shutdown", interrupted)
    loop.callWhenRunning(begin)
    loop.run()
    if ended and isinstance(ended[0], Failure):
        ended[0].raiseException()
    return cast(_Result, ended[0]) if ended else None
