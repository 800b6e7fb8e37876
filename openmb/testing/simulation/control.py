"""
The controller of a history: it may die between any two acts, and be started again from its journal.

A life is one controller process.  When it dies its code may still run to the end of a step, but nothing that it does
reaches anybody: messages, requests to the network, journal entries and calls at later times are lost.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from openmb.controller.controller import Controller
from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, NetworkState, Route
from openmb.operations.journal import Entry, IJournal, MemoryJournal, Step
from openmb.operations.values import MoveSettings
from openmb.testing.simulation.clock import SimulatedCall, SimulatedClock
from openmb.testing.simulation.faults import Crash, Faults
from openmb.wire.messages import Credit, Message, StreamFrame


class Life:
    """
    One controller process.

    @param died: told when it dies.
    @param wrote: told of each entry that became durable.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        network: INetwork,
        journal: MemoryJournal,
        died: Callable[[Crash], None],
        wrote: Callable[[Entry], None],
    ) -> None:
        self.alive = True
        self.clock = LifeClock(self, clock)
        self.journal = LifeJournal(self, journal, wrote)
        self.network = LifeNetwork(self, network)
        self.unwritable: Callable[[], bool] = lambda: False
        self.crash: Crash | None = None
        self._died = died
        self._passed = 0
        self._left: int | None = None
        self.controller: Controller

    def act(self, perform: Callable[[], object]) -> None:
        """Do something that others can see, if still alive; perhaps it is the last thing."""
        if not self.alive:
            return
        perform()
        if self._left is not None:
            self._left -= 1
            if self._left <= 0 and self.crash is not None:
                self.die(self.crash)

    def sending(self, send: Callable[[Message], None]) -> Callable[[Message], None]:
        """C{send} as this controller has it; frames and credit that are relayed are no acts of its own."""

        def sent(message: Message) -> None:
            if not isinstance(message, StreamFrame | Credit):
                self.act(lambda: send(message))
            elif self.alive:
                send(message)

        return sent

    def before(self, step: Step) -> bool:
        """An entry is about to be written; False: too late, the controller is dead."""
        crash = self.crash
        if self.alive and crash is not None and crash.moment is None and crash.step is step and self._left is None:
            self._passed += 1
            if self._passed > crash.passed:
                if crash.acts == 0:
                    self.die(crash)
                else:
                    self._left = crash.acts
        return self.alive

    def die(self, crash: Crash) -> None:
        """From here on nothing reaches anybody."""
        if self.alive:
            self.alive = False
            self._died(crash)


@implementer(IReactorTime)
class LifeClock:
    """The clock as one controller sees it: its calls die with it."""

    def __init__(self, life: Life, clock: SimulatedClock) -> None:
        self._life, self._clock = life, clock
        self._calls: set[SimulatedCall] = set()

    def seconds(self) -> float:
        return self._clock.seconds()

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> SimulatedCall:
        def due() -> None:
            self._calls.discard(call)
            if self._life.alive:
                callable(*args, **kw)

        call = self._clock.callLater(delay, due)
        self._calls.add(call)
        return call

    def getDelayedCalls(self) -> Sequence[SimulatedCall]:
        self._calls = {call for call in self._calls if call.active()}
        return list(self._calls)


@implementer(IJournal)
class LifeJournal:
    """The journal as one controller sees it: it may be full, or the last thing that it sees."""

    def __init__(self, life: Life, journal: MemoryJournal, wrote: Callable[[Entry], None]) -> None:
        self._life, self._journal, self._wrote = life, journal, wrote

    @property
    def epoch(self) -> int:
        return self._journal.epoch

    @property
    def key(self) -> bytes:
        return self._journal.key

    def write(self, entry: Entry) -> None:
        if self._life.before(entry.step):
            self._life.act(lambda: self._write(entry))

    def _write(self, entry: Entry) -> None:
        if self._life.unwritable():
            raise OperationError(Refusal.JOURNAL_FAILED, "the disk is full")
        self._journal.write(entry)
        self._wrote(entry)

    def want(self, route: Route) -> None:
        self._life.act(lambda: self._journal.want(route))

    def unwant(self, route: Route) -> None:
        self._life.act(lambda: self._journal.unwant(route))

    def wanted(self) -> tuple[Route, ...]:
        return self._journal.wanted()

    def unfinished(self) -> tuple[Entry, ...]:
        return self._journal.unfinished()

    def outcomes(self, limit: int) -> tuple[Entry, ...]:
        return self._journal.outcomes(limit)

    def close(self) -> None:
        self._journal.close()


