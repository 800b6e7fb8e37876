"""
Runs one move: performs what its machine asks for, and turns answers, deadlines and deaths into the machine's facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from automat import NoTransition
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from openmb.controller.milestone import Milestone
from openmb.controller.registry import Registry
from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, Route
from openmb.operations.facts import MoveCore
from openmb.operations.journal import Entry, IJournal, Step
from openmb.operations.move import moveMachine
from openmb.operations.values import MoveReport, MoveRequest, Stage
from openmb.packets.marker import BACK_MARKERS
from openmb.state.headers import HeaderFieldList
from openmb.wire import messages as m

#: Seconds between drain markers: what a held packet waits at most for news of the other path.
MARKER_INTERVAL = 0.004
#: Markers that may be asked for without an answer.
MARKERS_AHEAD = 8

#: States in which an application may still change its mind.
UNDECIDED = frozenset({Stage.STARTED, Stage.INSTALLED, Stage.SWITCHING})

#: What each end may say.
SOURCE_ANSWERS = (m.Getting, m.Deleted, m.WindowClosed, m.Unmarked, m.Refused)
DESTINATION_ANSWERS = (
    m.Prepared,
    m.Installed,
    m.Holding,
    m.DivertConfirmed,
    m.Committed,
    m.Merged,
    m.Discarded,
    m.Refused,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every operation of one controller uses."""

    registry: Registry
    network: INetwork
    journal: IJournal
    clock: IReactorTime


