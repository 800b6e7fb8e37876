"""
What runs an operation of any sort: its two ends, its deadlines, its entries in the journal, and its report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from openmb.controller.answers import tell
from openmb.controller.ends import End
from openmb.controller.milestone import Milestone
from openmb.controller.registry import Registry
from openmb.controller.relaywindow import RelayWindow
from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, Route
from openmb.operations.journal import Entry, IJournal, Step
from openmb.operations.outcome import Outcome, reportText
from openmb.operations.sayings import COMMITTED, GONE_FORWARD, Verdict, judge
from openmb.operations.values import MoveReport, MoveRequest, Stage
from openmb.wire import messages as m

#: Seconds until a CLOSED that could not be written is tried again.
CLOSE_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What every operation of one controller uses.

    @ivar unclosed: operations that are over, which the journal does not say yet.
    @ivar wall: seconds since 1970, for people to read.
    """

    registry: Registry
    network: INetwork
    journal: IJournal
    clock: IReactorTime
    unclosed: set[int] = field(default_factory=set)
    wall: Callable[[], float] = time.time


class OperationPerformer:
    """
    One operation under way.

    @ivar installed: fires with the report when everything is at the destination.
    @ivar finished: fires when it is over; both fail when the operation does.
    @ivar watcher: is told of each stage.
    @ivar machine: the operation's, fed with facts.
    @ivar windows: what is on the way between the two ends, by the end that sends it.
    """

    log = Logger()
    machine: Any

    def __init__(self, request: MoveRequest, around: Surroundings, ended: Callable[[OperationPerformer], None]) -> None:
        self.request, self._around, self._ended = request, around, ended
        self.report = MoveReport(request.operation, sort=request.sort)
        self.installed: Milestone[MoveReport] = Milestone()
        self.finished: Milestone[MoveReport] = Milestone()
        self.watcher: Callable[[MoveReport], None] = lambda report: None
        self.source = End(m.Side.SOURCE, request.source, around.registry, around.clock)
        self.destination = End(m.Side.DESTINATION, request.destination, around.registry, around.clock)
        self.windows = {side: RelayWindow(request.settings.window) for side in m.Side}
        self._taken: set[type[m.Message]] = set()
        self._streaming: set[tuple[m.Side, m.Side, type[m.Message]]] = set()  # who may send frames, or credit
        self._deadline: IDelayedCall | None = None
        self._owned = False  # the destination may have been told to commit
        self._recovering = False
        self.began = around.wall()
        self._step = "idle"  # where it was before the fact that is being dealt with

    @property
    def outcome(self) -> Outcome:
        """What is remembered of it, now that it is over."""
        names = self.request.source.name, self.request.destination.name
        return Outcome(*names, self.request.flows, self.began, self._around.wall(), self.report)

    # -- what the sorts differ in

    def _noted(self, message: m.Message) -> None:
        """An answer has come that is not a repetition."""

    def _account(self) -> None:
        """An end has returned, or is known to be dead."""

    def _goOn(self) -> None:
        """An end has returned."""

    @property
    def _routes(self) -> tuple[Route | None, Route | None]:
        """The new route and the old one, for the journal."""
        return None, None

    # -- facts

    def answered(self, message: m.Message, fromSource: bool) -> None:
        """An answer of one of the two middleboxes; what is not its to say, or not now, ends the operation."""
        if type(message) in self._taken:
            return  # given again, since a connection was lost meanwhile
        end = self.source if fromSource else self.destination
        self._step = self.machine.where()
        if not self._maySay(end, message):
            return
        self.report = self.report.with_(message)
        self._noted(message)
        if not isinstance(message, m.Refused):
            self._taken.add(type(message))
        elif not fromSource and self.machine.where() in (*COMMITTED, *GONE_FORWARD):
            self.failed(message.refusal, message.reason)  # too late to undo anything, but somebody must be told
        tell(self.machine, message)

    def relayed(self, message: m.StreamFrame | m.Credit, fromSource: bool) -> None:
        """
        Frames go to the other end, credit to the end that made the frames.

        Nobody may speak for the other side, nor send what there is no credit for: others' sessions would suffer for it.
        """
        end, other = (self.source, self.destination) if fromSource else (self.destination, self.source)
        if not self._mayStream(end, message):
            return
        window = self.windows[message.side]
        try:
            if isinstance(message, m.Credit):
                window.credited(message.number)
            elif window.leavesOut(message.number, message.size, other.piled):
                return
            else:
                window.sent(message.number, message.size)
        except OperationError as error:
            self.misbehaved(end, error.reason)
            self.failed(error.refusal, f"{end.peer.name}: {error.reason}")  # what the stream lacks now, it caused
            return
        other.send(message)

    def _mayStream(self, end: End, message: m.StreamFrame | m.Credit) -> bool:
        """As L{_maySay}; who may send frames or credit once may do it to the end, so the machine is asked only once."""
        what = end.side, message.side, type(message)
        if what not in self._streaming and self._maySay(end, message):
            self._streaming.add(what)
        return what in self._streaming

    def _maySay(self, end: End, message: m.Message) -> bool:
        """By the table of C{openmb.operations.sayings}."""
        state = self.machine.where()
        verdict = judge(self.request.sort, end.side, message, state)
        if verdict is Verdict.WRONG:
            said = type(message).__name__
            if isinstance(message, m.Refused):
                said = f"Refused (request {message.request}: {message.reason})"
            self.misbehaved(end, f"{said} is not for the {end.side.name.lower()} to say while {state}")
        else:
            end.engaged = True
        return verdict is Verdict.TAKEN

    def misbehaved(self, end: End, reason: str) -> None:
        """That ends the operation, if it can still be undone; in any case it is counted, and told once for each end."""
        self.report = replace(self.report, strays=self.report.strays + 1)
        reason = f"{end.peer.name}: {reason}"
        if not end.strayed:
            self.log.warn("operation {op:016x}: {reason}", op=self.request.operation, reason=reason)
        end.strayed = True
        self.machine.abort(Refusal.BAD_REQUEST, reason)

    def _end(self, name: str) -> End:
        return self.source if name == self.request.source.name else self.destination

    def died(self, name: str) -> None:
        """One of the two middleboxes is gone for good."""
        end = self._end(name)
        end.returned()
        if not end.dead:
            end.dead = True
            self._step = self.machine.where()
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
            "operation {op:016x}: {name} did not come back within {grace:g} s",
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

    def _recovered(self) -> None:
        """The controller was restarted: nobody knows what an earlier one has counted."""
        self.report = replace(self.report, recovered=True)
        self.windows = {side: RelayWindow(self.request.settings.window, True) for side in m.Side}

    def writable(self, name: str) -> None:
        """One of the two takes again what it is sent: it gets what was left out of the stream to it."""
        receiver = self._end(name)
        maker = self.destination if receiver is self.source else self.source
        after = self.windows[maker.side].askAgain()
        if after is not None:
            maker.send(m.Resume(self.request.operation, maker.side, after))

    def _resume(self, maker: End, receiver: End) -> None:
        """Have the frames of one stream that the receiver does not know sent again."""
        status = receiver.status(self.request.operation)
        number = -1 if status is None else status.received
        self.windows[maker.side].resumed()
        maker.send(m.Resume(self.request.operation, maker.side, number))

    # -- actions

    def journal(self, step: Step, reason: str = "") -> bool:
        request = self.request
        route, previous = self._routes
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
            request.sort,
            reportText(self.report) if step is Step.CLOSED else "",
        )
        try:
            self._around.journal.write(entry)
        except OperationError as error:
            self.log.critical(
                "journal, {step} of {op:016x}: {reason}", step=step.name, op=entry.operation, reason=error
            )
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

    def expect(self, wait: str) -> None:
        self._cancelDeadline()
        seconds: float = getattr(self.request.settings.deadlines, wait)
        if wait == "window":
            seconds += self.request.settings.lateWindow / 1000
        self._deadline = self._around.clock.callLater(seconds, self._tooLong)

    def _tooLong(self) -> None:
        self._deadline = None
        self._step = self.machine.where()
        self.machine.deadline()

    def _cancelDeadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def failed(self, refusal: Refusal, reason: str) -> None:
        if self.report.refusal is None:
            if refusal in (Refusal.DEADLINE, Refusal.PEER_DIED):
                reason = f"{reason} ({self._circumstances(refusal)})"
            self.report = replace(self.report, refusal=refusal, reason=reason)

    def _circumstances(self, refusal: Refusal) -> str:
        """At which step, and which of the two is missing; if none is and time ran out, both are named."""
        ends = self.source, self.destination
        missing = [
            f"{end.side.name.lower()} {end.peer.name} is {'dead' if end.dead else 'not connected'}"
            for end in ends
            if end.dead or not end.present
        ]
        if not missing and refusal is Refusal.DEADLINE:
            missing = [f"{end.side.name.lower()} {end.peer.name} is connected" for end in ends]
        return ", ".join([f"while {self._step}", *missing])

    def _over(self, stage: Stage, *milestones: Milestone[MoveReport]) -> None:
        """It is over: C{milestones} and its own fire, or fail."""
        self._cancelDeadline()
        self.source.returned()
        self.destination.returned()
        self._ended(self)
        if stage is Stage.FINISHED:
            self.finished.fire(self.report)
            return
        error = OperationError(self.report.refusal or Refusal.ABORTED, self.report.reason)
        for milestone in (self.installed, *milestones, self.finished):
            milestone.failed(error)
