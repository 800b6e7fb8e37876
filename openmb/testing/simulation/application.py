"""
The application of a history: it carries out the plans, and goes on with a controller that was restarted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from openmb.controller.performer import MovePerformer
from openmb.errors import OperationError, Refusal
from openmb.interfaces import Route
from openmb.operations.values import MoveReport, Stage
from openmb.state.headers import HeaderFieldList
from openmb.testing.simulation.accounts import Accounts
from openmb.testing.simulation.clock import SimulatedClock
from openmb.testing.simulation.control import Control, Life
from openmb.testing.simulation.scenario import Plan

#: Seconds after which the application tries again when nobody can be reached, and how often.
AGAIN, ATTEMPTS = 0.25, 12


class Application:
    """
    @param middleboxes: their names.
    @param reached: told of each stage that a move of a plan has reached.
    @ivar reports: the last report of each move.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        control: Control,
        accounts: Accounts,
        middleboxes: tuple[str, ...],
        counts: Counter[str],
        reached: Callable[[Plan, MovePerformer, Stage], None],
    ) -> None:
        self._clock, self._control, self._accounts, self._counts = clock, control, accounts, counts
        self._middleboxes, self._reached = middleboxes, reached
        self.reports: dict[int, MoveReport] = {}
        self._plans: dict[int, Plan] = {}
        self._destinations: dict[int, str] = {}
        self._where: dict[str, str] = {}
        self._busy: dict[str, list[Plan]] = {}

    @property
    def waiting(self) -> bool:
        """Are there plans that are not carried out?"""
        return any(self._busy.values())

    def plan(self, plan: Plan) -> None:
        """Carry out a plan, after the one before it on the same flows."""
        waiting = self._busy.setdefault(plan.flows, [])
        waiting.append(plan)
        if len(waiting) == 1:
            self._start(plan)

    def _start(self, plan: Plan, attempt: int = 0) -> None:
        life = self._control.life
        if life is None:
            self._tryAgain(plan, attempt)
            return
        source = self._where.get(plan.flows, "a")
        others = [name for name in self._middleboxes if name != source]
        destination = others[plan.choice % len(others)]
        route = Route(HeaderFieldList.parse(plan.flows), (destination,))
        try:
            move = life.controller.startMove(source, destination, plan.flows, route if plan.patience is None else None)
        except OperationError as error:
            self._counts[f"refused {error.refusal.name}"] += 1
            if error.refusal in (Refusal.DISCONNECTED, Refusal.UNKNOWN_MIDDLEBOX):
                self._tryAgain(plan, attempt)
            else:
                self._next(plan)
            return
        self._counts["moves"] += 1
        self._plans[move.request.operation] = plan
        self._destinations[move.request.operation] = destination
        self._watchOver(life, plan, move)
        if plan.patience is not None:
            move.installed.wait().addCallbacks(
                lambda report: self._clock.callLater(plan.patience or 0.0, self._switch, life, move, route),
                lambda failure: None,
            )
        self._look(life, plan, move, move.report)

    def _tryAgain(self, plan: Plan, attempt: int) -> None:
        if attempt < ATTEMPTS and not self._control.gone:
            self._clock.callLater(AGAIN, self._start, plan, attempt + 1)
        else:
            self._next(plan)

    def _watchOver(self, life: Life, plan: Plan, move: MovePerformer) -> None:
        move.watcher = partial(self._watch, life, plan, move)
        for milestone in (move.installed, move.moved, move.finished):
            milestone.wait().addErrback(lambda failure: None)  # the report is looked at instead

    def _switch(self, life: Life, move: MovePerformer, route: Route) -> None:
        if life.alive:
            try:
                move.switchOver(route)
            except OperationError:
                self._counts["switch-over too late"] += 1

    def _abort(self, life: Life, move: MovePerformer) -> None:
        if not life.alive:
            return
        stage = move.report.stage
        try:
            move.abort("the application changed its mind")
        except OperationError:
            self._counts["abort too late"] += 1
        else:
            self._counts[f"abort when {stage.value}"] += 1

    def _watch(self, life: Life, plan: Plan, move: MovePerformer, report: MoveReport) -> None:
        if life.alive:
            self._look(life, plan, move, report)

    def _look(self, life: Life, plan: Plan, move: MovePerformer, report: MoveReport) -> None:
        self._accounts.looked(move)
        if plan.abort is not None and plan.abort.stage is report.stage:
            self._clock.callLater(plan.abort.delay, self._abort, life, move)
        self._reached(plan, move, report.stage)
        self._settle(plan, report)

    def _settle(self, plan: Plan, report: MoveReport) -> None:
        """Enter what a report says; the next plan may begin when this one has moved its flows, or given up."""
        self.reports[report.operation] = report
        mine = plan in self._busy[plan.flows]
        if report.stage is Stage.MOVED or (report.stage in (Stage.FAILED, Stage.FINISHED) and mine):
            self._where[plan.flows] = self._destinations[report.operation]
            self._next(plan)
        elif report.stage is Stage.ABORTED:
            self._next(plan)

    def _next(self, plan: Plan) -> None:
        waiting = self._busy[plan.flows]
        if plan in waiting:
            waiting.remove(plan)
            if waiting:
                self._clock.callLater(0, self._start, waiting[0])

    def controllerDied(self, life: Life) -> None:
        """The moves of a dead controller, as it saw them last."""
        for move in life.controller.moves:
            self._accounts.looked(move)

    def restarted(self, life: Life) -> None:
        """Look after the moves that a restarted controller has taken up; what it does not know never began."""
        under = {move.request.operation: move for move in life.controller.moves}
        over = {each.report.operation: each.report for each in life.controller.history}
        for operation, plan in self._plans.items():
            if (move := under.get(operation)) is not None:
                self._watchOver(life, plan, move)
                self._look(life, plan, move, move.report)
            elif self.reports[operation].stage not in (Stage.FINISHED, Stage.ABORTED, Stage.FAILED):
                self._settle(plan, over.get(operation, MoveReport(operation, Stage.ABORTED)))
