"""
Switch, controller and two middleboxes as processes that can be killed, stalled, and started again under their names.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from openmb.bench.feed import Feed
from openmb.bench.loop import theReactor
from openmb.demo.deployment import INGRESS, Deployment, temporaryDeployment
from openmb.demo.processes import pause
from openmb.errors import OperationError, Refusal
from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.netctl.embedded.port import connectPort
from openmb.rpc.client import RPCClient
from openmb.testing.survival.gate import Gate
from openmb.testing.survival.nursery import Nursery, Party
from openmb.testing.survival.proxy import Proxy
from openmb.testing.survival.rows import Flow, LogFolder
from openmb.testing.survival.traffic import Class

FIRST, SECOND = "bro1", "bro2"
NAMES = (FIRST, SECOND)
CONTROLLER, SWITCH = "controller", "switch"
TABLE = "survival"
PRIORITIES = {Class.FIRST: 1, Class.SECOND: 10, Class.MOVING: 100}
LAUNCHER = "openmb.testing.survival.launcher"
#: Seconds that the switch keeps packets for a port where nobody is, and KiB that may wait there.
GRACE, QUEUE = 1.0, 65536
#: Seconds for an answer, and between two looks.
ANSWER, LOOK = 5.0, 0.01


class Stage:
    """
    Everything that runs.

    @ivar parties: the processes by name; dead ones too, until they are started again.
    @ivar folders: the logs of the middleboxes.
    @ivar feed: where packets go in.
    @ivar ended: the flows with which the runs so far were ended.
    @ivar proxy: what is between the middleboxes and the controller, if that is C{patient}.
    """

    def __init__(self, deployment: Deployment, nursery: Nursery, patient: bool = False) -> None:
        self.deployment, self._nursery, self._patient = deployment, nursery, patient
        self.gate = Gate(deployment.root / "gate", make=True)
        self.folders = {name: LogFolder(deployment.root / name) for name in NAMES}
        self.parties: dict[str, Party] = {}
        self.feed = Feed(theReactor())
        self.controller = RPCClient(deployment.socket, theReactor())
        self.network = EmbeddedNetwork(deployment.switch / "control.sock", theReactor())
        self.proxy = Proxy(theReactor())
        self.ended: set[Flow] = set()

    async def start(self) -> None:
        """Start all processes and set the routes; everything that moves is at the first middlebox."""
        ports = [word for name in (INGRESS, *NAMES) for word in ("--port", name)]
        arguments = ["openmb-switch", "--directory", str(self.deployment.switch), "--stamps", "capture"]
        bounds = ["--queue", str(QUEUE), "--grace", str(GRACE)]
        self.parties[SWITCH] = self._nursery.start(SWITCH, [*arguments, *bounds, *ports])
        self.startController()
        await self.until("the controller listens", self.deployment.announce.exists)
        self.proxy.listen(self.deployment.controllerPort)
        for name in NAMES:
            self.startMiddlebox(name)
        await self.everybody()
        for kind, name in ((Class.FIRST, FIRST), (Class.SECOND, SECOND), (Class.MOVING, FIRST)):
            await self.ask("route", route=self.route(kind, name))
        await connectPort(theReactor(), self.deployment.switch, INGRESS, self.feed.port)

    @staticmethod
    def route(kind: Class, name: str) -> dict[str, Any]:
        """The route that takes a class to a middlebox."""
        return {
            "flows": kind.flows,
            "path": [name],
            "table": TABLE,
            "priority": PRIORITIES[kind],
            "egress": None,
        }

    def startController(self) -> None:
        """Start it; later ones take the port of the first."""
        arguments = self.deployment.controllerArguments()
        if self.deployment.announce.exists():
            arguments[arguments.index("--port") + 1] = str(self.deployment.controllerPort)
        gate, pace = str(self.deployment.root / "gate"), "patient" if self._patient else "hasty"
        self.parties[CONTROLLER] = self._nursery.start(CONTROLLER, [gate, pace, *arguments], LAUNCHER)

    def startMiddlebox(self, name: str) -> None:
        """Start one; it goes on with the logs that are there."""
        arguments = self.deployment.middleboxArguments(name, "--logs", str(self.folders[name].directory))
        if self._patient:
            arguments[arguments.index("--controller") + 1] = f"127.0.0.1:{self.proxy.port}"
        self.parties[name] = self._nursery.start(name, arguments)

    async def kill(self, name: str) -> None:
        """Kill -9; returns when there is no such process any more."""
        self.parties[name].signal(signal.SIGKILL)
        await self.until(f"{name} is dead", lambda: not self.parties[name].alive)
        if name == CONTROLLER:
            self.controller.close()

    def startAgain(self, name: str) -> None:
        """Start what was killed."""
        if name == CONTROLLER:
            self.startController()
        else:
            self.startMiddlebox(name)

    async def ask(self, verb: str, **arguments: Any) -> Any:
        """What the controller answers."""
        return await self.controller.call(verb, arguments, ANSWER)

    async def connected(self) -> bool:
        """Are both middleboxes registered, and connected to their ports?"""
        registered = {each["name"] for each in await self.ask("middleboxes")}
        ports = {port["name"] for port in await self.network.ports() if port["connected"]}
        return set(NAMES) <= registered & ports

    async def everybody(self) -> None:
        """Wait until everything is there."""
        await self.until("everybody is there", self.connected, 30.0)

    async def idle(self) -> bool:
        """Is no operation under way, and the controller there to say so?"""
        return not (await self.ask("operations"))["underWay"]

    async def owner(self) -> str:
        """Where the route takes the flows that move."""
        routes = await self.network.routes()
        return next(route.path[0] for route in routes if route.priority == PRIORITIES[Class.MOVING])

    async def port(self, name: str) -> dict[str, Any]:
        """What the switch says of a port."""
        return next(port for port in await self.network.ports() if port["name"] == name)

    async def quiet(self) -> bool:
        """Has everything that was sent left the switch?"""
        ports = await self.network.ports()
        received = next(port["received"] for port in ports if port["name"] == INGRESS)
        return bool(received >= self.feed.sent) and not any(port["queued"] for port in ports)

    async def until(self, what: str, holds: Callable[[], Any], patience: float = 20.0) -> float:
        """
        Wait until C{holds()}, or what it comes to, is true; while the controller cannot be reached it is not.

        @return: seconds that it took.
        @raise OperationError: C{DEADLINE}.
        """
        began = theReactor().seconds()
        while not await _true(holds()):
            if theReactor().seconds() - began > patience:
                raise OperationError(Refusal.DEADLINE, f"{what}: not within {patience:g} s")
            await pause(theReactor(), LOOK)
        return theReactor().seconds() - began

    async def close(self) -> None:
        """Let go of everything; the nursery ends the processes."""
        self.feed.stop()
        await self.proxy.close()
        self.controller.close()
        self.network.close()
        self.gate.close()


async def _true(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return bool(await Deferred.fromCoroutine(value))
    except OperationError as error:
        if error.refusal not in (Refusal.DISCONNECTED, Refusal.DEADLINE):
            raise
        return False


@contextmanager
def stageOf(logs: Path, patient: bool = False) -> Iterator[Stage]:
    """A deployment and its processes; what they print goes to C{logs}."""
    logs.mkdir(parents=True, exist_ok=True)
    with temporaryDeployment("bro", NAMES) as deployment, Nursery(logs) as nursery:
        yield Stage(deployment, nursery, patient)
