"""
Clones and merges among the moves of a history: when the application asks for them, and what it does then.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from openmb.controller.sharing import SharedPerformer
from openmb.errors import OperationError, Refusal
from openmb.operations.values import MoveReport, Stage
from openmb.testing.simulation.clock import SimulatedClock
from openmb.testing.simulation.control import Control, Life
from openmb.testing.simulation.scenario import Moment, Scenario
from openmb.wire.messages import Sort

#: Seconds after which the application tries again when it is refused for now, and how often.
AGAIN, ATTEMPTS = 0.25, 12
#: Refusals that pass.
FOR_NOW = (Refusal.DISCONNECTED, Refusal.UNKNOWN_MIDDLEBOX, Refusal.INTERSECTING_OPERATION)
OVER = (Stage.FINISHED, Stage.ABORTED, Stage.FAILED)


@dataclass(frozen=True, slots=True)
class SharedPlan:
    """
    One clone or merge that the application makes.

    @ivar start: simulated time.
    @ivar patience: seconds for which a clone is followed.
    @ivar abort: when the application changes its mind, or None.
    """

    start: float
    sort: Sort
    source: str
    destination: str
    patience: float
    abort: Moment | None


def drawShared(rng: random.Random, scenario: Scenario) -> tuple[SharedPlan, ...]:
    """Some, spread over the history."""
    plans, span = [], scenario.span
    for _ in range(rng.choice((1, 2, 3, 5))):
        source, destination = rng.sample(scenario.middleboxes, 2)
        sort = rng.choice((Sort.CLONE, Sort.MERGE))
        patience = span * rng.choice((0.0, 0.05, 0.3))
        stage = rng.choice((Stage.STARTED, Stage.INSTALLED, Stage.FINISHING, Stage.MERGED))
        abort = Moment(stage, rng.random() ** 2 * 0.1) if rng.random() < 0.2 else None
        plans.append(SharedPlan(span * rng.uniform(0.05, 0.9), sort, source, destination, patience, abort))
    return tuple(plans)


class Sharing:
    """
    The part of the application that clones and merges.

    @param reached: told of each stage that a plan's operation has reached.
    @ivar reports: the last report of each operation.
    @ivar sorts: what each does.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        control: Control,
        counts: Counter[str],
        reached: Callable[[SharedPlan, SharedPerformer, Stage], None],
    ) -> None:
        self._clock, self._control, self._counts, self._reached = clock, control, counts, reached
        self.reports: dict[int, MoveReport] = {}
        self.sorts: dict[int, Sort] = {}
        self._plans: dict[int, SharedPlan] = {}
        self._waiting = 0

    @property
    def waiting(self) -> bool:
        """Are there plans that have not begun, or that must begin again?"""
        return self._waiting > 0

    def plan(self, plan: SharedPlan) -> None:
        """Carry it out."""
        self._waiting += 1
        self._start(plan, 0)

    def _start(self, plan: SharedPlan, attempt: int) -> None:
        life = self._control.life
        if life is None:
            self._tryAgain(plan, attempt)
            return
        try:
            performer = life.controller.startShared(plan.sort, plan.source, plan.destination)
        except OperationError as error:
            self._counts[f"{plan.sort.name.lower()} refused {error.refusal.name}"] += 1
            if error.refusal in FOR_NOW:
                self._tryAgain(plan, attempt)
            else:
                self._waiting -= 1
            return
        self._waiting -= 1
        self._counts[plan.sort.name.lower()] += 1
        self._plans[performer.request.operation] = plan
        self.sorts[performer.request.operation] = plan.sort
        self._watchOver(life, plan, performer)

    def _tryAgain(self, plan: SharedPlan, attempt: int) -> None:
        if attempt < ATTEMPTS and not self._control.gone:
            self._clock.callLater(AGAIN, self._start, plan, attempt + 1)
        else:
            self._waiting -= 1

    def _watchOver(self, life: Life, plan: SharedPlan, performer: SharedPerformer) -> None:
        performer.watcher = lambda report: self._look(life, plan, performer)
        for milestone in (performer.installed, performer.finished):
            milestone.wait().addErrback(lambda failure: None)  # the report is looked at instead
        self._look(life, plan, performer)

    def _look(self, life: Life, plan: SharedPlan, performer: SharedPerformer) -> None:
        if not life.alive:
            return
        stage = performer.report.stage
        self.reports[performer.request.operation] = performer.report
        if stage in OVER:
            self._counts[f"{plan.sort.name.lower()} {stage.value}"] += 1
        if stage is Stage.INSTALLED and plan.sort is Sort.CLONE:
            self._clock.callLater(plan.patience, self._attempt, life, performer.finish)
        if plan.abort is not None and plan.abort.stage is stage:
            self._clock.callLater(
                plan.abort.delay, self._attempt, life, lambda: performer.abort("the application changed its mind")
            )
        self._reached(plan, performer, stage)

    def _attempt(self, life: Life, act: Callable[[], None]) -> None:
        if life.alive:
            try:
                act()
            except OperationError as error:
                self._counts[f"clone or merge: too late for that ({error.refusal.name})"] += 1

    def restarted(self, life: Life) -> None:
        """Look after what a restarted controller has taken up; what it does not know never began."""
        under = {each.request.operation: each for each in life.controller.operations}
        over = {each.report.operation: each.report for each in life.controller.history}
        for operation, plan in self._plans.items():
            performer = under.get(operation)
            if isinstance(performer, SharedPerformer):
                self._watchOver(life, plan, performer)
            elif operation not in self.reports or self.reports[operation].stage not in OVER:
                self.reports[operation] = over.get(operation, MoveReport(operation, Stage.ABORTED))
