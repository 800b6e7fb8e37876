"""
Drives a host on the reactor: packets from a port, messages from the controller, exports in between, time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from openmb.clock import SteadyDay
from openmb.errors import OutputFailed
from openmb.middlebox.faults import describe
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.outbox import Outbox
from openmb.packets.batch import PacketBatch

#: Seconds between two looks at the timers, while operations are under way and otherwise.
BUSY_TICK, IDLE_TICK = 0.004, 0.25
#: Seconds of CPU time (while other processes have the processor nobody here uses it) of exporting in one turn at most,
#: however long packets had before.
LONGEST_TURN = 0.005


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
    @param day: the time of day, nanoseconds since 1970, for as long as no packet has come; the newest packet's stamp
        and what has passed since is the time from then on, whatever the clocks of two machines say.
    """

    log = Logger()

    def __init__(
        self,
        host: MiddleboxHost,
        clock: IReactorTime,
        wallTime: bool = False,
        day: Callable[[], int] | None = None,
    ) -> None:
        self.host, self._clock, self._wallTime = host, clock, wallTime
        self._day = day or SteadyDay()
        self._latest: tuple[int, float] | None = None  # the newest stamp, and when it came
        self._port: PacketPort | None = None
        self.outbox = Outbox()
        self._paused = self._blocked = False
        self._working: IDelayedCall | None = None
        self._ticking: IDelayedCall | None = None
        self._idle = False
        self._packetTime = 0.0  # spent on packets since exporting last had a turn
        host.forward = self.outbox.put

    def start(self, port: PacketPort) -> None:
        """Packets will come from C{port} (perhaps instead of an earlier one)."""
        self._port, self._paused = port, False
        self.outbox.attach(port)
        if self._ticking is None:
            self._tick()
        self._pace()

    def portLost(self) -> None:
        """The port has gone; what is to be sent waits for another."""
        self._port = None
        self.outbox.attach(None)

    def writableChanged(self, writable: bool) -> None:
        """The network takes packets again, or takes none for now."""
        self.outbox.setWritable(writable)
        self._pace()

    def stop(self) -> None:
        """
        The service ends: settle, report everything, write it.

        @raise OutputFailed: it cannot be written now; this can be called again.
        """
        for call in (self._working, self._ticking):
            if call is not None and call.active():
                call.cancel()
        self.host.finish()

    # -- packets

    def packetsReceived(self, batch: PacketBatch) -> None:
        """A batch from the port; its output is with the operating system when this returns."""
        self._idle = False
        if self._wallTime and len(batch):
            self._latest = int(batch.stamps.max()), self._clock.seconds()
        began = time.thread_time()
        try:
            self.host.packetsReceived(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the port must live on
            self.host.counts.failedPackets += len(batch)
            self.host.setAside.add(batch, describe(error))
        self._flush()
        self._packetTime += time.thread_time() - began
        self._afterwards()

    def _flush(self) -> None:
        """Hand output to the operating system; while that does not take it no packets are read: nothing is lost."""
        try:
            self.host.engine.flush()
        except OutputFailed as error:
            if not self._blocked:
                self.log.error("no packets are read until output can be written: {reason}", reason=error)
            self._blocked = True
            return
        if self._blocked:
            self.log.info("output is taken again: packets are read again")
        self._blocked = False

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
        """Export for the share of time that is due, then let packets have their turn."""
        self._working = None
        settings, packetTime = self.host.settings, self._packetTime
        self._packetTime = 0.0
        ratio = 1 / settings.exportShare - 1
        allowed = max(settings.sliceTime, min(packetTime / ratio, LONGEST_TURN) if ratio else LONGEST_TURN)
        began = time.thread_time()
        while self.host.work() and time.thread_time() - began < allowed:
            pass
        if self.host.hasWork:
            # after more than its share, exporting waits until packets could have had theirs
            due = (time.thread_time() - began) * ratio - packetTime
            self._working = self._clock.callLater(max(due, 0.0) if packetTime else 0.0, self._work)

    def _pace(self) -> None:
        """Stop reading packets while a queue is full, inwards or outwards: they wait at the network."""
        wanted = self.host.wantsPackets and not self._blocked and not self.outbox.isFull
        if self._port is None or self._paused is not wanted:
            return
        self._paused = not self._paused
        if self._paused:
            self._port.pauseProducing()
        else:
            self._port.resumeProducing()

    def _packetDay(self) -> int:
        """The time by the clock that stamps the packets, nanoseconds since 1970."""
        if self._latest is None:
            return self._day()
        stamp, came = self._latest
        return stamp + int((self._clock.seconds() - came) * 1e9)

    def _tick(self) -> None:
        # armed first: whatever fails below, leases and windows must still end
        self._ticking = self._clock.callLater(BUSY_TICK if self.host.operations else IDLE_TICK, self._tick)
        self.host.timePassed(self._clock.seconds())
        if self._wallTime and self._idle:
            with self.host.setAside.enduring("letting time pass"):
                self.host.advance(self._packetDay())
        self._idle = True
        self._flush()
        self._afterwards()
