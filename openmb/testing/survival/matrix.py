"""
The table: every step, every party, so many runs each.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, groupby
from pathlib import Path
from typing import Any

from openmb.bench.loop import runOnReactor
from openmb.errors import OpenMBError
from openmb.testing.survival.points import Party, Point, Step, pointsOf
from openmb.testing.survival.stage import Stage, stageOf
from openmb.testing.survival.trial import Result, Trial

#: Runs on one stage before everything is started afresh.
REUSED = 40

#: Told after each run.
Progress = Callable[[int, int, Result], None]


@dataclass(frozen=True, slots=True)
class Order:
    """One run that is to be made."""

    number: int
    party: Party
    point: Point
    kind: type[Trial] = Trial


@dataclass
class Cell:
    """What the runs of one step and party came to together."""

    runs: int = 0
    good: int = 0
    never: int = 0
    conflicts: int = 0
    longest: float = 0.0
    later: float = 0.0
    rows: int = 0
    lost: int = 0
    least: int = 0
    most: int = 0
    gapped: int = 0
    exposed: int = 0
    lag: int = 0
    endings: dict[str, int] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """One more."""
        judged = result.judgement
        self.runs += 1
        self.good += not result.wrong
        self.never += result.never
        self.conflicts += result.conflict
        self.longest, self.later = max(self.longest, result.settled), max(self.later, result.later)
        self.lag = max(self.lag, judged.lag)
        for name in ("rows", "lost", "least", "most", "gapped", "exposed"):
            setattr(self, name, getattr(self, name) + getattr(judged, name))
        self.endings[result.ending] = self.endings.get(result.ending, 0) + 1


def ordersOf(
    runs: int,
    steps: Sequence[Step] = tuple(Step),
    parties: Sequence[Party] = tuple(Party),
    kind: type[Trial] = Trial,
) -> list[Order]:
    """C{runs} of each cell; the points of a step take turns."""
    numbers = count()
    return [
        Order(next(numbers), party, points[turn % len(points)], kind)
        for turn in range(runs)
        for step in steps
        for party in parties
        for points in [pointsOf(step)]
    ]


def survive(orders: Sequence[Order], logs: Path, progress: Progress) -> list[Result]:
    """
    Make the runs; what the processes print goes to C{logs}.

    @raise KeyboardInterrupt: a signal stopped the reactor.
    """
    results: list[Result] = []
    waiting = list(orders)

    def tell(result: Result) -> None:
        results.append(result)
        progress(len(results), len(orders), result)

    while waiting:
        patient, alike = next(groupby(waiting[:REUSED], lambda order: order.kind.patient))
        with stageOf(logs / f"from-{waiting[0].number}", patient) as stage:
            made = runOnReactor(_play(stage, list(alike), tell), stage.close)
        waiting = waiting[made:]
    return results


async def _play(stage: Stage, orders: Sequence[Order], tell: Callable[[Result], None]) -> int:
    """Make runs until one goes wrong, since after that nothing is known of the stage; how many were made."""
    await stage.start()
    for made, order in enumerate(orders, 1):
        trial = order.kind(stage, order.number, order.party, order.point)
        try:
            await trial.run()
        except OpenMBError as error:
            trial.result.wrong.append(f"{type(error).__name__}: {error}")
        tell(trial.result)
        if trial.result.wrong:
            return made
    return len(orders)


def cellsOf(results: Sequence[Result]) -> dict[tuple[Step, Party], Cell]:
    """The table."""
    cells: dict[tuple[Step, Party], Cell] = defaultdict(Cell)
    for result in results:
        cells[result.point.step, result.party].add(result)
    return cells


def documentOf(results: Sequence[Result]) -> str:
    """Everything, as JSON."""
    return json.dumps(list(_plain(results)), indent=1) + "\n"


def _plain(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    for result in results:
        yield {**asdict(result), "party": result.party.value, "point": str(result.point)}
