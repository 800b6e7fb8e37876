"""
A target: a controller whose middleboxes and network follow no protocol.

An input is a programme, three bytes a step: applications ask, middleboxes come, go, change and answer what nobody
asked, the network answers late or with an error, the journal's disk is full, the controller starts again, time passes.
Nothing throws, nothing is logged as a failure, and once nobody says anything any more every operation comes to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from openmb.controller.controller import Controller
from openmb.controller.registry import Session
from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, NetworkState, Route
from openmb.operations.journal import Entry, MemoryJournal
from openmb.state.headers import HeaderFieldList
from openmb.state.taxonomy import Cell
from openmb.testing.fuzzing.target import Target
from openmb.wire import messages as m

NAMES = "abc"
FLOWS = ("tcp", "udp", "tcp,tp_dst=80", "*", "nonsense")
TIMES = (0.01, 1.0, 11.0, 16.0, 130.0)
TOKEN = bytes(16)
#: Bytes of a programme beyond this are passed over.
LONGEST = 900
#: Seconds after which nothing may be under way any more: longer than all deadlines and the grace time together.
END = 1500


class Faulty(OperationError):
    """An answer of the network."""

    def __init__(self) -> None:
        super().__init__(Refusal.ROUTE_FAILED, "the switch says no")


@implementer(INetwork)
class SlowNetwork:
    """Answers when it is told to."""

    settle = 0.5

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []

    def _ask(self) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.asked.append(answer)
        return answer

    def answer(self, how: int, route: Route) -> None:
        """Answer one request."""
        if self.asked:
            answer = self.asked.pop(how % len(self.asked))
            if answer.called:  # nobody waits for it any more
                return
            if how % 5 == 4:
                answer.errback(Faulty())
            else:
                answer.callback(route if how & 1 else None)

    def route(self, route: Route) -> Deferred[Route | None]:
        """See L{INetwork.route}."""
        return self._ask()

    def current(self, route: Route) -> Deferred[Route | None]:
        """See L{INetwork.current}."""
        return self._ask()

    def unroute(self, route: Route) -> Deferred[Route | None]:
        """See L{INetwork.unroute}."""
        return self._ask()

    def state(self) -> Deferred[NetworkState]:
        """See L{INetwork.state}."""
        return self._ask()

    def routes(self) -> Deferred[list[Route]]:
        """See L{INetwork.routes}."""
        return self._ask()

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        """See L{INetwork.mark}."""
        return self._ask()


class FullJournal(MemoryJournal):
    """
    @ivar full: nothing can be written.
    @ivar gaps: something could not be: what is over may not say so.
    """

    full = gaps = False

    def write(self, entry: Entry) -> None:
        """Unless it is full."""
        if self.full:
            self.gaps = True
            raise OperationError(Refusal.JOURNAL_FAILED, "no space left on device")
        super().write(entry)


def _refused(failure: Failure) -> None:
    """Applications may be refused; anything else would be logged as unhandled."""
    failure.trap(OperationError)


class Programme:
    """Carries steps out."""

    def __init__(self) -> None:
        self.clock, self.network, self.journal = Clock(), SlowNetwork(), FullJournal()
        self._identifiers = 0
        self._waiting: list[Deferred[Any]] = []
        self.sessions: dict[str, Session] = {}
        self.controller = self._start()
        self._acts: tuple[Callable[[str, int, int], object], ...] = (
            *(
                self._register,
                self._leave,
                self._move,
                self._switchOver,
                self._abort,
                self._stats,
                self._inquire,
                self._time,
            ),
            *(self._network, self._network, self._restart, self._disk),
            *([self._says] * 8),
        )

    def _start(self) -> Controller:
        return Controller(self.network, self.journal, self.clock, None, self._identify, lambda: TOKEN)

    def _identify(self) -> int:
        self._identifiers += 1
        return self._identifiers

    def step(self, act: int, who: int, how: int) -> None:
        """One step: what, which middlebox and operation, and how; applications may be refused."""
        operation = max(self._identifiers - (who >> 4), 0)
        with suppress(OperationError):
            self._acts[act % len(self._acts)](NAMES[who % len(NAMES)], operation, how)

    def end(self) -> None:
        """Nobody says anything any more: everything ends, and no call is left in the clock."""
        self.journal.full = False
        for _ in range(END // 5):
            self.clock.advance(5.0)
        if self.controller.moves:
            stages = [move.report.stage.value for move in self.controller.moves]
            raise AssertionError(f"operations without an end: {stages}")
        if self.journal.unfinished() and not self.journal.gaps:
            raise AssertionError(f"not settled in the journal: {self.journal.unfinished()}")
        if left := self.clock.getDelayedCalls():
            raise AssertionError(f"nothing is under way, but time is waited for: {left}")

    def _register(self, name: str, operation: int, how: int) -> None:
        """A middlebox connects: again, or as another process, of another kind, knowing operations or not."""
        states = ("exporting", "ended", "confirmed", "nonsense")
        known = m.OperationStatus(operation, m.Side(how >> 2 & 1), states[how >> 3 & 3], (how >> 5) - 1, 5)
        said = m.Hello(
            *(2, 2, name, "bro" if how < 250 else "counter", bytes([how & 1]) * 16, bytes(32)),
            (m.LayoutVersion(Cell.SUPPORTING_PER_FLOW, 1, 1),),
            (known,) if how & 2 else (),
        )
        if how % 3:
            said = replace(said, secret=self.controller.secretOf(said))
        session = Session(said, lambda message: None)
        self.controller.checkNewcomer(said)
        self.sessions[name] = session
        self.controller.sessionOpened(session)

    def _leave(self, name: str, operation: int, how: int) -> None:
        session = self.sessions.pop(name, None)
        if session is not None:
            self.controller.sessionClosed(session)

    def _route(self, name: str, how: int) -> Route:
        flows = FLOWS[how % (len(FLOWS) - 1)]
        return Route(HeaderFieldList.parse(flows), (name,), priority=how)

    def _move(self, name: str, operation: int, how: int) -> None:
        destination = NAMES[(NAMES.index(name) + (how >> 6)) % len(NAMES)]
        route = self._route(destination, how) if how & 32 else None
        move = self.controller.startMove(name, destination, FLOWS[how % len(FLOWS)], route)
        for milestone in (move.installed, move.moved, move.finished):
            self._wait(milestone.wait())

    def _wait(self, answer: Deferred[Any]) -> None:
        answer.addErrback(_refused)

    def _switchOver(self, name: str, operation: int, how: int) -> None:
        move = self.controller.move(operation)
        move.switchOver(Route(move.flows, (move.request.destination.name,) if how & 1 else (name,)))

    def _abort(self, name: str, operation: int, how: int) -> None:
        self.controller.move(operation).abort("no longer wanted")

    def _stats(self, name: str, operation: int, how: int) -> None:
        self._wait(Deferred.fromCoroutine(self.controller.stats(name, FLOWS[how % len(FLOWS)])))

    def _inquire(self, name: str, operation: int, how: int) -> None:
        controller, subscriptions = self.controller, self.controller.subscriptions
        asked: tuple[Coroutine[Any, Any, Any], ...] = (
            *(controller.readConfig(name), controller.writeConfig(name, "a", ["x"]), controller.delConfig(name, "*")),
            subscriptions.open(name if how & 8 else "*", (), FLOWS[how % len(FLOWS)]),
        )
        for place, each in enumerate(asked):
            if place == how >> 6:
                self._wait(Deferred.fromCoroutine(each))
            else:
                each.close()

    def _time(self, name: str, operation: int, how: int) -> None:
        self.clock.advance(TIMES[how % len(TIMES)])

    def _network(self, name: str, operation: int, how: int) -> None:
        self.network.answer(how, self._route(name, how))

    def _disk(self, name: str, operation: int, how: int) -> None:
        self.journal.full = how < 128

    def _restart(self, name: str, operation: int, how: int) -> None:
        """The controller is killed, and another one goes on with its journal."""
        for call in list(self.clock.getDelayedCalls()):
            call.cancel()
        self.sessions.clear()
        self.network.asked.clear()
        self.journal.epoch += 1
        self.controller = self._start()
        self.controller.recover()

    def _says(self, name: str, operation: int, how: int) -> None:
        session = self.sessions.get(name)
        if session is not None:
            self.controller.messageReceived(session, sayings(operation, how >> 5)[how % 32 % SAYINGS])


def sayings(operation: int, number: int) -> tuple[m.Message, ...]:
    """Everything that a middlebox can say of an operation."""
    refusal = list(Refusal)[number % len(Refusal)]
    side = m.Side(number & 1)
    return (
        *(m.Prepared(operation, bytes([number]) * 16), m.Getting(operation), m.Holding(operation)),
        *(m.Installed(operation, number, 500, 2), m.DivertConfirmed(operation, number), m.Committed(operation, number)),
        *(m.Merged(operation, 1, 2, 3, 4, 5), m.Deleted(operation, number, 1), m.WindowClosed(operation, 1, number)),
        *(m.Unmarked(operation, 1, number), m.Discarded(operation, number)),
        *(m.Refused(operation, 17 + number, refusal, "no"), m.StatsAnswer(operation, ())),
        *(m.ConfigurationAnswer(operation, ()), m.Configured(operation, bytes([number]) * 32)),
        *(m.EventsEnabled(operation), m.Events(operation, 100 * number, (m.Event("x", number, ()),))),
        *(m.StreamFrame(operation, side, number, m.StreamType.RECORDS, b"c", b"s"), m.Credit(operation, side, number)),
    )


SAYINGS = len(sayings(0, 0))


@contextmanager
def failuresRaise() -> Iterator[None]:
    """What is logged as a failure is raised afterwards."""
    failures: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event)

    observer = cast(ILogObserver, observe)
    globalLogPublisher.addObserver(observer)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observer)
    if failures:
        failures[0]["log_failure"].raiseException()  # so that it shows where it comes from


def controllers() -> Target:
    """Programmes; the good ones move flows as middleboxes would."""

    def run(data: bytes) -> None:
        with failuresRaise():
            programme = Programme()
            for name in NAMES:
                programme.step(REGISTER, NAMES.index(name), 0)
            for place in range(0, min(len(data) - 2, LONGEST), 3):
                programme.step(*data[place : place + 3])
            programme.end()

    return Target("controllers", run, (), GOOD)


#: Numbers of acts, as in L{Programme}.
REGISTER, LEAVE, MOVE, SWITCH_OVER, ABORT, STATS, TIME, NETWORK, RESTART, DISK, SAYS = 0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11
A, B = 0, 1
PREPARED, GETTING, HOLDING, INSTALLED, CONFIRMED, COMMITTED, MERGED, DELETED, CLOSED, UNMARKED, DISCARDED = range(11)


def _steps(*steps: tuple[int, int, int]) -> bytes:
    return bytes(each for step in steps for each in step)


_INSTALLED = ((MOVE, A, 65), (SAYS, B, PREPARED), (SAYS, A, GETTING), (SAYS, B, INSTALLED))
_ROUTING = (*_INSTALLED, (SWITCH_OVER, A, 1), (SAYS, B, HOLDING), (SAYS, B, CONFIRMED))
_ROUTED = (*_ROUTING, (NETWORK, A, 0), (NETWORK, A, 0))
_MERGED = (*_ROUTED, (SAYS, B, COMMITTED), (TIME, A, 1), (NETWORK, A, 0), (SAYS, B, MERGED), (SAYS, A, DELETED))
_ABORTED = (*_INSTALLED, (ABORT, A, 0), (SAYS, A, UNMARKED), (SAYS, B, DISCARDED))
_RESTARTED = (*_ROUTED, (RESTART, A, 0), (REGISTER, A, 0), (REGISTER, B, 22), (NETWORK, A, 0), (SAYS, B, COMMITTED))
GOOD = [
    _steps(*steps)
    for steps in ((*_MERGED, (SAYS, A, CLOSED)), _ABORTED, _RESTARTED, (*_ROUTING, (NETWORK, A, 4), (NETWORK, A, 4)))
]
