"""A middlebox whose disk is full, as a real process: it stops reading, and loses nothing."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any, cast

from openmb.packets.batch import packetBatch
from openmb.testing.simulation.traffic import Endpoints, address
from tests.integration.services import RunningServices

START = 1_700_000_000_000_000_000


class FullDiskTests(RunningServices):
    """The limit on the size of files is set from outside, while the process runs."""

    async def test_fullAndFreed(self) -> None:
        """Connections end while the disk is full; the log has each of them once when there is room again."""
        await self.start()
        await self.openmb("route", "*", "bro1")
        process = int(cast(Any, self.boxes["bro1"].transport).pid)
        folder: Path = self.deployment.root / "bro1"
        limits = resource.prlimit(process, resource.RLIMIT_FSIZE)
        await self.feedFlows(0, 50)
        await self.until("first rows", lambda: len(self.rows("bro1")) >= 20)
        size = (folder / "conn.log").stat().st_size
        resource.prlimit(process, resource.RLIMIT_FSIZE, (size + 500, limits[1]))
        await self.feedFlows(50, 3000)
        log = self.childLog("bro1")
        await self.until("the full disk", lambda: "no packets are read until" in log.read_text())
        # it lives: it answers questions, though it reads no packets
        self.assertEqual(0, (await self.openmb("stats", "bro1", "udp"))[1])
        self.assertLessEqual((folder / "conn.log").stat().st_size, size + 500)
        resource.prlimit(process, resource.RLIMIT_FSIZE, limits)
        await self.until("output", lambda: "output is taken again" in log.read_text())
        await self.until("all rows", lambda: len(self.rows("bro1")) > 2900)
        await self.children.stop(self.boxes["bro1"])
        ports = sorted(int(row[3]) for row in self.rows("bro1"))
        self.assertEqual(list(range(1000, 4000)), ports)

    async def feedFlows(self, first: int, until: int) -> None:
        """One UDP packet in each flow, a second apart, so that the ones before time out."""
        frames, stamps = [], []
        for number in range(first, until):
            ends = Endpoints(address("10.0.0.1"), 1000 + number, address("10.0.0.2"), 53)
            frames.append(ends.datagram(True, b"x"))
            stamps.append(START + number * 3_000_000_000)
        await self.send(packetBatch(frames, stamps))
