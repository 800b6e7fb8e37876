"""
The deployment that is measured: switch, controller, two middleboxes, each a process of its own, and TLS between them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from openmb.bench.feed import Feed
from openmb.demo.deployment import INGRESS, Deployment
from openmb.demo.processes import Child, Children, IDemoReactor
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.netctl.embedded.port import connectPort
from openmb.rpc.client import RPCClient

SOURCE, DESTINATION = "bro1", "bro2"
NAMES = (SOURCE, DESTINATION)
CONTROLLER, SWITCH = "controller", "switch"
#: Seconds that an answer, and that everything together, may take.
ANSWER, PATIENCE = 15.0, 300.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has taken so far: seconds of CPU time, and memory at most (VmHWM), in KiB."""

    seconds: float
    memory: int


def usageOf(process: int) -> Usage:
    """What the process with this number has taken so far, from C{/proc}."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    memory = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, memory)


class Field:
    """
    Everything that runs.

    @param logs: for each Bro the directory of its logs.
    @cvar names: of the middleboxes; everything goes to the first.  C{ends}: further ports of the switch.
    @param runners: for some processes the interpreter's arguments, when it is not C{twisted} that is to run them.
    @ivar controller: asks the controller.
    """

    names: tuple[str, ...] = NAMES
    ends: tuple[str, ...] = ()
    egress: str | None = None

    def __init__(
        self,
        reactor: IDemoReactor,
        deployment: Deployment,
        logs: Mapping[str, Path],
        feed: Feed,
        runners: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._reactor, self._deployment, self._logs, self._feed = reactor, deployment, logs, feed
        self._runners = runners
        self._children = Children(reactor, deployment.root)
        self.controller = RPCClient(deployment.socket, reactor)
        self._network = EmbeddedNetwork(deployment.switch / "control.sock", reactor)
        self._running: dict[str, Child] = {}

    async def start(self) -> None:
        """Start all processes; everything goes to the first middlebox."""
        self._start(SWITCH, self._deployment.switchArguments([INGRESS, *self.ends, *self.names]))
        self._start(CONTROLLER, self._deployment.controllerArguments())
        await self._children.until("the controller is ready", self._deployment.announce.exists)
        for name in self.names:
            self._start(name, self._deployment.middleboxArguments(name, *self.own(name)))
        await self._until("the middleboxes are ready", self._ready)
        rule = {"table": "bench", "priority": 1, "egress": self.egress}
        await self.ask("route", route={"flows": "*", "path": [self.names[0]], **rule})
        await connectPort(self._reactor, self._deployment.switch, INGRESS, self._feed.port)

    def own(self, name: str) -> tuple[str, ...]:
        """A middlebox's arguments of its kind."""
        return "--logs", str(self._logs[name])

    def _start(self, name: str, arguments: list[str]) -> None:
        self._running[name] = self._children.start(name, arguments, self._runners.get(name, ("-m", "twisted")))

    async def ask(self, verb: str, **arguments: Any) -> Any:
        """What the controller answers."""
        return await self.controller.call(verb, arguments, ANSWER)

    async def _ready(self) -> bool:
        registered = {each["name"] for each in await self.ask("middleboxes")}
        ports = {port["name"] for port in await self._network.ports() if port["connected"]}
        return set(self.names) <= registered & ports

    async def quiet(self) -> None:
        """Wait until everything sent has left the switch."""

        async def empty() -> bool:
            ports = await self._network.ports()
            received = next(port["received"] for port in ports if port["name"] == INGRESS)
            return received >= self._feed.sent and not any(port["queued"] for port in ports)

        await self._until("the queues are empty", empty)

    async def idle(self) -> None:
        """Wait until no operation is under way."""

        async def over() -> bool:
            return not (await self.ask("operations"))["underWay"]

        await self._until("the operations are over", over)

    async def _until(self, what: str, holds: Any) -> None:
        await self._children.until(what, lambda: Deferred.fromCoroutine(holds()), PATIENCE)

    def usage(self) -> dict[str, Usage]:
        """What each process has taken so far."""
        processes: dict[str, Any] = {name: child.transport for name, child in self._running.items()}
        return {name: usageOf(process.pid) for name, process in processes.items()}

    async def finish(self) -> None:
        """Let every Bro read its last packet, then end everything; the Bros write what they have left."""
        await self.quiet()
        await self._children.stop(self._running[SWITCH])
        for name in self.names:
            await self._meetsEnd(self._running[name])
        await self.stop()

    async def _meetsEnd(self, child: Child) -> None:
        await self._children.until(f"{child.name} has read all", lambda: child.said("switch closed the port"), 60.0)

    async def stop(self) -> None:
        """End every process."""
        self.controller.close()
        self._network.close()
        await self._children.stopAll()
