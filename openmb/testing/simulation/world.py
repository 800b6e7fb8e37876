"""
One history: controller, middleboxes and network in one process, on a clock that stands still until told.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from openmb.controller.controller import Controller
from openmb.controller.performer import MovePerformer
from openmb.controller.registry import Session
from openmb.errors import OperationError
from openmb.interfaces import IMiddlebox, Route
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.settings import HostSettings
from openmb.operations.journal import MemoryJournal
from openmb.operations.values import Deadlines, MoveReport, MoveSettings, Stage
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.state.headers import EVERYTHING, HeaderFieldList
from openmb.state.keyring import Keyring
from openmb.testing.simulation.clock import SimulatedClock
from openmb.testing.simulation.link import Line
from openmb.testing.simulation.network import SimulatedNetwork
from openmb.testing.simulation.oracle import Row, differences
from openmb.testing.simulation.scenario import SERVERS, Plan, Scenario, drawScenario
from openmb.testing.simulation.traffic import makeTraffic
from openmb.wire.messages import Message, StreamFrame

#: Simulated seconds between two looks of a host at its timers, and after the traffic until everything must be settled.
TICK, PATIENCE = 0.02, 150.0

DEADLINES = Deadlines(5.0, 20.0, 90.0, 5.0, 5.0, 5.0, 10.0, 10.0, 5.0, 5.0, 10.0)


class SimulatedKind(Protocol):
    """What the simulation needs of a kind."""

    name: str

    def engine(self, emit: Callable[[Row], None]) -> IMiddlebox:
        """A middlebox whose rows go to C{emit} as they are made."""

    def flowsOf(self, packets: Sequence[bytes]) -> list[str]:
        """The flow that each packet belongs to, as in C{Row.flow}."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of a history.

    @ivar wrong: what the oracle says, empty when all is well.
    @ivar counts: how often each thing happened (names as in L{World.counts}).
    """

    seed: int
    wrong: tuple[str, ...]
    counts: Counter[str]


class SimulatedMiddlebox:
    """A host with its two lines to the controller and its path from the switch."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.alive = True
        self._working = False
        scenario = world.scenario
        settings = HostSettings(sliceSlots=scenario.sliceSlots, eventBuffer=scenario.eventBuffer, mergeQuiet=0.3)
        engine = world.kind.engine(self.emit)
        self.host = MiddleboxHost(
            name, world.kind.name, name.encode() * 16, engine, world.keyring, self._send, world.clock.seconds, settings
        )
        self._up = Line(world.clock, world.rng, scenario.line, self._toController)
        self._down = Line(world.clock, world.rng, scenario.line, self._fromController)
        self.session = Session(self.host.hello(), self._down.send)
        world.network.attach(name, self._packets)
        world.controller.sessionOpened(self.session)
        self._ticking = False

    def emit(self, row: Row) -> None:
        self.world.rows.append(row)

    def _send(self, message: Message) -> None:
        if isinstance(message, StreamFrame):
            self.world.counts[f"frames {message.type.name.lower()}"] += 1
        self._up.send(message)

    def _toController(self, message: Message) -> None:
        self.world.controller.messageReceived(self.session, message)

    def _fromController(self, message: Message) -> None:
        if self.alive:
            self.host.messageReceived(message)
            self._wake()

    def _packets(self, frames: Sequence[bytes], stamps: Sequence[int]) -> None:
        self.host.packetsReceived(packetBatch(frames, stamps))

    def _wake(self) -> None:
        if not self._ticking and self.host.operations:
            self._ticking = True
            self.world.clock.callLater(TICK, self._tick)
        if not self._working and self.host.hasWork:
            self._working = True
            self.world.clock.callLater(self.world.rng.uniform(0.0001, 0.003), self._work)

    def _work(self) -> None:
        self._working = False
        if self.alive:
            self.host.work()
            self._wake()

    def _tick(self) -> None:
        self._ticking = False
        if self.alive:
            self.host.timePassed(self.world.clock.seconds())
            self._wake()

    def die(self) -> None:
        """Stop at once; what was on its lines is lost, what was written stays."""
        self.alive = self._up.alive = self._down.alive = False
        self.world.network.detach(self.name)
        self.world.clock.callLater(0.01, self.world.controller.sessionClosed, self.session)


