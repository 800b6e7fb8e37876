"""
Runs one move: performs what its machine asks for, and turns answers, deadlines and deaths into the machine's facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from automat import NoTransition
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from openmb.controller.answers import tell
from openmb.controller.ends import End
from openmb.controller.markers import Markers
from openmb.controller.milestone import Milestone
from openmb.controller.registry import Registry
from openmb.controller.routechange import RouteChange
from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, Route
from openmb.operations.facts import MoveCore
from openmb.operations.journal import Entry, IJournal, Step
from openmb.operations.move import moveMachine
from openmb.operations.values import MoveReport, MoveRequest, Stage
from openmb.state.headers import HeaderFieldList
from openmb.wire import messages as m

#: States in which an application may still change its mind.
UNDECIDED = frozenset({Stage.STARTED, Stage.INSTALLED, Stage.SWITCHING})

#: Seconds until a CLOSED that could not be written is tried again.
CLOSE_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What every operation of one controller uses.

    @ivar unclosed: operations that are over, which the journal does not say yet.
    """

    registry: Registry
    network: INetwork
    journal: IJournal
    clock: IReactorTime
    unclosed: set[int] = field(default_factory=set)


class MovePerformer:
    """
    One move under way.

    @ivar installed: fires with the report when every record is at the destination.
    @ivar moved: fires when the destination has taken over and the source has deleted.
    @ivar finished: fires when the source's late window is closed; all three fail when the move does.
    """

    log = Logger()

    def __init__(
        self,
        request: MoveRequest,
        around: Surroundings,
        change: RouteChange,
        ended: Callable[[MovePerformer], None],
    ) -> None:
        self.request, self._around, self._change, self._ended = request, around, change, ended
        self.flows = HeaderFieldList.parse(request.flows)
        self.report = MoveReport(request.operation)
        self.installed: Milestone[MoveReport] = Milestone()
        self.moved: Milestone[MoveReport] = Milestone()
        self.finished: Milestone[MoveReport] = Milestone()
        self.watcher: Callable[[MoveReport], None] = lambda report: None
        self.source = End(m.Side.SOURCE, request.source, around.registry, around.clock)
        self.destination = End(m.Side.DESTINATION, request.destination, around.registry, around.clock)
        self._taken: set[type[m.Message]] = set()
        self._deadline: IDelayedCall | None = None
        self._markers = Markers(request.operation, request.token, around.network, around.clock)
        self._owned = False  # the destination may have been told to commit
        self._recovering = False
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

        @raise OperationError: C{BAD_REQUEST}, it takes others, or elsewhere, where their records are not.
        """
        if route.flows != self.flows or self.request.destination.name not in route.path:
            ends = f"{self.request.flows} to {self.request.destination.name}"
            raise OperationError(Refusal.BAD_REQUEST, f"the route must take {ends}, not {route.flows} to {route.path}")

    def abort(self, reason: str) -> None:
        """
        Undo everything, if the destination has not been told to commit.

        @raise OperationError: it is too late, or it is over.
        """
        if self.report.stage not in UNDECIDED:
            raise OperationError(Refusal.WRONG_STATE, f"the operation is {self.report.stage.value}: too late to abort")
        self.machine.abort(Refusal.ABORTED, reason)

    @property
    def exclusive(self) -> bool:
        """May no other operation touch these flows?  True until the source has deleted."""
        return self.report.stage not in (Stage.MOVED, Stage.FINISHED, Stage.ABORTED, Stage.FAILED)

    # -- facts

    def answered(self, message: m.Message, fromSource: bool) -> None:
        """An answer of one of the two middleboxes; what its side cannot say, or not now, ends the operation."""
        if type(message) in self._taken:
            return  # given again, since a connection was lost meanwhile
        end = self.source if fromSource else self.destination
        end.engaged = True
        earlier, self.report = self.report, self.report.with_(message)
        self._unmarked = self._unmarked or isinstance(message, m.Unmarked)
        try:
            tell(self.machine, end.side, message)
        except NoTransition:
            self.report = earlier
            self._misbehaved(f"{type(message).__name__} came out of turn")
        except OperationError as error:
            self.report = earlier
            self._misbehaved(error.reason)
        else:
            if not isinstance(message, m.Refused):
                self._taken.add(type(message))

    def _misbehaved(self, reason: str) -> None:
        self.log.warn("operation {op:x}: {reason}", op=self.request.operation, reason=reason)
        self.machine.abort(Refusal.BAD_REQUEST, reason)

    def _end(self, name: str) -> End:
        return self.source if name == self.request.source.name else self.destination

    def died(self, name: str) -> None:
        """One of the two middleboxes is gone for good."""
        end = self._end(name)
        end.returned()
        if not end.dead:
            end.dead = True
            if end is self.source:
                self.machine.sourceDied()
            else:
                self.machine.destinationDied()
            self._account()

    def away(self, name: str) -> None:
        """The connection of one of the two is lost: it has the grace time to come back."""
        self._end(name).away(self.request.settings.grace, lambda: self._tooLongAway(name))

    def _tooLongAway(self, name: str) -> None:
        if name == self.request.destination.name and self._owned:
            return  # it may own the records: COMMIT is repeated when it returns, until the deadline
        self.log.warn(
            "operation {op:x}: {name} did not come back within {grace:g} s",
            op=self.request.operation,
            name=name,
            grace=self.request.settings.grace,
        )
        self.died(name)

    def returned(self, name: str) -> None:
        """The same incarnation of one of the two is connected (again): go on where it broke."""
        end = self._end(name)
        end.returned()
        if end.gaveUp(self.request.operation) or (self._recovering and end.isOver(self.request.operation)):
            self.machine.abort(Refusal.WRONG_STATE, f"{name} had given the operation up")
        end.repeat()
        if self.source.present and self.destination.present:
            self._resume(self.source, self.destination)
            self._resume(self.destination, self.source)
        self._account()
        self._goOn()

    def _resume(self, maker: End, receiver: End) -> None:
        """Have the frames of one stream that the receiver does not know sent again."""
        status = receiver.status(self.request.operation)
        number = -1 if status is None else status.received
        maker.send(m.Resume(self.request.operation, maker.side, number))

    def _account(self) -> None:
        """After a restart: once each end has returned, or is known to be dead, the machine can go on."""
        if self._recovering and all(end.present or end.dead for end in (self.source, self.destination)):
            self._recovering = False
            self.machine.endsPresent()

    def recover(self, entry: Entry) -> None:
        """Go on from the journal's last entry; both middleboxes are away until they return."""
        self.report = replace(self.report, recovered=True)
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

    def journal(self, step: Step, reason: str = "") -> bool:
        request = self.request
        route, previous = self._change.journalled
        entry = Entry(
            request.operation,
            step,
            request.source,
            request.destination,
            request.flows,
            request.token,
            route,
            previous,
            reason,
        )
        try:
            self._around.journal.write(entry)
        except OperationError as error:
            self.log.critical("journal, {step} of {op:x}: {reason}", step=step.name, op=entry.operation, reason=error)
            if step is Step.CLOSED:
                self._around.unclosed.add(entry.operation)
                self._around.clock.callLater(CLOSE_AGAIN, self._closeLater, entry)
            return False
        self._owned = self._owned or step is Step.COMMIT
        return True

    def _closeLater(self, entry: Entry) -> None:
        """Try again to write that it is over; only then may both ends forget it."""
        try:
            self._around.journal.write(entry)
        except OperationError:
            self._around.clock.callLater(CLOSE_AGAIN, self._closeLater, entry)
            return
        self._around.unclosed.discard(entry.operation)
        for end in (self.source, self.destination):
            end.send(m.Close(entry.operation))

    def toSource(self, message: m.Message) -> None:
        self.source.send(message)

    def toDestination(self, message: m.Message) -> None:
        self.destination.send(message)

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

    def expect(self, wait: str) -> None:
        self._cancelDeadline()
        seconds: float = getattr(self.request.settings.deadlines, wait)
        if wait == "window":
            seconds += self.request.settings.lateWindow / 1000
        self._deadline = self._around.clock.callLater(seconds, self._tooLong)

    def _tooLong(self) -> None:
        self._deadline = None
        self.machine.deadline()

    def _cancelDeadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def failed(self, refusal: Refusal, reason: str) -> None:
        if self.report.refusal is None:
            self.report = replace(self.report, refusal=refusal, reason=reason)

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
            self._finish(stage)

    def _finish(self, stage: Stage) -> None:
        self._cancelDeadline()
        self.source.returned()
        self.destination.returned()
        self._ended(self)
        if stage is Stage.FINISHED:
            self.finished.fire(self.report)
            return
        error = OperationError(self.report.refusal or Refusal.ABORTED, self.report.reason)
        for milestone in (self.installed, self.moved, self.finished):
            milestone.failed(error)
