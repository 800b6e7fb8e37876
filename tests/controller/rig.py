"""A controller whose middleboxes are lists, and whose network answers when told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from openmb.controller.controller import Controller
from openmb.controller.registry import Session
from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, NetworkState, Route
from openmb.operations.journal import Entry, MemoryJournal
from openmb.operations.values import MoveSettings
from openmb.state.headers import HeaderFieldList
from openmb.state.taxonomy import Cell
from openmb.wire import messages as m

OP, TOKEN, NONCE = 99, bytes(range(16)), bytes(range(16, 32))
LAYOUTS = (m.LayoutVersion(Cell.SUPPORTING_PER_FLOW, 1, 1),)


def hello(name: str) -> m.Hello:
    return m.Hello(2, 2, name, "bro", name.encode() * 16, bytes(32), LAYOUTS, ())


@implementer(INetwork)
class HeldNetwork:
    """Each request waits in C{asked} until the test answers it; markers are kept and answered at once."""

    settle = 0.5

    def __init__(self) -> None:
        self.asked: list[tuple[str, Route, Deferred[Route | None]]] = []
        self.markers: list[tuple[bool, tuple[str, ...]]] = []
        self.present: Route | None = None

    def route(self, route: Route) -> Deferred[Route | None]:
        answer: Deferred[Route | None] = Deferred()
        self.asked.append(("route", route, answer))
        return answer

    def current(self, route: Route) -> Deferred[Route | None]:
        return succeed(self.present)

    def state(self) -> Deferred[NetworkState]:
        return succeed(NetworkState("", ()))

    def routes(self) -> Deferred[list[Route]]:
        return succeed([])

    def unroute(self, route: Route) -> Deferred[Route | None]:
        answer: Deferred[Route | None] = Deferred()
        self.asked.append(("unroute", route, answer))
        return answer

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        self.markers.append((final, tuple(ports)))
        return succeed(None)


class BreakableJournal(MemoryJournal):
    """C{broken}: the disk is full."""

    broken = False

    def write(self, entry: Entry) -> None:
        self._check()
        super().write(entry)

    def want(self, route: Route) -> None:
        self._check()
        super().want(route)

    def unwant(self, route: Route) -> None:
        self._check()
        super().unwant(route)

    def _check(self) -> None:
        if self.broken:
            raise OperationError(Refusal.JOURNAL_FAILED, "no space left on device")


class Rig:
    """Middleboxes C{a}, C{b} and C{c} are connected."""

    def __init__(self, journal: Any = None) -> None:
        self.clock, self.network = Clock(), HeldNetwork()
        self.journal: Any = journal or BreakableJournal()
        identifiers = iter(range(OP, OP + 1000))
        self._identify = lambda: next(identifiers)
        self.controller = self._controller()
        self.sent: dict[str, list[m.Message]] = {}
        self.sessions: dict[str, Session] = {}
        for name in "abc":
            self.connect(hello(name))

    def _controller(self) -> Controller:
        return Controller(self.network, self.journal, self.clock, MoveSettings(), self._identify, lambda: TOKEN)

    def restart(self) -> None:
        """The controller is killed; another one takes up its journal.  Nobody is connected."""
        for call in list(self.clock.getDelayedCalls()):
            call.cancel()
        self.sessions.clear()
        for sent in self.sent.values():
            sent.clear()
        self.network.asked.clear()
        self.network.markers.clear()
        self.controller = self._controller()
        self.controller.recover()

    def back(self, name: str, side: m.Side | None, state: str = "", received: int = -1) -> None:
        """The same incarnation connects again; what it says of the operation, if it knows it."""
        known = () if side is None else (m.OperationStatus(OP, side, state, received, 7),)
        self.connect(replace(hello(name), operations=known))

    def connect(self, said: m.Hello) -> Session:
        self.sent[said.name] = []
        session = self.sessions[said.name] = Session(said, self.sent[said.name].append)
        self.controller.sessionOpened(session)
        return session

    def other(self, name: str, **changes: object) -> None:
        """Connect a middlebox that is different."""
        self.connect(replace(hello(name), **changes))  # type: ignore[arg-type]

    def says(self, name: str, *messages: m.Message) -> None:
        for message in messages:
            self.controller.messageReceived(self.sessions[name], message)

    def types(self, name: str) -> list[str]:
        return [type(message).__name__ for message in self.sent[name]]

    def installed(self, flows: str = "tcp") -> None:
        """The move from a to b is installed."""
        self.says("b", m.Prepared(OP, NONCE))
        self.says("a", m.Getting(OP))
        self.says("b", m.Installed(OP, 5, 500, 2))

    def routing(self) -> None:
        """The network has been asked."""
        self.installed()
        self.says("b", m.Holding(OP), m.DivertConfirmed(OP, 3))

    def committing(self, replaced: Route | None = None) -> None:
        self.routing()
        self.network.asked[-1][2].callback(replaced)


def routeTo(*path: str, flows: str = "tcp") -> Route:
    return Route(HeaderFieldList.parse(flows), path)
