"""A real switch that is killed and started again: its routes come back, and what is wrong is said."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from openmb.netctl.embedded.port import PortClient
from openmb.rpc.client import RPCClient
from openmb.testing.adapters import START
from tests.integration.services import ANSWER, LOOP, RunningServices

#: Nanoseconds between two rounds of packets.
ROUND = 200_000_000


class SwitchRestartTests(RunningServices):
    """The switch is started again with the same ports; nobody tells it routes but the controller."""

    async def start(self) -> None:
        await super().start()
        self.switch = next(child for child in self.children.running if child.name == "switch")

    async def kill(self, name: str) -> None:
        """As C{kill -9} does."""
        child = self.switch if name == "switch" else self.boxes.get(name, self.controller)
        child.signal("KILL")
        await self.children.stop(child)

    def startSwitch(self) -> None:
        """Another process."""
        self.switch = self.children.start("switch", self.deployment.switchArguments((*self.ends, *self.names)))

    async def says(self, words: str) -> None:
        """Wait until the controller's status says something of the network; it begins with this."""

        async def look() -> bool:
            problems = (await self.operations())["problems"]
            return any(problem.startswith(words) for problem in problems)

        await self.until(words, lambda: Deferred.fromCoroutine(look()))

    async def well(self) -> None:
        """Wait until nothing is wrong."""

        async def look() -> bool:
            return not (await self.operations())["problems"]

        await self.until("that all is well", lambda: Deferred.fromCoroutine(look()))

    async def routed(self, *path: str) -> None:
        """Wait until everything goes there, as is wanted."""

        async def look() -> bool:
            routes: list[dict[str, Any]] = await self.rpc.call("routes", {}, ANSWER)
            return [(each["path"], each["wanted"], each["inEffect"]) for each in routes] == [(list(path), True, True)]

        await self.until("the route", lambda: Deferred.fromCoroutine(look()))

    async def feedAgain(self, start: int) -> None:
        """The feeder has lost its port with the switch."""
        if hasattr(self, "feeder"):
            del self.feeder
        await self.feed(start)

    async def test_routesComeBack(self) -> None:
        """C{status} says that the switch is away; when it is back its routes are, and packets take them."""
        await self.begin()
        await self.well()
        await self.kill("switch")
        await self.says("the switch cannot be reached")
        said, status = await self.openmb("status")
        self.assertIn("problem: the switch cannot be reached", said)
        said, _ = await self.openmb("doctor")  # with the controller's socket
        self.assertIn("the switch cannot be reached", said)
        said, status = await self.openmb("routes")
        self.assertEqual(("monitor 100 * -> bro1: not in effect\n", 0), (said, status))
        self.startSwitch()
        await self.routed("bro1")
        await self.well()
        await self.feedAgain(START + ROUND)
        await self.stopAndCount("bro1", 6, "4")

    async def test_everythingRestarted(self) -> None:
        """The controller is killed with the switch: what was wanted stands in its journal."""
        await self.begin()
        await self.kill("switch")
        await self.kill("controller")
        self.deployment.announce.unlink()
        self.startSwitch()
        self.rpc.close()
        self.startController()
        await self.until("the controller's port", self._announced)
        await self.routed("bro1")

    async def test_moveInFlight(self) -> None:
        """The switch is started again while a move is installed: the old route comes back, then the move goes on."""
        await self.begin()
        report = await self.install("bro1", "bro2")
        await self.kill("switch")
        self.startSwitch()
        await self.routed("bro1")
        await self.well()
        self.assertEqual("moved", (await self.switchOver(report["operation"]))["stage"])
        await self.kill("switch")
        self.startSwitch()

        async def look() -> bool:
            routes: list[dict[str, Any]] = await self.rpc.call("routes", {}, ANSWER)
            found = {(each["flows"], *each["path"], each["inEffect"]) for each in routes}
            return found == {("*", "bro1", True), ("udp", "bro2", True)}

        await self.until("both routes", lambda: Deferred.fromCoroutine(look()))
        await self.well()
        await self.feedAgain(START + ROUND)
        await self.stopAndCount("bro2", 6, "4")

    async def stopAndCount(self, name: str, flows: int, packets: str) -> None:
        """So many flows are reported there, with so many packets in each direction."""
        await self.holds(name, flows)
        sent = {packets}

        async def look() -> bool:
            ports = await self.ports()
            return bool(ports["in"]["received"] == 24 and ports[name]["queued"] == 0)

        await self.until("all packets", lambda: Deferred.fromCoroutine(look()))
        await self.stopMiddleboxes()
        self.assertEqual((flows, sent), (len(self.rows(name)), {row[16] for row in self.rows(name)}))

    async def ports(self) -> dict[str, dict[str, Any]]:
        """The ports of the switch, as it counts."""
        switch = RPCClient(self.deployment.switch / "control.sock", LOOP)
        try:
            return {port["name"]: port for port in await switch.call("ports", {}, ANSWER)}
        finally:
            switch.close()

    async def test_whatIsWrong(self) -> None:
        """A route to a dead port, packets that nobody takes, a middlebox that is cut off: C{status} and C{doctor}."""
        await self.start()
        await self.openmb("route", "tcp", "bro1")
        await self.feed()
        await self.says("nobody takes 24 packets from port in: no route matches")
        await self.kill("bro1")
        await self.says("nobody is connected to port bro1, where routes lead: tcp -> bro1")
        where = ("--switch", str(self.deployment.switch))
        said, _ = await self.openmb("doctor", *where)
        for words in (
            "a route leads to port bro1",
            "nobody took 24 packets from port in",
            "nobody is connected to port",
        ):
            self.assertIn(words, said)
        self.assertIsInstance(self.feeder, PortClient)
        self.boxes["bro1"] = self.middlebox("bro1")
        await self.well()
