"""
The poster's demonstration: one Bro; under load the flows of one server move to a second one; later they move back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from openmb.demo.deployment import INGRESS, Deployment
from openmb.demo.load import LoadWatch, Rule
from openmb.demo.moves import Moved, move
from openmb.demo.processes import Child, Children, IDemoReactor
from openmb.demo.replay import Replay
from openmb.demo.survey import Survey
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.netctl.embedded.port import connectPort
from openmb.rpc.client import RPCClient

#: Seconds that the controller may take to answer a question.
ANSWER = 15.0


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part: two instances that share the flows, and one that sees everything."""

    first: str
    second: str
    reference: str

    @property
    def names(self) -> tuple[str, str, str]:
        """All of them."""
        return self.first, self.second, self.reference


FIRST, SECOND, REFERENCE = NAMES = ("bro1", "bro2", "bro-reference")


@dataclass
class Outcome:
    """
    What a run saw, besides the logs.

    @ivar start: seconds from starting the second Bro's process until it was registered and had its port.
    @ivar replayed: seconds that the replay took.
    """

    packets: int = 0
    start: float = 0.0
    replayed: float = 0.0
    moves: list[Moved] = field(default_factory=list)


class BroScenario:
    """
    Runs the demonstration.

    @param folders: for each middlebox the directory of its logs.
    @ivar stage: what is going on, in words.
    """

    cast = Cast(*NAMES)

    def __init__(
        self,
        reactor: IDemoReactor,
        deployment: Deployment,
        folders: dict[str, Path],
        replay: Replay,
        survey: Survey,
        rule: Rule,
        wait: bool,
    ) -> None:
        self._reactor, self._deployment, self._folders = reactor, deployment, folders
        self._replay, self._survey = replay, survey
        self._watch = LoadWatch(replay, rule, wait)
        self.children = Children(reactor, deployment.root)
        self._controller = RPCClient(deployment.socket, reactor)
        self._network = EmbeddedNetwork(deployment.switch / "control.sock", reactor)
        self._boxes: dict[str, Child] = {}
        self._switch: Child | None = None
        self.outcome = Outcome()
        self.stage = "starting"

    async def run(self) -> Outcome:
        """All of it; whatever happens, every child has ended afterwards."""
        try:
            await self._deploy()
            await self._play()
            await self._windows()
            await self._drain()
        finally:
            self.stage = "stopping"
            await self.stop()
        return self.outcome

    async def stop(self) -> None:
        """End every child."""
        self._replay.abandon()
        self._controller.close()
        self._network.close()
        await self.children.stopAll()

    # -- before

    async def _deploy(self) -> None:
        self._switch = self.children.start("switch", self._deployment.switchArguments([INGRESS, *self.cast.names]))
        self.children.start("controller", self._deployment.controllerArguments())
        await self.children.until("the controller is ready", self._deployment.announce.exists)
        for name in (self.cast.first, self.cast.reference):
            self._start(name)
        for name in (self.cast.first, self.cast.reference):
            await self._ready(name)
        await self._route(self.cast.first, "monitor")
        await self._route(self.cast.reference, "reference")
        await connectPort(self._reactor, self._deployment.switch, INGRESS, self._replay.port)

    def _start(self, name: str) -> None:
        arguments = self._deployment.middleboxArguments(name, "--logs", str(self._folders[name]))
        self._boxes[name] = self.children.start(name, arguments)

    async def _ready(self, name: str) -> None:
        async def ready() -> bool:
            registered = await self._controller.call("middleboxes", {}, ANSWER)
            return name in {each["name"] for each in registered} and (await self._port(name))["connected"]

        await self.children.until(f"{name} is ready", lambda: Deferred.fromCoroutine(ready()), 120.0)

    async def _port(self, name: str) -> dict[str, Any]:
        return next(port for port in await self._network.ports() if port["name"] == name)

    async def _route(self, name: str, table: str) -> None:
        route = {"flows": "*", "path": [name], "table": table, "priority": 10, "egress": None}
        await self._controller.call("route", {"route": route}, ANSWER)

    # -- while packets come

    async def _play(self) -> None:
        self.stage = "one instance"
        began = self._reactor.seconds()
        self._replay.done.addBoth(self._played, began)
        self._replay.start()
        await self._watch.rise
        self.stage = "starting the second one"
        await self._startSecond()
        self.stage = "moving out"
        self._replay.held = False
        await self._moveOut()
        self.stage = "two instances"
        await self._watch.fall
        self.stage = "moving back"
        self._replay.held = False
        await self._moveBack()
        self.stage = "one instance again"
        self.outcome.packets = await self._replay.done

    def _played(self, result: Any, began: float) -> Any:
        self.outcome.replayed = self._reactor.seconds() - began
        self._watch.ended()
        return result

    async def _startSecond(self) -> None:
        # a process takes as long to start whatever the speed: at most the capture's own pace, lest its load be over
        began = self._reactor.seconds()
        self._replay.setSpeed(min(1.0, self._replay.speed))
        self._start(self.cast.second)
        await self._ready(self.cast.second)
        self._replay.setSpeed(self._replay.speed)
        self.outcome.start = self._reactor.seconds() - began

    async def _moveOut(self) -> None:
        await self._move(self.cast.first, self.cast.second)

    async def _moveBack(self) -> None:
        await self._move(self.cast.second, self.cast.first)

    async def _move(self, source: str, destination: str) -> None:
        moved = Moved(source, destination)
        self.outcome.moves.append(moved)
        await move(self._controller, self._reactor, moved, self._survey.flows, self._switched)

    async def _switched(self) -> int:
        """The highest stamp of the packets that the switch has sent on."""
        received = int((await self._port(INGRESS))["received"])
        return int(self._survey.stamps[:received].max()) if received else 0

    # -- afterwards

    async def _windows(self) -> None:
        """Wait until late packets are no longer waited for, and take the final counts."""
        self.stage = "waiting for the end of the moves"
        await self._operationsOver()
        reports = (await self._controller.call("operations", {}, ANSWER))["over"]
        byOperation = {report["operation"]: report for report in reports}
        for moved in self.outcome.moves:
            moved.enter(byOperation[moved.operation])

    async def _operationsOver(self) -> None:
        async def over() -> bool:
            return not (await self._controller.call("operations", {}, ANSWER))["underWay"]

        await self.children.until("the operations are over", lambda: Deferred.fromCoroutine(over()), 60.0)

    async def _drain(self) -> None:
        """
        Let every middlebox read its last packet.

        The switch ends only when everything queued is written; a middlebox that meets the end of its port has then
        processed everything before it.
        """
        self.stage = "waiting for the last packets"

        async def empty() -> bool:
            ports = await self._network.ports()
            received = next(port["received"] for port in ports if port["name"] == INGRESS)
            return received >= self.outcome.packets and not any(port["queued"] for port in ports)

        await self.children.until("the queues are empty", lambda: Deferred.fromCoroutine(empty()), 300.0)
        if self._switch is not None:
            await self.children.stop(self._switch)
        for child in self._boxes.values():
            await self._meetsEnd(child)

    async def _meetsEnd(self, child: Child) -> None:
        await self.children.until(
            f"{child.name} has read everything", lambda: child.said("the switch closed the port"), 300.0
        )
