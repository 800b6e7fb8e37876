"""
One run: traffic, a move, somebody dies at one point of it, and what comes of that.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from openmb.bench.loop import theReactor
from openmb.demo.processes import pause
from openmb.errors import OperationError, Refusal
from openmb.packets.batch import PacketBatch, emptyBatch
from openmb.packets.decode import Decoder
from openmb.state.taxonomy import Cell
from openmb.testing.survival.fates import FAILED, FINISHED, MARGIN, UNKNOWN, Seen, endings, fatesOf, mayHaveRouted
from openmb.testing.survival.judge import Fate, Judgement, judge
from openmb.testing.survival.points import Moment, Party, Point, Step
from openmb.testing.survival.rows import Row
from openmb.testing.survival.stage import CONTROLLER, FIRST, NAMES, PRIORITIES, SECOND, TABLE, Stage
from openmb.testing.survival.traffic import Class, Waves
from openmb.testing.survival.truth import flowsOf, truthOf

#: Packets a second, and packets before the move begins.
RATE, LEAD = 3000.0, 2400
#: Seconds: before a killed process is started again, at most; how often it is not, until everything is settled.
DELAY, NEVER = 0.6, 0.25
#: Seconds: from a kill AFTER a step, at most, so that what was sent may have been received.
SOON = 0.02
#: Seconds within which everything must be settled: the longest chain of deadlines of the launcher's settings.
BOUND = 25.0
PATIENCE = 30.0
#: Seconds for connections that were lost while this process judged, and did not hand on what it should, to come again.
SETTLE = 0.25


@dataclass
class Result:
    """
    What came of a run.

    @ivar ending: stage in which the operation ended.
    @ivar settled: seconds from the kill until it was over.
    @ivar later: seconds that the next move took, which nobody disturbed.
    @ivar conflict: it was refused at first, since records of the same flows were in the way.
    @ivar never: the dead one was started again only when everything was settled.
    @ivar logs: rows of each log that were due.
    @ivar fastRows: those of http.log that the fast path reads in one middlebox that sees everything.
    @ivar wrong: what must not be, in words.
    """

    party: Party
    point: Point
    ending: str = ""
    settled: float = 0.0
    later: float = 0.0
    conflict: bool = False
    never: bool = False
    packets: int = 0
    logs: dict[str, int] = field(default_factory=dict)
    fastRows: int = 0
    judgement: Judgement = field(default_factory=Judgement)
    wrong: list[str] = field(default_factory=list)


class Trial:
    """
    One run on a stage that is there, and is whole again afterwards.

    @param number: of the run, which makes its flows its own and decides what is random in it.
    @cvar patient: it needs a patient controller, and a proxy before it.
    """

    patient = False

    def __init__(self, stage: Stage, number: int, party: Party, point: Point) -> None:
        self.result = Result(party, point)
        self._stage, self._party, self._point = stage, party, point
        self._random = random.Random(number)
        self._waves = Waves(number)
        self._sent: list[PacketBatch] = []
        self._base = stage.feed.sent
        self._rows: dict[str, list[Row]] = {name: [] for name in NAMES}
        self._before: list[Row] = []
        self._places: dict[str, int] = {}
        self._last = emptyBatch()
        self._refused: OperationError | None = None
        self._known: set[str] = set()
        self._ends: dict[Party, str] = {}

    @property
    def sent(self) -> int:
        """Packets of this run so far."""
        return self._stage.feed.sent - self._base

    async def run(self) -> Result:
        """All of it."""
        await pause(theReactor(), SETTLE)
        await self._stage.everybody()
        feed = self._stage.feed
        feed.recorder = self._sent.append
        load = feed.send(self._waves.batches(), RATE)
        try:
            await self._stage.until("some traffic", lambda: self.sent >= LEAD)
            await self._disturb()
            await self._goOn()
        finally:
            self._stage.gate.disarm()
            self._waves.ending = True
        await load
        await self._end()
        self._judge()
        return self.result

    # -- the move that is disturbed

    async def _disturb(self) -> None:
        source = await self._stage.owner()
        destination = SECOND if source == FIRST else FIRST
        self._ends = {Party.SOURCE: source, Party.DESTINATION: destination, Party.CONTROLLER: CONTROLLER}
        self._known = {report["operation"] for report in (await self._stage.ask("operations"))["over"]}
        self._stage.gate.arm(self._point)
        moving = Deferred.fromCoroutine(self._move(source, destination, self._point.step is Step.ABORTING))
        moving.addErrback(self._expected)
        await self._stage.until(f"{self._point} is reached", self._reached, 15.0)
        if self._point.moment is Moment.AFTER:
            await pause(theReactor(), self._random.uniform(0, SOON))
        began = theReactor().seconds()
        await self._strike()
        await self._stage.until("the operation is over", self._over, BOUND)
        self.result.settled = theReactor().seconds() - began
        self._mark("settled")
        await self._makeWhole()
        await moving

    def _reached(self) -> bool:
        """
        Does the move stand where it is to be disturbed?

        @raise OperationError: it has failed before.
        """
        reached = self._stage.gate.reached()
        if self._refused is not None and not reached:
            raise self._refused
        return reached

    def _over(self) -> Any:
        return self._stage.idle()

    async def _strike(self) -> None:
        """Kill, let the controller go on, and (mostly) start what was killed again."""
        name = self._ends[self._party]
        self._mark("killed")
        await self._stage.kill(name)
        self._takeRows()
        self._before = [row for rows in self._rows.values() for row in rows]
        if self._party is not Party.CONTROLLER:
            self._stage.gate.release()
        self.result.never = self._party is not Party.CONTROLLER and self._random.random() < NEVER
        if not self.result.never:
            await pause(theReactor(), self._random.uniform(0, DELAY))
            self._stage.startAgain(name)

    async def _makeWhole(self) -> None:
        """Everything runs again."""
        if self.result.never:
            self._stage.startAgain(self._ends[self._party])
        await self._stage.everybody()
        self._mark("again")

    def _mark(self, what: str) -> None:
        self._places.setdefault(what, self.sent)

    async def _move(self, source: str, destination: str, abort: bool = False) -> None:
        """As an application does it: move, and when the records are there, switch over (or change one's mind)."""
        ends = {"source": source, "destination": destination, "flows": Class.MOVING.flows, "route": None}
        report = await self._stage.controller.call("moveInternal", ends, PATIENCE, self._notice)
        self._mark("switched")
        if abort:
            await self._stage.ask("abort", operation=report["operation"])
            return
        change = {"operation": report["operation"], "table": TABLE, "priority": PRIORITIES[Class.MOVING]}
        await self._stage.controller.call("switchOver", change, PATIENCE, self._notice)

    def _notice(self, report: Mapping[str, Any]) -> None:
        self._mark(str(report["stage"]))

    def _expected(self, failure: Any) -> None:
        """The application is told that the operation failed, or that the controller is gone."""
        failure.trap(OperationError)
        self._refused = failure.value

    # -- afterwards

    async def _goOn(self) -> None:
        """How it ended; and the next move is like any other."""
        over = (await self._stage.ask("operations"))["over"]
        fresh = [report for report in over if report["operation"] not in self._known]
        report = fresh[0] if fresh else {"stage": UNKNOWN, "refusal": "", "reason": ""}
        self.result.ending = str(report["stage"])
        if len(fresh) > 1 or self.result.ending not in self._allowed():
            self.result.wrong.append(f"{len(fresh)} ended as {self.result.ending}: {report['reason']}")
        try:
            self.result.later = await self._undisturbed()
        except OperationError as error:
            if error.refusal is not Refusal.CONFLICTING_RECORD or not self._mayConflict:
                raise
            self.result.conflict = True

    async def _undisturbed(self) -> float:
        """A move that nobody disturbs; the seconds that it takes."""
        began = theReactor().seconds()
        source = await self._stage.owner()
        try:
            await self._move(source, SECOND if source == FIRST else FIRST)
        finally:
            await self._stage.until("the later move is over", self._over)
        return theReactor().seconds() - began

    @property
    def _mayConflict(self) -> bool:
        """
        May whoever took the dead one's place hold records of flows that went on elsewhere?

        Packets that wait at the switch for a dead middlebox, sent before the route changed, are its successor's first.
        """
        if self._party is Party.SOURCE:
            return self.result.ending in (FINISHED, FAILED)
        return self._party is Party.DESTINATION and mayHaveRouted(self._point)

    async def _end(self) -> None:
        """Every row is written."""
        self.result.packets = self.sent
        await self._stage.until("the queues are empty", self._stage.quiet)
        self._stage.feed.recorder = lambda batch: None
        self._last = self._waves.last()
        self._stage.ended |= flowsOf(Decoder().decode(self._last)).keys()
        await self._stage.feed.send(iter([self._last]))
        await self._stage.until("the last rows", self._nothingHeld)
        self._takeRows()
        if self.result.conflict:  # what was in the way has expired
            self.result.later = await self._undisturbed()

    async def _nothingHeld(self) -> bool:
        """Do both middleboxes hold nothing but what the last packets made, two to a flow?"""
        held = 0
        for name in NAMES:
            cells = await self._stage.ask("stats", middlebox=name, flows="*")
            held += next(each["records"] for each in cells if each["cell"] == Cell.SUPPORTING_PER_FLOW.name)
        return held == len(self._last) // 2

    def _takeRows(self) -> None:
        for name in NAMES:
            self._rows[name] += self._stage.folders[name].take()

    def _judge(self) -> None:
        with tempfile.TemporaryDirectory(prefix="openmb-truth-") as folder:
            truth = truthOf(self._sent, self._last, Path(folder))
        live = [row for rows in self._rows.values() for row in rows]
        fresh = [row for row in live if row.flow not in self._stage.ended]
        self.result.judgement = judge(truth.flows, fresh, self._fates())
        self.result.logs, self.result.fastRows = dict(truth.logs), truth.fastRows
        self.result.wrong += self.result.judgement.wrong
        for name in NAMES:
            self.result.wrong += [f"{name}: cut off: {row.text}" for row in self._stage.folders[name].broken]
            self._stage.folders[name].broken.clear()

    def _allowed(self) -> frozenset[str]:
        """How the operation may end."""
        return endings(self._party, self._point)

    def _fates(self) -> dict[Class, Fate]:
        """What may have happened to each class."""
        own = {Party.SOURCE: self._classOf(Party.SOURCE), Party.DESTINATION: self._classOf(Party.DESTINATION)}
        return fatesOf(self._party, self._point, own, self._seen())

    def _classOf(self, party: Party) -> Class:
        return Class.FIRST if self._ends[party] == FIRST else Class.SECOND

    def _seen(self) -> Seen:
        places, over = self._places, self._places["settled"]
        kinds = {kind: frozenset(row for row in self._before if row.kind is kind) for kind in Class}
        return Seen(
            self.result.ending,
            places.get("switched", places.get("started", LEAD)),
            places.get("routed", over),
            places["killed"],
            places["again"] + MARGIN,
            over,
            kinds,
        )
