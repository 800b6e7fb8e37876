"""The disk of the journal is full while a move hands over: nothing is done that is not written, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

from openmb.demo.processes import Child
from openmb.testing.adapters import START
from tests.integration.services import RunningServices

_SIZE = 512 << 10


class FullJournalTests(RunningServices):
    """A real file system of half a megabyte."""

    def startController(self) -> None:
        """Its journal lies there."""
        if os.geteuid() != 0 or shutil.which("mount") is None:
            raise SkipTest("only root can mount a small file system")
        self.disk = Path(self.deployment.root) / "disk"
        self.disk.mkdir(mode=0o700)
        options = f"size={_SIZE},mode=0700"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.disk)], capture_output=True, text=True
        )
        if mounted.returncode:
            raise SkipTest(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
        # clean-ups run in reverse order: before that, the controller has ended
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(self.disk)], check=False)
        arguments = self.deployment.controllerArguments()
        arguments[arguments.index("--journal") + 1] = str(self.disk / "journal")
        self.controller: Child = self.children.start("controller", arguments)

    def fill(self) -> Path:
        """Leave no byte free; the file that fills the disk."""
        path = self.disk / "filler"
        with path.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return path
        raise AssertionError("the disk never gets full")

    async def test_handOver(self) -> None:
        """Refused with the reason; route and records stay; when there is room again, the same move succeeds."""
        await self.begin()
        before = await self.openmb("routes")
        said, status = await self.openmb("move", "bro1", "bro2", "udp", "--no-route")
        self.assertEqual((0, True), (status, ": installed" in said), said)
        identifier = said.split()[1].rstrip(":")
        filler = self.fill()
        said, status = await self.openmb("switch-over", identifier)
        self.assertEqual((1, True), (status, "journal" in said), said)
        self.assertEqual(before, await self.openmb("routes"))
        said, status = await self.openmb("move", "bro1", "bro2", "udp")
        self.assertEqual((1, True), (status, "journal" in said or "moving" in said), said)
        await self.feed(START + 200_000_000)
        await self.holds("bro1", 6)
        filler.unlink()
        await self.idle()
        said, status = await self.openmb("move", "bro1", "bro2", "udp")
        self.assertEqual((0, True), (status, ": moved" in said), said)
        await self.feed(START + 400_000_000)
        await self.holds("bro2", 6)
        await self.stopMiddleboxes()
        rows = self.rows("bro1") + self.rows("bro2")
        self.assertEqual(6, len(rows))
        self.assertEqual({("6", "6")}, {(row[16], row[18]) for row in rows})
