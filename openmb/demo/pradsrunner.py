"""
Runs the demonstration on PRADS from the capture to the verdict, without and with the relay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from openmb.apps.relay import Told
from openmb.demo.assets import Assets, compareAssets, realProgram
from openmb.demo.bro import Outcome
from openmb.demo.deployment import temporaryDeployment
from openmb.demo.prads import PRADS, PradsScenario
from openmb.demo.replay import Replay
from openmb.demo.runner import Progress, demoReactor, ownCapture, prepareFolders, runScenario
from openmb.demo.survey import Survey, survey
from openmb.packets.capture import openCapture
from openmb.plugins.prads.output import ASSETS
from openmb.warmup import warmUp


@dataclass(frozen=True, slots=True)
class Half:
    """
    One of the two runs.

    @ivar told: what the relay told; empty without it.
    """

    outcome: Outcome
    assets: Assets
    told: dict[str, Told]


@dataclass(frozen=True, slots=True)
class ShownAssets:
    """
    What the demonstration came to.

    @ivar real: is the reference's asset log the real program's?  None: that is not installed.
    """

    survey: Survey
    alone: Half
    relayed: Half
    real: bool | None

    @property
    def good(self) -> bool:
        """Both runs found what the reference found, and the relay did not make repeats more."""
        fewer = self.relayed.assets.repeats <= self.alone.assets.repeats
        return self.alone.assets.equal and self.relayed.assets.equal and fewer and self.real is not False


class _Both:
    """Two scenarios, one after the other, for one run of the reactor."""

    def __init__(self, scenarios: list[PradsScenario], replays: list[Replay]) -> None:
        self._scenarios, self._replays = scenarios, replays
        self._now = 0

    @property
    def stage(self) -> str:
        """What is going on."""
        return f"{('alone', 'relayed')[self._now]}: {self._scenarios[self._now].stage}"

    @property
    def sent(self) -> int:
        """Packets of the run that goes on."""
        return self._replays[self._now].sent

    async def run(self) -> Outcome:
        """Both."""
        outcome = await self._scenarios[0].run()
        self._now = 1
        await self._scenarios[1].run()
        return outcome

    async def stop(self) -> None:
        """End every child."""
        for each in self._scenarios:
            await each.stop()


def demonstratePrads(capture: Path | None, speed: float, results: Path, progress: Progress) -> ShownAssets | None:
    """
    Run it on the reactor, which runs for this and stops afterwards.

    @param capture: None: the package's own.
    @return: None when it was interrupted.
    @raise OpenMBError: it could not be run to its end.
    """
    path = capture or ownCapture()
    looked = survey(openCapture(path))
    folders = [prepareFolders(results / run, {name: name for name in PRADS.names}) for run in ("alone", "relayed")]
    warmUp(lambda place, total, name, seconds: progress(f"kernels {place}/{total}", 0, len(looked.stamps)))
    with _scenarios(path, speed, looked, folders) as (scenarios, replays):
        both = _Both(scenarios, replays)
        outcome = runScenario(both, lambda: progress(both.stage, both.sent, len(looked.stamps)))
    if outcome is None:
        return None
    alone, relayed = (_judge(scenario, each) for scenario, each in zip(scenarios, folders, strict=True))
    real = realProgram(path, folders[0][PRADS.reference] / ASSETS)
    shown = ShownAssets(looked, alone, relayed, real)
    (results / "results.json").write_text(json.dumps(toPlain(shown), indent=2) + "\n", encoding="utf-8")
    return shown


@contextmanager
def _scenarios(
    path: Path, speed: float, looked: Survey, folders: list[dict[str, Path]]
) -> Iterator[tuple[list[PradsScenario], list[Replay]]]:
    with ExitStack() as stack:
        replays = [Replay(openCapture(path), speed, demoReactor()) for _ in folders]
        yield (
            [
                PradsScenario(
                    demoReactor(),
                    stack.enter_context(temporaryDeployment("prads", PRADS.names)),
                    each,
                    replay,
                    looked,
                    relayed=bool(place),
                )
                for place, (each, replay) in enumerate(zip(folders, replays, strict=True))
            ],
            replays,
        )


def _judge(scenario: PradsScenario, folders: dict[str, Path]) -> Half:
    instances = [folders[PRADS.first], folders[PRADS.second]]
    return Half(scenario.outcome, compareAssets(instances, folders[PRADS.reference]), scenario.told)


def toPlain(shown: ShownAssets) -> dict[str, Any]:
    """Everything that was measured."""
    plain = {
        name: {**asdict(half.assets), "equal": half.assets.equal, "told": {k: asdict(v) for k, v in half.told.items()}}
        for name, half in (("alone", shown.alone), ("relayed", shown.relayed))
    }
    return {**plain, "flows": shown.survey.flows, "asRealProgram": shown.real, "good": shown.good}


def showAssets(console: Console, shown: ShownAssets) -> None:
    """Print the table and the verdict."""
    table = Table(title=f"{len(shown.survey.stamps):,} packets; flows of {shown.survey.server} at prads2 for a while")
    for title in ("", "without relay", "with relay"):
        table.add_column(title, justify="right" if title else "left")
    halves = shown.alone, shown.relayed
    rows: tuple[tuple[str, Any], ...] = (
        ("facts of the one that saw everything", lambda half: half.assets.facts),
        ("lines of prads1, of prads2", lambda half: " + ".join(map(str, half.assets.split))),
        ("facts missing", lambda half: len(half.assets.missing)),
        ("facts too many", lambda half: len(half.assets.surplus)),
        ("facts logged twice", lambda half: half.assets.repeats),
        ("of them in other words", lambda half: half.assets.reworded),
        ("events told, news among them", _toldText),
        ("lines of connections that differ", lambda half: half.assets.connections),
        ("packets counted", lambda half: f"{half.assets.packets[0]:,}"),
        ("re-process events", lambda half: sum(each.counts.get("reprocessed", 0) for each in half.outcome.moves)),
        ("packets lost", lambda half: sum(each.counts.get("lost", 0) for each in half.outcome.moves)),
    )
    for label, of in rows:
        table.add_row(label, *(str(of(half)) for half in halves))
    console.print(table)
    console.print("A fact that both find while the telling is under way stands twice all the same.", style="dim")
    console.print(verdictText(shown), style="bold green" if shown.good else "bold red")


def _toldText(half: Half) -> str:
    if not half.told:
        return "–"
    events, news = (sum(getattr(each, name) for each in half.told.values()) for name in ("events", "news"))
    return f"{events:,}, {news:,}"


def verdictText(shown: ShownAssets) -> str:
    """The verdict in one line."""
    said = {
        True: "; its asset log is the real program's, byte for byte",
        None: "",
        False: "; BUT NOT the real program's",
    }
    if shown.alone.assets.equal and shown.relayed.assets.equal:
        return f"equal: both instances together found what one instance finds{said[shown.real]}"
    return f"DIFFERENT from what one instance finds{said[shown.real]}"
