"""Clones and merges between real processes, through the command line: two PRADS, whose counters are shared."""

from __future__ import annotations

import json
from pathlib import Path

from openmb.plugins.prads.settings import SIGNATURES
from openmb.testing.adapters import START
from tests.integration.services import ANSWER, RunningServices
from tests.plugins.prads.needing import missing

PACKETS = b"-- Total packets received from libpcap"


class SharingTests(RunningServices):
    """What is counted is counted once, whatever dies."""

    kind = "prads"
    names = ("prads1", "prads2")

    def setUp(self) -> None:
        if not SIGNATURES.is_dir():
            raise missing("no signature files: install the Debian package prads")

    async def begin(self) -> None:
        """Start everything; 24 packets of six flows have come to C{prads1}."""
        await self.start()
        await self.rpc.call("route", {"route": self.route("prads1")}, ANSWER)
        await self.feed()
        await self.holds("prads1", 6)

    def route(self, name: str) -> dict[str, object]:
        return {"flows": "*", "path": [name], "table": "monitor", "priority": 100, "egress": None}

    def counted(self, name: str) -> int:
        """Packets in the statistics that a middlebox has written at its end."""
        lines = Path(self.deployment.root / name / "prads-statistics.log").read_bytes().splitlines()
        return next(int(line.rsplit(b":", 1)[1]) for line in lines if line.startswith(PACKETS))

    async def test_scaleIn(self) -> None:
        """Everything moves, what is shared is merged: the destination has counted all, the source nothing."""
        await self.begin()
        said, status = await self.openmb("move", "prads1", "prads2", "*")
        self.assertEqual((0, True), (status, ": moved" in said), said)
        said, status = await self.openmb("merge", "prads1", "prads2")
        self.assertEqual((0, True), (status, ": finished" in said), said)
        await self.feed(START + 200_000_000)
        await self.holds("prads2", 6)
        await self.stopMiddleboxes()
        self.assertEqual((0, 48), (self.counted("prads1"), self.counted("prads2")))

    async def test_cloneAndAbort(self) -> None:
        """A clone is followed until it is finished or aborted, and keeps merges away meanwhile; it counts nothing."""
        await self.begin()
        said, status = await self.openmb("clone", "prads1", "prads2")
        self.assertEqual((0, True), (status, ": installed" in said), said)
        identifier = said.split()[1].rstrip(":")
        said, status = await self.openmb("merge", "prads1", "prads2")
        self.assertEqual((1, True), (status, "under way" in said), said)
        said, status = await self.openmb("status", "--json")
        self.assertEqual(["clone"], [each["sort"] for each in json.loads(said)["underWay"]])
        said, status = await self.openmb("finish-clone", identifier)
        self.assertEqual((0, True), (status, ": finished" in said), said)
        said, status = await self.openmb("clone", "prads2", "prads1")
        identifier = said.split()[1].rstrip(":")
        self.assertEqual(0, (await self.openmb("abort", identifier))[1])
        await self.idle()
        await self.stopMiddleboxes()
        self.assertEqual((24, 0), (self.counted("prads1"), self.counted("prads2")))

    async def test_killedDestination(self) -> None:
        """A destination that dies while it has a copy ends the clone; the source has everything."""
        await self.begin()
        await self.openmb("clone", "prads1", "prads2")
        self.boxes["prads2"].signal("KILL")
        await self.children.stop(self.boxes["prads2"])
        self.boxes["prads2"] = self.middlebox("prads2")
        await self.idle()
        over = (await self.operations())["over"]
        self.assertEqual(("aborted", "PEER_DIED"), (over[-1]["stage"], over[-1]["refusal"]))
        await self.openmb("merge", "prads1", "prads2")
        await self.stopMiddleboxes()
        self.assertEqual((0, 24), (self.counted("prads1"), self.counted("prads2")))