class World:
    """
    One history.

    @ivar rows: what all instances wrote, in order of time.
    """

    def __init__(self, seed: int, kind: SimulatedKind) -> None:
        self.rng = random.Random(seed)
        self.kind = kind
        self.scenario: Scenario = drawScenario(seed, self.rng)
        self.counts: Counter[str] = Counter()
        self.rows: list[Row] = []
        self.clock = SimulatedClock()
        self.keyring = Keyring(kind.name, {1: bytes(32)}, 1)
        self.traffic = makeTraffic(self.rng, self.scenario.span, self.scenario.flows, SERVERS)
        self.decoded = Decoder(checksums=True).decode(self.traffic.batch())
        self.network = SimulatedNetwork(self.clock, self.rng, self.traffic, self.decoded, self.scenario.network)
        settings = MoveSettings(deadlines=DEADLINES, window=self.scenario.window, lateWindow=self.scenario.lateWindow)
        self.controller = Controller(
            self.network,
            MemoryJournal(),
            self.clock,
            settings,
            identify=lambda: self.rng.getrandbits(63) + 1,
            token=lambda: self.rng.randbytes(16),
        )
        self.middleboxes = {name: SimulatedMiddlebox(self, name) for name in self.scenario.middleboxes}
        self.moves: list[MovePerformer] = []
        self.dead = ""
        self._where: dict[str, str] = {}
        self._busy: dict[str, list[Plan]] = {}

    # -- the application

    def _plan(self, plan: Plan) -> None:
        """Carry out a plan, after the one before it on the same flows."""
        waiting = self._busy.setdefault(plan.flows, [])
        waiting.append(plan)
        if len(waiting) == 1:
            self._start(plan)

    def _start(self, plan: Plan) -> None:
        source = self._where.get(plan.flows, "a")
        others = [name for name in self.middleboxes if name != source]
        destination = others[plan.choice % len(others)]
        route = Route(HeaderFieldList.parse(plan.flows), (destination,))
        try:
            move = self.controller.startMove(source, destination, plan.flows, route if plan.patience is None else None)
        except OperationError as error:
            self.counts[f"refused {error.refusal.name}"] += 1
            self._next(plan)
            return
        self.moves.append(move)
        self.counts["moves"] += 1
        move.watcher = partial(self._watch, plan, move)
        for milestone in (move.installed, move.moved, move.finished):
            milestone.wait().addErrback(lambda failure: None)  # the report is looked at instead
        if plan.patience is not None:
            move.installed.wait().addCallbacks(
                lambda report: self.clock.callLater(plan.patience or 0.0, self._switch, move, route),
                lambda failure: None,
            )
        self._moments(plan, move, Stage.STARTED)

    def _switch(self, move: MovePerformer, route: Route) -> None:
        try:
            move.switchOver(route)
        except OperationError:
            self.counts["switch-over too late"] += 1

    def _abort(self, move: MovePerformer) -> None:
        stage = move.report.stage
        try:
            move.abort("the application changed its mind")
        except OperationError:
            self.counts["abort too late"] += 1
        else:
            self.counts[f"abort when {stage.value}"] += 1

    def _watch(self, plan: Plan, move: MovePerformer, report: MoveReport) -> None:
        self._follow(plan, move, report.stage)
        self._moments(plan, move, report.stage)
        if report.stage is Stage.MOVED or (report.stage is Stage.FAILED and plan in self._busy[plan.flows]):
            self._where[plan.flows] = move.request.destination.name
            self._next(plan)
        elif report.stage is Stage.ABORTED:
            self._next(plan)

    def _next(self, plan: Plan) -> None:
        waiting = self._busy[plan.flows]
        if plan in waiting:
            waiting.remove(plan)
            if waiting:
                self.clock.callLater(0, self._start, waiting[0])

    def _moments(self, plan: Plan, move: MovePerformer, stage: Stage) -> None:
        """What is to happen some time after a stage."""
        death = self.scenario.death
        if plan.abort is not None and plan.abort.stage is stage:
            self.clock.callLater(plan.abort.delay, self._abort, move)
        if death is not None and self.scenario.plans[death.plan] is plan and death.moment.stage is stage:
            victim = move.request.source if death.ofSource else move.request.destination
            self.clock.callLater(death.moment.delay, self._die, victim.name)

    # -- deaths

    def _die(self, name: str) -> None:
        if self.dead:
            return
        self.dead = name
        for move in self.controller.moves:
            for role, peer in (("source", move.request.source), ("destination", move.request.destination)):
                if peer.name == name:
                    self.counts[f"death of {role} when {move.report.stage.value}"] += 1
        self.counts["deaths"] += 1
        self.middleboxes[name].die()

    def _follow(self, plan: Plan, move: MovePerformer, stage: Stage) -> None:
        """Keep account of where records are: what a middlebox has handed over completely does not die with it."""
        matching = HeaderFieldList.parse(plan.flows).matchHeaders(self.decoded.headers)
        for flow in {self.traffic.flows[index] for index in np.flatnonzero(matching)}:
            seen = self.network.visited[flow]
            if stage is Stage.ROUTED:
                seen.add(move.request.destination.name)
            elif stage is Stage.MERGED and move.request.source.name != self.dead:
                seen.discard(move.request.source.name)

    def _tainted(self) -> frozenset[str]:
        """Flows that the dead middlebox had seen a packet or owned the record of: part of them is lost with it."""
        if not self.dead:
            return frozenset()
        flows = self.kind.flowsOf(self.traffic.packets)
        names = {self.traffic.flows[i]: flow for i, flow in enumerate(flows)}
        return frozenset(names[n] for n, seen in enumerate(self.network.visited) if self.dead in seen and n in names)

    # -- the run

    def run(self) -> Outcome:
        """Let it happen, then ask the oracle."""
        self.network.install(Route(EVERYTHING, ("a",), priority=1))
        for index, time in enumerate(self.traffic.times):
            self.clock.callLater(time, self.network.ingress, index)
        for plan in self.scenario.plans:
            self.clock.callLater(plan.start, self._plan, plan)
        self._untilSettled()
        for middlebox in self.middleboxes.values():
            if middlebox.alive:
                middlebox.host.finish()
        wrong = [*self._unsettled(), *self._compare()]
        self._count()
        return Outcome(self.scenario.seed, tuple(wrong), self.counts)

    def _untilSettled(self) -> None:
        last = max([self.traffic.times[-1], *(plan.start for plan in self.scenario.plans)])
        self.clock.run(last + 1.0)
        while self.controller.moves and self.clock.seconds() < last + PATIENCE:
            self.clock.run(self.clock.seconds() + 1.0)
        self.clock.run(self.clock.seconds() + 0.5)

    def _unsettled(self) -> list[str]:
        found = [f"operation still {move.report.stage.value}" for move in self.controller.moves]
        for middlebox in self.middleboxes.values():
            if middlebox.alive and middlebox.host.operations and not self.dead:
                found.append(f"{middlebox.name} still knows {middlebox.host.operations} operations")
        return found

    def _compare(self) -> tuple[str, ...]:
        expected: list[Row] = []
        reference = self.kind.engine(expected.append)
        packets = replace(self.decoded.packets)
        packets.stamps[:] = self.network.stamps
        reference.process(Decoder(checksums=True).decode(packets), None)
        reference.finish()
        reference.flush()
        return differences(expected, self.rows, self._tainted())

    def _count(self) -> None:
        counts = self.counts
        counts["packets"] += len(self.traffic.times)
        counts["flows"] += self.traffic.flowCount
        counts["rows"] += len(self.rows)
        counts["route failures"] += self.network.failures
        for move in self.moves:
            report = move.report
            counts[f"ended {report.stage.value}"] += 1
            for name in ("records", "reprocessed", "redirected", "held", "late"):
                counts[name] += getattr(report, name)
            if report.refusal is not None:
                counts[f"failed {report.refusal.name}"] += 1


def simulate(seed: int, kind: SimulatedKind) -> Outcome:
    """The history of C{seed} with middleboxes of C{kind}."""
    return World(seed, kind).run()
