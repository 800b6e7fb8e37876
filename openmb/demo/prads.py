"""
The demonstration on PRADS: early on the flows of one server move to a second instance; near the end they come back, and
what flows share is merged.  Once without and once with a relay that tells each instance what the other has logged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from openmb.apps.relay import Relay, Told
from openmb.demo.bro import BroScenario, Cast
from openmb.demo.deployment import Deployment
from openmb.demo.load import Rule
from openmb.demo.processes import IDemoReactor
from openmb.demo.replay import Replay
from openmb.demo.survey import Survey

PRADS = Cast("prads1", "prads2", "prads-reference")
#: Packets before the split: few enough that most facts are still to be found.
SPLIT = 600
#: Seconds that a merge may take.
PATIENCE = 60.0


def earlyRule(packets: int) -> Rule:
    """Divided after L{SPLIT} packets, or a tenth; together again after nine tenths."""
    split = min(SPLIT, packets // 10)
    return Rule(lambda replay: replay.sent >= split, lambda replay: replay.sent * 10 >= packets * 9)


class PradsScenario(BroScenario):
    """
    Runs it once.

    @param relayed: with the relay.
    @ivar told: what it told each of them; empty without it.
    """

    cast = PRADS

    def __init__(
        self,
        reactor: IDemoReactor,
        deployment: Deployment,
        folders: dict[str, Path],
        replay: Replay,
        survey: Survey,
        relayed: bool,
    ) -> None:
        super().__init__(reactor, deployment, folders, replay, survey, earlyRule(len(survey.stamps)), wait=True)
        self._relay: Relay | None = None
        self._relayed = relayed
        self._failure: Failure | None = None
        self.told: dict[str, Told] = {}

    async def _moveOut(self) -> None:
        if self._relayed:
            names = [self.cast.first, self.cast.second]
            self._relay = Relay(self._controller, names, [], lambda seconds: deferLater(_loop(self._reactor), seconds))
            relay = self._relay
            following = Deferred.fromCoroutine(relay.run())
            following.addErrback(self._relayFailed)
            await self.children.until("the relay follows both", lambda: self._failure is not None or relay.ready)
            self._check()
        await super()._moveOut()

    def _relayFailed(self, failure: Failure) -> None:
        self._failure = failure

    def _check(self) -> None:
        """What ended the relay ends the demonstration."""
        if self._failure is not None:
            self._failure.raiseException()

    async def _moveBack(self) -> None:
        await super()._moveBack()
        # the move's window for late packets need not be over: a merge goes alone between two middleboxes
        await self._operationsOver()
        self.stage = "merging"
        ends = {"source": self.cast.second, "destination": self.cast.first}
        await self._controller.call("mergeInternal", ends, PATIENCE)

    async def _drain(self) -> None:
        if self._relay is not None:
            relay = self._relay
            self.stage = "waiting for the relay"
            await self.children.until("the relay has told everything", lambda: not relay.waiting)
            self._check()
            await relay.stop()
            self.told = relay.told
        await super()._drain()


def _loop(reactor: IDemoReactor) -> Any:
    return reactor