class MovePerformer:
    """
    One move under way.

    @ivar installed: fires with the report when every record is at the destination.
    @ivar moved: fires when the destination has taken over and the source has deleted.
    @ivar finished: fires when the source's late window is closed; all three fail when the move does.
    """

    log = Logger()

    def __init__(
        self, request: MoveRequest, around: Surroundings, route: Route | None, ended: Callable[[MovePerformer], None]
    ) -> None:
        self.request, self._around, self._route, self._ended = request, around, route, ended
        self.flows = HeaderFieldList.parse(request.flows)
        self.report = MoveReport(request.operation)
        self.installed: Milestone[MoveReport] = Milestone()
        self.moved: Milestone[MoveReport] = Milestone()
        self.finished: Milestone[MoveReport] = Milestone()
        self.watcher: Callable[[MoveReport], None] = lambda report: None
        self._replaced: Route | None = None
        self._answered = False
        self._unanswered = 0
        self._routing: Deferred[None] | None = None
        self._deadline: IDelayedCall | None = None
        self._marking: IDelayedCall | None = None
        self._markers = 0
        self._settled = 0.0
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
        self._route = route
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
        own = SOURCE_ANSWERS if fromSource else DESTINATION_ANSWERS
        try:
            if not isinstance(message, own):
                raise OperationError(Refusal.BAD_REQUEST, f"{type(message).__name__} is not for this side to say")
            self._take(message)
        except NoTransition:
            self._misbehaved(f"{type(message).__name__} came out of turn")
        except OperationError as error:
            self._misbehaved(error.reason)

    def _misbehaved(self, reason: str) -> None:
        self.log.warn("operation {op:x}: {reason}", op=self.request.operation, reason=reason)
        self.machine.abort(Refusal.BAD_REQUEST, reason)

    def _take(self, message: m.Message) -> None:
        match message:
            case m.Installed() | m.Merged() | m.Deleted() | m.WindowClosed():
                earlier, self.report = self.report, self.report.with_(message)
                try:
                    self._counted(message)
                except NoTransition:
                    self.report = earlier
                    raise
            case m.Prepared():
                self.machine.prepared()
            case m.Holding():
                self.machine.holdingStarted()
            case m.DivertConfirmed():
                self.machine.divertConfirmed()
                self.report = replace(self.report, reprocessed=message.reprocessed)
            case m.Committed():
                self.machine.committed()
            case m.Discarded():
                self.machine.discarded()
            case m.Unmarked():
                self.report = replace(self.report, lost=self.report.lost + message.lost)
                self.machine.unmarked()
            case m.Refused(request=m.MessageType.COMMIT):
                self.machine.commitRefused(message.refusal, message.reason)
            case m.Refused():
                self.machine.abort(message.refusal, message.reason)

    def _counted(self, message: m.Installed | m.Merged | m.Deleted | m.WindowClosed) -> None:
        match message:
            case m.Installed():
                self.machine.installed()
            case m.Merged():
                self.machine.merged()
            case m.Deleted():
                self.machine.deleted()
            case m.WindowClosed():
                self.machine.windowClosed()

    def died(self, name: str) -> None:
        """One of the two middleboxes is gone for good."""
        if name == self.request.source.name:
            self.machine.sourceDied()
        else:
            self.machine.destinationDied()

    # -- actions (MoveActions)

    def journal(self, step: Step, reason: str = "") -> None:
        request = self.request
        route = "" if self._route is None else f"{self._route.flows} -> {','.join(self._route.path)}"
        self._around.journal.write(
            Entry(request.operation, step, request.source, request.destination, request.flows, route, reason)
        )

    def toSource(self, message: m.Message) -> None:
        self._send(self.request.source, message)

    def toDestination(self, message: m.Message) -> None:
        self._send(self.request.destination, message)

    def _send(self, peer: m.Peer, message: m.Message) -> None:
        session = self._around.registry.get(peer.name)
        if session is not None and session.peer == peer:
            session.send(message)

    def setRoute(self) -> None:
        route = self._route
        if route is None:  # switchOver always gives one: the machine cannot come here without
            self.machine.routeFailed("no route was given")
            return
        self._routing = self._ask(route)

    async def _change(self, route: Route) -> None:
        self._replaced = await self._around.network.route(route)
        self._answered = True

    def _ask(self, route: Route) -> Deferred[None]:
        asked = Deferred.fromCoroutine(self._change(route))
        asked.addCallbacks(lambda _: self._inEffect(), self._routeRefused)
        return asked

    def _inEffect(self) -> None:
        self._settled = self._around.clock.seconds() + self._around.network.settle
        self.machine.routed()

    def _routeRefused(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, OperationError) and error.refusal is Refusal.ROUTE_FAILED:
            self._route = None  # nothing was changed; after any other failure it may have been
        self.machine.routeFailed(failure.getErrorMessage())

    def setRouteBack(self) -> None:
        # what was asked first must be answered first: else the two changes could overtake each other
        asked = Deferred.fromCoroutine(self._setBack())
        asked.addErrback(lambda failure: self.log.error("route not set back: {e}", e=failure.getErrorMessage()))
        asked.addCallback(lambda _: self._isBack())

    async def _setBack(self) -> None:
        if self._routing is not None:
            waiting: Deferred[None] = Deferred()
            self._routing.addBoth(lambda result: waiting.callback(None))
            await waiting
        network = self._around.network
        if self._replaced is not None:
            await network.route(self._replaced)
        elif self._route is not None and self._answered:
            await network.unroute(self._route)
        elif self._route is not None:
            # what the rule was before is not known; where its packets belong is
            await network.route(replace(self._route, path=(self.request.source.name,)))

    def _isBack(self) -> None:
        self._settled = self._around.clock.seconds() + self._around.network.settle
        self.machine.routedBack()

    def startMarkers(self, back: bool) -> None:
        self.stopMarkers()
        if back:
            self._markers = BACK_MARKERS
        ports = (self.request.destination.name,)
        self._mark(ports if back else (self.request.source.name, *ports))

    def _mark(self, ports: tuple[str, ...]) -> None:
        clock = self._around.clock
        self._marking = clock.callLater(MARKER_INTERVAL, self._mark, ports)
        final = clock.seconds() >= self._settled
        if self._unanswered >= MARKERS_AHEAD:
            return  # the network does not answer: more of them would only pile up
        self._markers += 1
        self._unanswered += 1
        sent = self._around.network.mark(self.request.operation, self.request.token, self._markers, final, ports)
        sent.addErrback(lambda failure: self.log.warn("no drain marker: {e}", e=failure.getErrorMessage()))
        sent.addCallback(lambda _: self._markerSent())

    def _markerSent(self) -> None:
        self._unanswered -= 1

    def stopMarkers(self) -> None:
        if self._marking is not None:
            self._marking.cancel()
            self._marking = None

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
        self.report = replace(self.report, stage=stage)
        # whoever waits may switch over at once, and gives the route only then
        known = self._route is not None
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
        self._ended(self)
        if stage is Stage.FINISHED:
            self.finished.fire(self.report)
            return
        error = OperationError(self.report.refusal or Refusal.ABORTED, self.report.reason)
        for milestone in (self.installed, self.moved, self.finished):
            milestone.failed(error)
