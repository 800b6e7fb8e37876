"""A process at its memory limit during a move, and killed there: nobody hangs, the others' output is right."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any, cast

from openmb.demo.processes import Child
from openmb.testing.adapters import START, manyFlows
from tests.integration.services import RunningServices


def limit(process: Child) -> None:
    """From now on the process gets no more memory than it has."""
    pid = int(cast(Any, process.transport).pid)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    size = pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (size, size))


class MemoryLimitTests(RunningServices):
    """The address space is limited from outside, while the process runs."""

    async def kill(self, process: Child) -> None:
        """Kill it, and wait until it is gone."""
        process.signal("KILL")
        await self.children.stop(process)

    async def test_destination(self) -> None:
        """It may take the records or not; then it dies.  The source goes on with everything."""
        await self.begin()
        limit(self.boxes["bro2"])
        said, status = await self.openmb("move", "bro1", "bro2", "udp", "--no-route", "--patience", "30")
        self.assertIn(status, (0, 1), said)
        await self.kill(self.boxes["bro2"])
        self.boxes["bro2"] = self.middlebox("bro2")
        await self.idle()
        await self.feed(START + 200_000_000)
        await self.holds("bro1", 6)
        await self.stopMiddleboxes()
        self.assertEqual([], self.rows("bro2"))
        self.assertEqual([("4", "4")] * 6, [(row[16], row[18]) for row in self.rows("bro1")])

    async def test_controller(self) -> None:
        """Another one takes up what it has left: the middleboxes are as if never asked."""
        await self.begin()
        limit(self.controller)
        await self.openmb("move", "bro1", "bro2", "udp", "--no-route", "--patience", "30")
        arguments = self.deployment.controllerArguments()
        arguments[arguments.index("--port") + 1] = str(self.deployment.controllerPort)
        await self.kill(self.controller)
        self.controller = self.children.start("controller", arguments)
        await self.until("registration", lambda: self._registered(*self.names))
        await self.idle()
        await self.feed(START + 200_000_000)
        await self.holds("bro1", 6)
        await self.stopMiddleboxes()
        rows = self.rows("bro1") + self.rows("bro2")
        self.assertEqual([("4", "4")] * 6, [(row[16], row[18]) for row in rows])

    async def test_source(self) -> None:
        """What it held is lost with it, and the reason names it; the destination serves what comes later."""
        await self.begin()
        limit(self.boxes["bro1"])
        said, _ = await self.openmb("move", "bro1", "bro2", "udp", "--no-route", "--patience", "30")
        await self.kill(self.boxes["bro1"])
        self.boxes["bro1"] = self.middlebox("bro1")
        await self.idle()
        over = (await self.operations())["over"]
        for report in over:
            self.assertIn("bro1", report["reason"], said)
        self.assertEqual(("", 0), await self.openmb("route", "udp", "bro2"))
        await self.send(manyFlows(start=START + 400_000_000))
        await self.holds("bro2", 6)
        await self.stopMiddleboxes()
        self.assertEqual(6, len(self.rows("bro2")))
