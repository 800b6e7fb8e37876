"""
Drives a host on the reactor: packets from a port, messages from the controller, exports in between, time.
"""

from __future__ import annotations

import time
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from openmb.middlebox.host import MiddleboxHost
from openmb.packets.batch import PacketBatch

#: Seconds between two looks at the timers, while operations are under way and otherwise.
BUSY_TICK, IDLE_TICK = 0.004, 0.25


class PacketPort(Protocol):
    """Where packets come from and, for an in-line kind, go to."""

    def pauseProducing(self) -> None:
        """Deliver no more for now; what is not delivered waits at the network."""

    def resumeProducing(self) -> None:
        """Deliver again."""

    def send(self, batch: PacketBatch) -> bool:
        """Send packets on; false when the network takes no more for now."""


class Agent:
    """
    One host on the reactor.

    @param clock: the reactor's time.
    @param wallTime: packets are stamped with the time of day, so an idle input lets packet time advance with it.
    """

    log = Logger()

    def __init__(self, host: MiddleboxHost, clock: IReactorTime, wallTime: bool = False) -> None:
        self.host, self._clock, self._wallTime = host, clock, wallTime
        self._port: PacketPort | None = None
        self._paused = False
        self._working: IDelayedCall | None = None
        self._ticking: IDelayedCall | None = None
        self._arrived = self._idle = False
        host.forward = self._forward

    def start(self, port: PacketPort) -> None:
        """Packets will come from C{port} (perhaps instead of an earlier one)."""
        self._port, self._paused = port, False
        if self._ticking is None:
            self._tick()
        self._pace()

    def stop(self) -> None:
        """The service ends: settle, report everything, write it."""
        for call in (self._working, self._ticking):
            if call is not None and call.active():
                call.cancel()
        self.host.finish()

    # -- packets

    def packetsReceived(self, batch: PacketBatch) -> None:
        """A batch from the port; its output is with the operating system when this returns."""
        self._arrived, self._idle = True, False
        self.host.packetsReceived(batch)
        self.host.engine.flush()
        self._afterwards()

    def _forward(self, packets: PacketBatch) -> None:
        if self._port is not None:
            self._port.send(packets)

    # -- the controller

    def messageReceived(self, message: object) -> None:
        """A message from the controller."""
        self.host.messageReceived(message)  # type: ignore[arg-type]
        self._afterwards()

    # -- work between packets

    def _afterwards(self) -> None:
        self._pace()
        if self._working is None and self.host.hasWork:
            self._working = self._clock.callLater(0, self._work)
        if self.host.operations and self._ticking is not None and self._ticking.active():
            wanted = self._clock.seconds() + BUSY_TICK
            if self._ticking.getTime() > wanted:
                self._ticking.reset(BUSY_TICK)

    def _work(self) -> None:
        """Export for one slice of time, then let packets have their turn."""
        self._working = None
        settings = self.host.settings
        began = time.perf_counter()
        while self.host.work() and time.perf_counter() - began < settings.sliceTime:
            pass
        spent = time.perf_counter() - began
        if self.host.hasWork:
            rest = spent * (1 / settings.exportShare - 1) if self._arrived else 0.0
            self._working = self._clock.callLater(rest, self._work)
        self._arrived = False

    def _pace(self) -> None:
        """Stop reading packets while a queue is full: they wait at the network."""
        if self._port is None or self._paused is not self.host.wantsPackets:
            return
        self._paused = not self._paused
        if self._paused:
            self._port.pauseProducing()
        else:
            self._port.resumeProducing()

    def _tick(self) -> None:
        self.host.timePassed(self._clock.seconds())
        if self._wallTime and self._idle:
            self.host.engine.advance(time.time_ns())
        self._idle = True
        self.host.engine.flush()
        self._ticking = self._clock.callLater(BUSY_TICK if self.host.operations else IDLE_TICK, self._tick)
        self._afterwards()
