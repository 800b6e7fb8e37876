"""
Nobody dies: processes that stand still for a while, and connections that are cut, stalled and refused.
"""

from __future__ import annotations

import signal

from twisted.internet.defer import Deferred

from openmb.bench.loop import theReactor
from openmb.demo.processes import pause
from openmb.testing.survival.fates import ABORTED, FAILED, FINISHED, MARGIN, UNKNOWN, endings
from openmb.testing.survival.judge import Fate, Gapped
from openmb.testing.survival.launcher import HASTY, KEEP_ALIVE
from openmb.testing.survival.points import BACK, Party, Step
from openmb.testing.survival.traffic import Class
from openmb.testing.survival.trial import LEAD, Trial

#: Seconds that a process stands still: longer than its peers wait for a sign of life, but within any deadline.
STANDSTILL = 4 * KEEP_ALIVE + 1.0
#: How often connections are disturbed in one run, seconds between, and how long at most.
DISTURBED, BETWEEN, OUTAGE = 4, 0.3, 1.2


class Outage(Trial):
    """A run in which everybody lives: nothing may be lost, and the move goes on where it broke."""

    patient = True

    def _allowed(self) -> frozenset[str]:
        return frozenset({ABORTED if self._point.step in BACK or self._point.step is Step.ABORTING else FINISHED})

    def _fates(self) -> dict[Class, Fate]:
        return dict.fromkeys(Class)

    async def _makeWhole(self) -> None:
        await self._stage.everybody()
        self._mark("again")


class Standstill(Outage):
    """
    A process is stopped for longer than the keep-alive, and goes on.

    @cvar seconds: for how long.
    """

    seconds = STANDSTILL

    async def _strike(self) -> None:
        self._mark("killed")
        party = self._stage.parties[self._ends[self._party]]
        party.signal(signal.SIGSTOP)
        self._stage.gate.release()
        await pause(theReactor(), self.seconds)
        party.signal(signal.SIGCONT)


class Absence(Standstill):
    """
    A process is stopped for longer than the grace time: the operation goes on without it, and then it returns.

    It has lost no record; but packets of the flows that moved, which it had and could not hand on, may be missing.
    """

    patient = False
    seconds = 4 * KEEP_ALIVE + HASTY.grace + 1.0

    def _allowed(self) -> frozenset[str]:
        return super()._allowed() | endings(self._party, self._point) - {UNKNOWN}

    def _fates(self) -> dict[Class, Fate]:
        fates = super()._fates()
        handedOver = self.result.ending in (FINISHED, FAILED)
        if self._party is not Party.CONTROLLER and handedOver is (self._party is Party.SOURCE):
            places = self._places
            fates[Class.MOVING] = Gapped(places.get("switched", LEAD) - MARGIN, places["settled"] + MARGIN)
        return fates


class LongAbsence(Absence):
    """A process is stopped for 20 seconds, longer than any wait of the others."""

    seconds = 20.0


class BadLine(Outage):
    """The connections to the controller are disturbed again and again."""

    async def _strike(self) -> None:
        self._mark("killed")
        disturbing = Deferred.fromCoroutine(self._disturbLine())
        self._stage.gate.release()
        await disturbing

    async def _disturbLine(self) -> None:
        proxy, clock = self._stage.proxy, theReactor()
        for _ in range(DISTURBED):
            what = self._random.choice(("cut", "refuse", "stall", "stall and cut"))
            proxy.setStalled(what.startswith("stall"))
            proxy.refusing = what == "refuse"
            if what in ("cut", "refuse"):
                proxy.cut()
            await pause(clock, self._random.uniform(0, OUTAGE))
            if what == "stall and cut":
                proxy.cut()
            proxy.refusing = False
            proxy.setStalled(False)
            await pause(clock, self._random.uniform(0, BETWEEN))
