"""A switch with real sockets in the test's own process, and who is connected to it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.netctl.embedded.port import PortClient, connectPort
from openmb.netctl.embedded.service import SwitchService, SwitchSettings
from openmb.netctl.embedded.stamps import StampMode
from openmb.packets.batch import PacketBatch
from openmb.rpc.unix import ILocalReactor
from tests.netctl.embedded.frames import packetsOf

REACTOR = cast(ILocalReactor, cast(Any, reactor))


class Watcher:
    """Somebody at a port, who keeps what comes, and sends it back if C{echo} is set."""

    def __init__(self) -> None:
        self.echo = False
        self.packets: list[bytes] = []
        self.stamps: list[int] = []
        self.lost: Deferred[str] = Deferred()
        self.client = PortClient(self._take, self.lost.callback, self._writableChanged)
        self._waiting: list[tuple[int, Deferred[None]]] = []

    async def count(self, count: int) -> list[bytes]:
        """Wait until C{count} packets have come; all that came."""
        if len(self.packets) < count:
            self._waiting.append((count, Deferred()))
            await self._waiting[-1][1]
        return self.packets

    def _writableChanged(self, writable: bool) -> None:
        """Who sends back what comes takes nothing while nobody takes what is sent."""
        if self.echo and not writable:
            self.client.pauseProducing()
        elif self.echo:
            self.client.resumeProducing()

    def _take(self, batch: PacketBatch) -> None:
        self.packets.extend(packetsOf(batch))
        self.stamps.extend(batch.stamps.tolist())
        if self.echo:
            self.client.send(batch)
        due = [each for each in self._waiting if each[0] <= len(self.packets)]
        self._waiting = [each for each in self._waiting if each not in due]
        for _, deferred in due:
            deferred.callback(None)


class RunningSwitchTestCase(TestCase):
    """A switch with the ports C{in}, C{a}, C{b} and C{out}."""

    timeout = 30

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="omb"))  # short: a socket's path has at most 107 bytes
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.received = 0

    def start(self, queue: int = 4 << 20, stamps: StampMode = StampMode.CAPTURE) -> EmbeddedNetwork:
        """Start the switch; its network."""
        settings = SwitchSettings(self.directory, stamps, queue, 10.0, ("in", "a", "b", "out"))
        self.service = SwitchService(settings, REACTOR)
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.network = EmbeddedNetwork(os.fspath(self.directory / "control.sock"), REACTOR)
        self.addCleanup(self.network.close)
        return self.network

    async def watch(self, port: str) -> Watcher:
        """Connect to a port."""
        watcher = Watcher()
        await connectPort(REACTOR, self.directory, port, watcher.client)
        self.addCleanup(watcher.client.abort)
        return watcher

    async def report(self, port: str) -> dict[str, Any]:
        """What the control socket says of a port."""
        return next(report for report in await self.network.ports() if report["name"] == port)

    async def until(self, port: str, **wanted: Any) -> dict[str, Any]:
        """Ask for the report of a port until it says what is wanted (the test's time-out ends it)."""
        while True:
            report = await self.report(port)
            if all(report[name] == value for name, value in wanted.items()):
                return report

    async def inject(self, packets: PacketBatch) -> None:
        """Send packets into C{in} and wait until they are switched."""
        if self.received == 0:
            self.feeder = await self.watch("in")
        self.feeder.client.send(packets)
        self.received += len(packets)
        await self.until("in", received=self.received)
