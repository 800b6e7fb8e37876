"""
Runs one move: performs what its machine asks for, and turns answers, deadlines and deaths into the machine's facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from openmb.controller.markers import Markers
from openmb.controller.milestone import Milestone
from openmb.controller.operation import OperationPerformer, Surroundings
from openmb.controller.routechange import RouteChange
from openmb.controller.routekeeper import checkRoom
from openmb.errors import OperationError, Refusal
from openmb.interfaces import Route
from openmb.operations.facts import MoveCore
from openmb.operations.journal import Entry, Step
from openmb.operations.move import moveMachine
from openmb.operations.values import MoveReport, MoveRequest, Stage
from openmb.state.headers import HeaderFieldList
from openmb.wire import messages as m

#: States in which an application may still change its mind.
UNDECIDED = frozenset({Stage.STARTED, Stage.INSTALLED, Stage.SWITCHING})


class MovePerformer(OperationPerformer):
    """
    One move under way.

    @ivar installed: fires with the report when every record is at the destination.
    @ivar moved: fires when the destination has taken over and the source has deleted.
    @ivar finished: fires when the source's late window is closed; all three fail when the move does.
    """

    def __init__(
        self,
        request: MoveRequest,
        around: Surroundings,
        change: RouteChange,
        ended: Callable[[OperationPerformer], None],
    ) -> None:
        super().__init__(request, around, ended)
        self._change = change
        self.flows = HeaderFieldList.parse(request.flows)
        self.moved: Milestone[MoveReport] = Milestone()
        self._markers = Markers(request.operation, request.token, around.network, around.clock)
        self._unmarked = False  # the source has said that it goes on, with what was given back
        self._routed = False  # the new route is in effect, and the destination is not there to be told to commit
        self.machine = moveMachine(MoveCore(request, self))

    # -- for the application

    def switchOver(self, route: Route) -> None:
        """
        Change the route and hand over.

        @raise OperationError: not installed, or a switch-over is under way.
        """
        if self.report.stage is not Stage.INSTALLED:
            raise OperationError(Refusal.WRONG_STATE, f"the operation is {self.report.stage.value}, not installed")
        self.checkRoute(route)
        self._change.route = route
        self.machine.switchOver()

    def checkRoute(self, route: Route) -> None:
        """
        Does the route take this move's flows to its destination?

        @raise OperationError: C{BAD_REQUEST}, it takes others, or elsewhere, where their records are not;
            C{BUFFER_FULL}, too many routes are wanted.
        """
        checkRoom(self._around.journal, route)
        if route.flows != self.flows or self.request.destination.name not in route.path:
            ends = f"{self.request.flows} to {self.request.destination.name}"
            raise OperationError(Refusal.BAD_REQUEST, f"the route must take {ends}, not {route.flows} to {route.path}")
        if route.oneWay:
            raise OperationError(Refusal.BAD_REQUEST, "flows move in both directions: their route cannot be one-way")

    def abort(self, reason: str) -> None:
        """
        Undo everything, if the destination has not been told to commit.

        @raise OperationError: it is too late, or it is over.
        """
        if self.report.stage not in UNDECIDED:
            raise OperationError(Refusal.WRONG_STATE, f"the operation is {self.report.stage.value}: too late to abort")
        self.machine.abort(Refusal.ABORTED, reason)

    @property
    def changing(self) -> Route | None:
        """The route that this move is changing: until it is decided whether the new or the old one is wanted."""
        isDecided = self._owned or self.report.stage in (Stage.FINISHED, Stage.ABORTED, Stage.FAILED)
        return self._change.route if self._change.asked and not isDecided else None

    @property
    def exclusive(self) -> bool:
        """May no other operation touch these flows?  True until the source has deleted."""
        return self.report.stage not in (Stage.MOVED, Stage.FINISHED, Stage.ABORTED, Stage.FAILED)

    # -- facts

    def _noted(self, message: m.Message) -> None:
        self._unmarked = self._unmarked or isinstance(message, m.Unmarked)

    @property
    def _routes(self) -> tuple[Route | None, Route | None]:
        return self._change.journalled

    def _account(self) -> None:
        """After a restart: once each end has returned, or is known to be dead, the machine can go on."""
        if self._recovering and all(end.present or end.dead for end in (self.source, self.destination)):
            self._recovering = False
            self.machine.endsPresent()

    def recover(self, entry: Entry) -> None:
        """Go on from the journal's last entry; both middleboxes are away until they return."""
        self._recovered()
        for end in (self.source, self.destination):
            end.engaged = entry.step is not Step.OPEN
            self.away(end.peer.name)
        self._owned = entry.step in (Step.COMMIT, Step.DRAINING, Step.COMMITTED)
        self._markers.routeAnswered()
        self._recovering = entry.step is Step.ROUTE
        match entry.step:
            case Step.OPEN | Step.SWITCHING:
                self.machine.recoverAbort("the controller was restarted")
            case Step.ABORT:
                self.machine.recoverAbort(entry.reason)
            case Step.ROUTE:
                self.machine.recoverRoute()
            case Step.BACK:
                self.machine.recoverBack(entry.reason)
            case Step.COMMIT | Step.DRAINING:
                self.machine.recoverCommit()
            case Step.COMMITTED:
                self.machine.recoverDelete()

    # -- actions (MoveActions)

    def setRoute(self) -> None:
        self._change.apply(lambda: self.journal(Step.ROUTE), self._inEffect, self.machine.routeFailed)

    def _inEffect(self) -> None:
        self._markers.routeAnswered()
        self._routed = True
        self._goOn()

    def _goOn(self) -> None:
        """To commit when nobody is there to take over could only lose what the source still has."""
        if self._routed and self.destination.present:
            self._routed = False
            self.machine.routed()

    def setRouteBack(self) -> None:
        self._owned = self._routed = False
        self._change.setBack(self._isBack)

    def _isBack(self) -> None:
        self._markers.routeAnswered()
        self.machine.routedBack()

    def startMarkers(self, back: bool) -> None:
        destination = (self.request.destination.name,)
        self._markers.start(destination if back else (self.request.source.name, *destination), back)

    def stopMarkers(self) -> None:
        self._markers.stop()

    def reached(self, stage: Stage) -> None:
        if stage is Stage.FINISHED and self.report.refusal is not None:
            stage = Stage.FAILED
        elif stage is Stage.ABORTED and not self._unmarked:  # nobody knows whether what was given back has arrived
            self.report = replace(self.report, lost=self.report.lost + self.report.returned)
        self.report = replace(self.report, stage=stage)
        # whoever waits may switch over at once, and gives the route only then
        known = self._change.route is not None
        self.watcher(self.report)
        if stage is Stage.INSTALLED:
            self.installed.fire(self.report)
            if known:
                self.machine.switchOver()
        elif stage is Stage.MOVED and self.report.refusal is None:
            self.moved.fire(self.report)
        elif stage in (Stage.FINISHED, Stage.ABORTED, Stage.FAILED):
            self._over(stage, self.moved)
