"""Switch, controller and two middleboxes as real processes: TLS on loopback, UNIX sockets, the command line, deaths."""

from __future__ import annotations

import os
import sys
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
from openmb.rpc.client import RPCClient
from openmb.testing.adapters import START, manyFlows

LOOP = cast(IDemoReactor, cast(Any, reactor))


class ServicesTests(TestCase):
    """A deployment of the Bro kind, for each test its own."""

    timeout = 90

    async def start(self) -> None:
        """Start everything and wait until both middleboxes have registered."""
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.deployment: Deployment = stack.enter_context(temporaryDeployment("bro", ("bro1", "bro2")))
        root = self.deployment.root
        (root / "out").mkdir()
        self.children = Children(LOOP, root / "out")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.children.stopAll()))
        self.rpc = RPCClient(self.deployment.socket, LOOP)
        self.addCleanup(self.rpc.close)
        self.children.start("switch", self.deployment.switchArguments(("in", "bro1", "bro2")))
        self.controller = self.children.start("controller", self.deployment.controllerArguments())
        await self.children.until("the controller's port", self._announced)
        self.boxes = {name: self._middlebox(name) for name in ("bro1", "bro2")}
        await self.children.until("registration", lambda: self._registered("bro1", "bro2"))

    def _middlebox(self, name: str) -> Child:
        return self.children.start(name, self.deployment.middleboxArguments(name, self.deployment.root / name))

    def _announced(self) -> bool:
        return self.deployment.announce.exists() and self.deployment.announce.read_text().endswith("\n")

    def _registered(self, *names: str) -> Deferred[bool]:
        async def look() -> bool:
            found = await self.rpc.call("middleboxes", {}, 5.0)
            return {each["name"] for each in found} == set(names)

        return Deferred.fromCoroutine(look())

    async def openmb(self, *words: str) -> tuple[str, int]:
        """Run the command line; what it says on both outputs, and its exit status."""
        arguments = ("-m", "openmb.northbound.cli", *words, "--socket", str(self.deployment.socket))
        out, err, status = await getProcessOutputAndValue(sys.executable, arguments, env=dict(os.environ))
        return (out + err).decode(), status

    async def feed(self, start: int = START) -> None:
        """Six UDP flows into the switch."""
        if not hasattr(self, "feeder"):
            self.feeder = PortClient(lambda batch: None)
            await connectPort(LOOP, self.deployment.switch, "in", self.feeder)
            self.addCleanup(self.feeder.abort)
        self.feeder.send(manyFlows(start=start))

    async def holds(self, middlebox: str, records: int) -> None:
        """Wait until a middlebox holds so many records."""

        async def look() -> bool:
            try:
                cells = await self.rpc.call("stats", {"middlebox": middlebox, "flows": "udp"}, 30.0)
            except OperationError as error:
                if error.refusal is not Refusal.DEADLINE:
                    raise
                return False  # with a cold cache it compiles its kernels first
            return bool(cells[0]["records"] == records)

        await self.children.until(f"{records} records", lambda: Deferred.fromCoroutine(look()), 60.0)

    def rows(self, name: str) -> list[list[str]]:
        """The rows of a middlebox's connection log."""
        log: Path = self.deployment.root / name / "conn.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split("\t") for line in lines if not line.startswith("#")]

    async def test_moveAndSee(self) -> None:
        """Route, feed, look, move, feed again, end: every connection once, with all its packets, at the destination."""
        await self.start()
        self.assertEqual(("", 0), await self.openmb("route", "*", "bro1"))
        await self.feed()
        await self.holds("bro1", 6)
        said, status = await self.openmb("stats", "bro1", "udp")
        self.assertEqual((0, True), (status, said.startswith("supporting per flow: 6 records")), said)
        said, status = await self.openmb("move", "bro1", "bro2", "udp")
        self.assertEqual((0, True), (status, ": moved" in said), said)
        await self.feed(START + 200_000_000)
        await self.holds("bro2", 6)
        said, status = await self.openmb("status")
        self.assertEqual((0, True, True), (status, "middlebox bro1 (bro)" in said, "12 records" in said), said)
        for name in ("bro1", "bro2"):
            await self.children.stop(self.boxes[name])
        self.assertEqual([], self.rows("bro1"))
        rows = self.rows("bro2")
        self.assertEqual(6, len(rows))
        self.assertEqual(6, len({row[1] for row in rows}))
        self.assertEqual({("4", "4")}, {(row[16], row[18]) for row in rows})

    async def test_abortAndRefusals(self) -> None:
        """What is refused ends with status 1 and one line; an aborted move leaves the source as it was."""
        await self.start()
        await self.openmb("route", "*", "bro1")
        await self.feed()
        await self.holds("bro1", 6)
        for words in (("move", "bro1", "bro1", "udp"), ("move", "bro1", "nobody", "udp"), ("abort", "123")):
            said, status = await self.openmb(*words)
            self.assertEqual((1, 1), (status, len(said.splitlines())), said)
        said, status = await self.openmb("move", "bro1", "bro2", "udp", "--no-route")
        self.assertEqual((0, True), (status, ": installed" in said), said)
        identifier = said.split()[1].rstrip(":")
        self.assertEqual(0, (await self.openmb("abort", identifier))[1])
        await self.children.until("the abort", self._nothingUnderWay, 20.0)
        await self.feed(START + 200_000_000)
        for name in ("bro1", "bro2"):
            await self.children.stop(self.boxes[name])
        self.assertEqual([], self.rows("bro2"))
        self.assertEqual(6, len(self.rows("bro1")))

    def _nothingUnderWay(self) -> Deferred[bool]:
        async def look() -> bool:
            return not (await self.rpc.call("operations", {}, 5.0))["underWay"]

        return Deferred.fromCoroutine(look())

    async def test_killed(self) -> None:
        """A killed destination: the move ends with a reason, the source goes on.  A killed controller: an error."""
        await self.start()
        await self.openmb("route", "*", "bro1")
        await self.feed()
        await self.holds("bro1", 6)
        await self.openmb("move", "bro1", "bro2", "udp", "--no-route")
        self.boxes["bro2"].signal("KILL")
        await self.children.stop(self.boxes["bro2"])
        await self.children.until("the end of the move", self._nothingUnderWay, 20.0)
        over = (await self.rpc.call("operations", {}, 5.0))["over"]
        self.assertEqual(("aborted", "PEER_DIED"), (over[-1]["stage"], over[-1]["refusal"]))
        await self.holds("bro1", 6)
        self.controller.signal("KILL")
        await self.children.stop(self.controller)
        self.assertEqual(1, (await self.openmb("status"))[1])
