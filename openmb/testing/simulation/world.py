"""
One history: controllers, middleboxes and network in one process, on a clock that stands still until told.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from openmb.controller.operation import OperationPerformer
from openmb.controller.sharing import SharedPerformer
from openmb.interfaces import Route
from openmb.middlebox.host import MiddleboxHost
from openmb.operations.values import Deadlines, MoveSettings, Stage
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.state.headers import EVERYTHING
from openmb.state.keyring import Keyring
from openmb.testing.counter import CounterMiddlebox
from openmb.testing.simulation.accounts import Accounts
from openmb.testing.simulation.application import Application
from openmb.testing.simulation.clock import SimulatedClock
from openmb.testing.simulation.clothing import Clothes, drawClothes, dressed, flowsOverSix
from openmb.testing.simulation.control import Control, Life
from openmb.testing.simulation.faults import CLONES, DESTINATION_LEASE, GRACE, SOURCE_LEASE, Break, drawFaults
from openmb.testing.simulation.kind import SimulatedKind
from openmb.testing.simulation.middlebox import NOTICE, SimulatedMiddlebox, Surroundings
from openmb.testing.simulation.network import SimulatedNetwork
from openmb.testing.simulation.oracle import Row, differences, miscounts
from openmb.testing.simulation.rough import roughen
from openmb.testing.simulation.scenario import SERVERS, Plan, Scenario, drawDeath, drawScenario
from openmb.testing.simulation.sharedtruth import SharedTruth
from openmb.testing.simulation.sharing import SharedPlan, Sharing, drawShared
from openmb.testing.simulation.traffic import makeTraffic
from openmb.wire.messages import Message, Sort

#: Simulated seconds after the traffic until everything must be settled.
PATIENCE = 200.0
#: Seconds that two leases of a destination, one of a source and a last look take, when there is no controller any more.
ALONE = SOURCE_LEASE + 2 * DESTINATION_LEASE + 10.0

#: Seconds within which a middlebox that died must be back so that no deadline passes.
SOON = 3.0

DEADLINES = Deadlines(5.0, 20.0, 90.0, 5.0, 5.0, 5.0, 10.0, 10.0, 5.0, 5.0, 10.0, 10.0, finish=10.0, doubt=60.0)


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


class World:
    """
    One history.

    @param focus: see L{drawFaults}.
    @ivar rows: what all instances wrote, in order of time.
    """

    def __init__(self, seed: int, kind: SimulatedKind, focus: str = "") -> None:
        self.rng, self.luck = random.Random(seed), random.Random(f"faults of {seed}")
        clothing = random.Random(f"clothes of {seed}")
        self.kind = kind
        self.scenario: Scenario = drawScenario(seed, self.rng)
        clones = random.Random(f"clones of {seed}")
        self.shared = drawShared(clones, self.scenario) if focus == CLONES else ()
        self._plans: tuple[Plan | SharedPlan, ...] = (*self.scenario.plans, *self.shared)
        self.faults = drawFaults(self.luck, len(self._plans), focus)
        if focus == "returns" and self.scenario.death is None:
            self.scenario = replace(self.scenario, death=drawDeath(self.luck, len(self.scenario.plans)))
        self.counts: Counter[str] = Counter()
        self.rows: list[Row] = []
        self.clock = SimulatedClock()
        self.traffic = makeTraffic(self.rng, self.scenario.span, self.scenario.flows, SERVERS)
        if self.faults.rough:
            self.traffic = roughen(self.luck, self.traffic, self.scenario.span)
        self.clothes = self._dress(Clothes() if focus else drawClothes(clothing), clothing)
        self.decoded = Decoder(checksums=True).decode(self.traffic.batch())
        behaviour = replace(self.scenario.network, lying=self.faults.lying, late=self.faults.late)
        self.network = SimulatedNetwork(self.clock, self.rng, self.luck, self.traffic, self.decoded, behaviour)
        flows = reversed([*zip(self.traffic.flows, kind.flowsOf(self.traffic.packets), strict=True)])
        names = dict(flows)  # after the first packet of each, which is never damaged
        self.truth = SharedTruth()
        self.accounts = Accounts(self.traffic, self.decoded, self.network, names, self.counts)
        self.network.tardy = self.accounts.tardy
        self.control = self._makeControl()
        self.middleboxes = self._makeMiddleboxes()
        self.application = Application(
            self.clock, self.control, self.accounts, self.scenario.middleboxes, self.counts, self._reached
        )
        self.sharing = Sharing(self.clock, self.control, self.counts, self._reachedShared)
        self._struck: set[int] = set()
        self._coming = 0
        self._inDoubt = False  # nobody will ever say whether a merge was carried out

    def _dress(self, clothes: Clothes, rng: random.Random) -> Clothes:
        """The traffic in other clothes, and what is to be moved."""
        if not self.kind.fragments:
            clothes = replace(clothes, cut=0.0)
        if clothes != Clothes():
            self.traffic = dressed(rng, self.traffic, clothes, self.scenario.span)
        if clothes.six:
            plans = tuple(replace(plan, flows=flowsOverSix(plan.flows)) for plan in self.scenario.plans)
            self.scenario = replace(self.scenario, plans=plans)
        return clothes

    def _makeControl(self) -> Control:
        settings = MoveSettings(
            deadlines=DEADLINES,
            window=self.scenario.window,
            lateWindow=self.scenario.lateWindow,
            destinationLease=DESTINATION_LEASE,
            sourceLease=SOURCE_LEASE,
            grace=GRACE,
        )
        control = Control(self.clock, self.network, settings, self.rng, self.luck, self.faults, self.counts)
        control.wrote, control.ended, control.begun = self.accounts.wrote, self._controllerDied, self._restarted
        return control

    def _makeMiddleboxes(self) -> dict[str, SimulatedMiddlebox]:
        around = Surroundings(
            self.clock,
            self.rng,
            self.luck,
            self.network,
            self.control,
            self.kind,
            Keyring(self.kind.name, {1: bytes(32)}, 1),
            self.scenario,
            self.accounts,
            self.counts,
            self.rows.append,
            self.faults.bounds,
            self._taken,
        )
        return {name: SimulatedMiddlebox(around, name) for name in self.scenario.middleboxes}

    # -- what goes wrong

    def _controllerDied(self, life: Life) -> None:
        for middlebox in self.middleboxes.values():
            middlebox.controllerDied()
        for move in life.controller.operations:
            self.counts[f"controller death when {move.report.stage.value}"] += 1
        self.application.controllerDied(life)

    def _restarted(self, life: Life) -> None:
        self.application.restarted(life)
        self.sharing.restarted(life)

    def _taken(self, name: str, host: MiddleboxHost, message: Message) -> None:
        if isinstance(host.engine, CounterMiddlebox):
            self.truth.taken(name, host, message, self.sharing.sorts)

    def _reachedShared(self, plan: SharedPlan, performer: SharedPerformer, stage: Stage) -> None:
        """No move has that stage; whatever would happen while it is switched over happens then."""
        self._reached(plan, performer, Stage.SWITCHING if stage is Stage.FINISHING else stage)

    def _reached(self, plan: Plan | SharedPlan, move: OperationPerformer, stage: Stage) -> None:
        """What is to happen some time after a stage."""
        plans, death = self._plans, self.scenario.death
        if death is not None and plans[death.plan] is plan and death.moment.stage is stage:
            self._soon(death.moment.delay, self._die, self._victim(move, death.ofSource))
        full = self.faults.full
        if full is not None and plans[full.plan] is plan and full.moment.stage is stage:
            self._soon(full.moment.delay, self.control.fill, full.seconds)
        for number, broken in enumerate(self.faults.breaks):
            if plans[broken.plan] is plan and broken.moment.stage is stage and number not in self._struck:
                self._struck.add(number)
                self._soon(broken.moment.delay, self._break, self._victim(move, broken.ofSource), broken, 0)
        for crash in self.faults.crashes:
            if plans[crash.plan] is plan and crash.moment is not None and crash.moment.stage is stage:
                self._soon(crash.moment.delay, self.control.strike, crash)

    def _soon(self, delay: float, happen: Callable[..., None], *about: object) -> None:
        """Something goes wrong in C{delay} seconds; a history does not end before, nor before it can be noticed."""
        self._coming += 1

        def noticed() -> None:
            self._coming -= 1

        self.clock.callLater(delay, happen, *about)
        self.clock.callLater(delay + 2 * NOTICE, noticed)

    @staticmethod
    def _victim(move: OperationPerformer, source: bool) -> str:
        return move.request.source.name if source else move.request.destination.name

    def _describe(self, what: str, name: str) -> None:
        """Count what happens in which state of each move it concerns."""
        life = self.control.life
        for move in life.controller.operations if life is not None else ():
            sort = "" if move.request.sort is Sort.MOVE else f"{move.request.sort.name.lower()}: "
            for role, peer in (("source", move.request.source), ("destination", move.request.destination)):
                if peer.name == name:
                    self.counts[f"{sort}{what} of {role} when {move.report.stage.value}"] += 1

    def _break(self, name: str, broken: Break, number: int) -> None:
        middlebox = self.middleboxes[name]
        if middlebox.alive:
            self._describe("break", name)
            self.counts["breaks"] += 1
            middlebox.lose(broken.away[number])
        if number + 1 < len(broken.away):
            again = broken.away[number] + self.luck.random() ** 2
            self._soon(again, self._break, name, broken, number + 1)

    def _die(self, name: str) -> None:
        if self.counts["deaths"]:
            return
        self._describe("death", name)
        self.counts["deaths"] += 1
        self.accounts.died(name)
        self.middleboxes[name].die()
        if self.faults.back is not None:
            self._soon(self.faults.back, self._comeBack, name)

    def _comeBack(self, name: str) -> None:
        self.counts["returns"] += 1
        self.accounts.returned(name)
        self.middleboxes[name].comeBack()

    # -- the run

    def run(self) -> Outcome:
        """Let it happen, then ask the oracle."""
        self.network.install(Route(EVERYTHING, ("a",), priority=1))
        for index, time in enumerate(self.traffic.times):
            self.clock.callLater(time, self.network.ingress, index)
        for plan in self.scenario.plans:
            self.clock.callLater(plan.start, self.application.plan, plan)
        for each in self.shared:
            self.clock.callLater(each.start, self.sharing.plan, each)
        self._untilSettled()
        wrong = self._unsettled()
        for middlebox in self.middleboxes.values():
            if middlebox.alive:
                middlebox.host.finish()
        self.accounts.close()
        wrong += self._compare()
        self._count()
        return Outcome(self.scenario.seed, tuple(wrong), self.counts)

    def _untilSettled(self) -> None:
        last = max([self.traffic.times[-1], *(plan.start for plan in self._plans)])
        self.clock.run(last + 1.0)
        while not self._quiet() and self.clock.seconds() < last + PATIENCE:
            self.clock.run(self.clock.seconds() + 1.0)
        self.clock.run(self.clock.seconds() + (ALONE if self.control.gone else 1.5))

    def _quiet(self) -> bool:
        """Is everybody there who will be, and nothing under way?"""
        if self.control.gone:
            return True
        life = self.control.life
        if (
            life is None
            or self._coming
            or self.application.waiting
            or self.sharing.waiting
            or life.controller.operations
        ):
            return False
        there = [each for each in self.middleboxes.values() if each.alive]
        connected = all(each.connection is not None and each.host.connected for each in there)
        return connected and not life.clock.getDelayedCalls()

    def _unsettled(self) -> list[str]:
        """What should be over and is not, or has left something behind."""
        found: list[str] = []
        life = self.control.life
        if life is not None:
            found += [f"operation still {move.report.stage.value}" for move in life.controller.operations]
            found += [f"the controller still wants {call.function}" for call in life.clock.getDelayedCalls()]
        for entry in self.control.journal.unfinished():
            if self.control.gone:
                self.accounts.unsettled(entry.operation)
                self._inDoubt = self._inDoubt or entry.sort is Sort.MERGE
            elif not self.faults.unwritable and self.faults.full is None:
                found.append(f"the journal ends with {entry.step.value}")
        back = self.faults.back
        brief = self.faults.brief and (not self.counts["deaths"] or (back is not None and back < SOON))
        for report in self.application.reports.values():
            found += self.accounts.strange(report, brief, self.faults.short and not self.counts["deaths"])
        for name, middlebox in self.middleboxes.items():
            if middlebox.alive:
                found += [f"{name}: {what}" for what in self._leftAt(middlebox)]
        return found

    def _leftAt(self, middlebox: SimulatedMiddlebox) -> list[str]:
        host = middlebox.host
        states = [status.state for status in host.hello().operations]
        over = ("ended", "voted") if self.control.gone else ()  # what a merge took waits for who knows how it ended
        found = [f"operation {state}" for state in states if state not in over]
        failed = host.counts.failedPackets
        found += [f"the engine threw on {failed} packets"] if failed else []
        return found if "voted" in states else found + self.kind.leftovers(host.engine)

    def _compare(self) -> tuple[str, ...]:
        expected: list[Row] = []
        reference = self.kind.engine(expected.append)
        processed = reference.process(Decoder(checksums=True).decode(self._forwarded()), None)
        expected += self.kind.passed(processed.forward) if processed.forward is not None else []
        reference.finish()
        reference.flush()
        for report in self.application.reports.values():
            self.accounts.ended(report)
        excuses = self.accounts.excuses()
        self.counts["operations cut in two"] += len(excuses)
        excused = self.accounts.tainted.union(*(excuse.flows for excuse in excuses))
        wrong = (*differences(expected, self.rows, frozenset(excused)), *miscounts(expected, self.rows, excuses))
        alive = [middlebox.host.engine for middlebox in self.middleboxes.values() if middlebox.alive]
        whole = not (excused or excuses or self.counts["deaths"] or self._inDoubt)
        return (*wrong, *self.truth.wrong, *self.kind.shared(reference, alive, whole))

    def _forwarded(self) -> PacketBatch:
        """What the switch has let through, in the order of its stamps; fragments of incomplete datagrams are not."""
        stamps = self.network.stamps
        sent = sorted((index for index, stamp in enumerate(stamps) if stamp), key=stamps.__getitem__)
        return packetBatch([self.traffic.packets[index] for index in sent], [stamps[index] for index in sent])

    def _count(self) -> None:
        counts = self.counts
        counts["packets"] += len(self.traffic.times)
        counts["flows"] += self.traffic.flowCount
        counts["histories of rough traffic"] += self.faults.rough
        counts["histories over IPv6"] += self.clothes.six
        counts["datagrams of fragments"] += self.network.reassembled
        counts["fragments"] += sum(number >= 0 for number in self.traffic.datagrams)
        counts["rows"] += len(self.rows)
        counts["route failures"] += self.network.failures
        counts["lost answers of routes"] += self.network.lies
        counts["stops for a full host"] += sum(path.stops for path in self.network.paths.values())
        for report in self.application.reports.values():
            counts[f"ended {report.stage.value}"] += 1
            for name in ("records", "reprocessed", "redirected", "held", "late"):
                counts[name] += getattr(report, name)
            if report.refusal is not None:
                counts[f"failed {report.refusal.name}"] += 1


def simulate(seed: int, kind: SimulatedKind, focus: str = "") -> Outcome:
    """The history of C{seed} with middleboxes of C{kind}."""
    return World(seed, kind, focus).run()
