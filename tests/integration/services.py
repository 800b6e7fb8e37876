"""Switch, controller and two middleboxes as real processes, for tests of trial."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from openmb.demo.deployment import Deployment, temporaryDeployment
from openmb.demo.processes import Child, Children, IDemoReactor
from openmb.errors import OperationError, Refusal
from openmb.netctl.embedded.port import PortClient, connectPort
from openmb.packets.batch import PacketBatch
from openmb.rpc.client import RPCClient
from openmb.testing.adapters import START, manyFlows

LOOP = cast(IDemoReactor, cast(Any, reactor))
#: Seconds that anything may take, and a request of the controller.  They only end what hangs: on a fresh checkout the
#: middleboxes compile their kernels before they register, and the machine may be busy.
PATIENCE, ANSWER = 300.0, 120.0


class RunningServices(TestCase):
    """A deployment of one kind, for each test its own."""

    timeout = 900
    kind = "bro"
    names: tuple[str, ...] = ("bro1", "bro2")
    ends: tuple[str, ...] = ("in",)

    async def begin(self) -> None:
        """Start everything; six UDP flows are at C{bro1}, each with two packets in each direction."""
        await self.start()
        route = {"flows": "*", "path": ["bro1"], "table": "monitor", "priority": 100, "egress": None}
        await self.rpc.call("route", {"route": route}, ANSWER)
        await self.feed()
        await self.holds("bro1", 6)

    async def start(self) -> None:
        """Start everything and wait until both middleboxes have registered."""
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.deployment: Deployment = stack.enter_context(temporaryDeployment(self.kind, self.names))
        root = self.deployment.root
        (root / "out").mkdir()
        self.children = Children(LOOP, root / "out")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.children.stopAll()))
        self.rpc = RPCClient(self.deployment.socket, LOOP)
        self.addCleanup(self.rpc.close)
        self.children.start("switch", self.deployment.switchArguments((*self.ends, *self.names)))
        self.startController()
        await self.until("the controller's port", self._announced)
        self.boxes = {name: self.middlebox(name) for name in self.names}
        await self.until("registration", lambda: self._registered(*self.names))

    def startController(self) -> None:
        """Hook: a controller that announces its port."""
        self.controller = self.children.start("controller", self.deployment.controllerArguments())

    async def until(self, what: str, holds: Callable[[], Any]) -> None:
        """Wait until C{holds()}, or what it fires with, is true."""
        await self.children.until(what, holds, PATIENCE)

    def middlebox(self, name: str) -> Child:
        return self.children.start(name, self.deployment.middleboxArguments(name, *self.own(name)))

    def own(self, name: str) -> tuple[str, ...]:
        """Hook: arguments of the kind."""
        return "--logs", str(self.deployment.root / name)

    def _announced(self) -> bool:
        return self.deployment.announce.exists() and self.deployment.announce.read_text().endswith("\n")

    def _registered(self, *names: str) -> Deferred[bool]:
        async def look() -> bool:
            found = await self.rpc.call("middleboxes", {}, ANSWER)
            return {each["name"] for each in found} == set(names)

        return Deferred.fromCoroutine(look())

    async def openmb(self, *words: str) -> tuple[str, int]:
        """Run the command line; what it says on both outputs, and its exit status."""
        arguments = ("-m", "openmb.northbound.cli", *words, "--socket", str(self.deployment.socket))
        out, err, status = await getProcessOutputAndValue(sys.executable, arguments, env=dict(os.environ))
        return (out + err).decode(), status

    def childLog(self, name: str) -> Path:
        """What a child has printed."""
        return self.deployment.root / "out" / f"{name}.log"

    async def send(self, packets: PacketBatch) -> None:
        """Packets into the switch."""
        if not hasattr(self, "feeder"):
            self.feeder = PortClient(lambda batch: None)
            await connectPort(LOOP, self.deployment.switch, "in", self.feeder)
            self.addCleanup(self.feeder.abort)
        self.feeder.send(packets)

    async def feed(self, start: int = START) -> None:
        """Six UDP flows into the switch."""
        await self.send(manyFlows(start=start))

    async def holds(self, middlebox: str, records: int) -> None:
        """Wait until a middlebox holds so many records."""

        async def look() -> bool:
            try:
                return await self.records(middlebox) == records
            except OperationError as error:
                if error.refusal is not Refusal.DEADLINE:
                    raise
                return False  # with a cold cache it compiles its kernels first

        await self.until(f"{records} records", lambda: Deferred.fromCoroutine(look()))

    async def records(self, middlebox: str) -> int:
        """How many a middlebox holds."""
        cells = await self.rpc.call("stats", {"middlebox": middlebox, "flows": "udp"}, ANSWER)
        return next(int(each["records"]) for each in cells if each["cell"] == "SUPPORTING_PER_FLOW")

    async def operations(self) -> dict[str, Any]:
        """What is under way, and what is over."""
        return cast("dict[str, Any]", await self.rpc.call("operations", {}, ANSWER))

    async def idle(self) -> None:
        """Wait until nothing is under way."""

        async def look() -> bool:
            return not (await self.operations())["underWay"]

        await self.until("the end of all operations", lambda: Deferred.fromCoroutine(look()))

    async def install(self, source: str, destination: str) -> dict[str, Any]:
        """Bring the state of all flows to C{destination} and leave the route as it is; the report."""
        request = {"source": source, "destination": destination, "flows": "udp", "route": None}
        return cast("dict[str, Any]", await self.rpc.call("moveInternal", request, ANSWER))

    async def switchOver(self, operation: str) -> dict[str, Any]:
        """Hand the flows of an installed move over; the report."""
        request = {"operation": operation, "table": "monitor", "priority": 100}
        return cast("dict[str, Any]", await self.rpc.call("switchOver", request, ANSWER))

    async def stopMiddleboxes(self) -> None:
        """End both, which then have written all their rows."""
        for name in self.names:
            await self.children.stop(self.boxes[name])

    def rows(self, name: str) -> list[list[str]]:
        """The rows of a middlebox's connection log."""
        log: Path = self.deployment.root / name / "conn.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split("\t") for line in lines if not line.startswith("#")]