@implementer(INetwork)
class LifeNetwork:
    """The network as one controller sees it: answers to the dead are lost, what it had asked for is done."""

    def __init__(self, life: Life, network: INetwork) -> None:
        self._life, self._network = life, network

    @property
    def settle(self) -> float:
        return self._network.settle

    def _ask(self, ask: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()

        def answered(result: object) -> None:
            if self._life.alive:
                answer.callback(result)

        self._life.act(lambda: ask().addBoth(answered))
        return answer

    def route(self, route: Route) -> Deferred[Route | None]:
        return self._ask(lambda: self._network.route(route))

    def current(self, route: Route) -> Deferred[Route | None]:
        return self._ask(lambda: self._network.current(route))

    def unroute(self, route: Route) -> Deferred[Route | None]:
        return self._ask(lambda: self._network.unroute(route))

    def state(self) -> Deferred[NetworkState]:
        return self._ask(self._network.state)

    def routes(self) -> Deferred[list[Route]]:
        return self._ask(self._network.routes)

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        return self._ask(lambda: self._network.mark(operation, token, number, final, ports))


class Control:
    """
    The controllers of one history, one after the other, with one journal.

    @param rng: of the history; @param luck: of its faults.
    @param begun: told of each controller that was started again.
    @param ended: told when one has died, before anything else happens.
    @ivar life: the controller that is alive, or None.
    @ivar fullUntil: until when no entry can be written.
    @ivar gone: none will be started any more.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        network: INetwork,
        settings: MoveSettings,
        rng: random.Random,
        luck: random.Random,
        faults: Faults,
        counts: Counter[str],
    ) -> None:
        self._clock, self._network, self._settings = clock, network, settings
        self._rng, self._luck, self._faults, self._counts = rng, luck, faults, counts
        self.journal = MemoryJournal()
        self._crashes = list(faults.crashes)
        self.begun: Callable[[Life], None] = lambda life: None
        self.ended: Callable[[Life], None] = lambda life: None
        self.wrote: Callable[[Entry], None] = lambda entry: None
        self.gone, self.fullUntil = False, 0.0
        self.lives = 0
        self.life: Life | None = self._start()

    def _start(self) -> Life:
        self.lives += 1
        life = Life(self._clock, self._network, self.journal, self._died, self._written)
        life.controller = Controller(
            life.network,
            life.journal,
            life.clock,
            self._settings,
            identify=lambda: self._rng.getrandbits(63) + 1,
            token=lambda: self._rng.randbytes(16),
        )
        life.crash = self._crashes[0] if self._crashes else None
        life.unwritable = self._isFull
        return life

    def _isFull(self) -> bool:
        full = self._clock.seconds() < self.fullUntil
        if self._faults.unwritable:
            full = full or self._luck.random() < self._faults.unwritable
        self._counts["journal full"] += full
        return full

    def _written(self, entry: Entry) -> None:
        self.wrote(entry)

    def fill(self, seconds: float) -> None:
        """The journal's disk is full from now on, for a while."""
        self.fullUntil = max(self.fullUntil, self._clock.seconds() + seconds)
        self._counts["disk full"] += 1

    def strike(self, crash: Crash) -> None:
        """The moment of a crash has come."""
        if self.life is not None and self.life.crash is crash:
            self.life.die(crash)

    def _died(self, crash: Crash) -> None:
        life, self.life = self.life, None
        self._crashes.pop(0)
        where = f"at {crash.moment.stage.value}" if crash.moment else f"at {crash.step.value} + {crash.acts}"
        self._counts[f"controller death {where}"] += 1
        self._counts["controller deaths"] += 1
        if life is not None:
            self.ended(life)
        if crash.away is None:
            self.gone = True
            self._counts["controller never restarted"] += 1
        else:
            self._clock.callLater(crash.away, self._again)

    def _again(self) -> None:
        """Start the controller again."""
        self.journal.epoch += 1
        life = self.life = self._start()
        for entry in self.journal.unfinished():
            self._counts[f"recovered after {entry.step.value}"] += 1
        life.controller.recover()
        if life.alive:
            self.begun(life)
