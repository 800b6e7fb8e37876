"""
Replays a capture into the switch, with the capture's own pace or as fast as the switch takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from openmb.errors import CaptureError, OpenMBError, OperationError, Refusal
from openmb.netctl.embedded.port import PortClient
from openmb.netctl.embedded.reframe import asEthernet
from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.capture import Capture
from openmb.packets.decode import Decoder
from openmb.rpc.unix import ILocalReactor

#: Seconds between two looks at the clock.
TICK = 0.002

#: Packets sent at once at most, so that a burst never hides behind one write.
BURST = 64

#: Nanoseconds of capture time over which the load is measured.
SPAN = 3_000_000_000


class Replay:
    """
    One capture on its way into one port, as Ethernet: what is of another link type and carries no IP is left out.

    @param speed: seconds of capture time in one second; 0: as fast as the switch takes packets.
    @ivar speed: the speed it was made with.
    @ivar sent: packets sent so far.
    @ivar leftOut: packets that were not.
    @ivar load: packets per second, over the last L{SPAN} of capture time.
    @ivar held: nothing is sent for now.
    @ivar watcher: is called after each burst of packets.
    @ivar done: fires with the number of packets when all are written and the port is closed; fails when the switch goes
        away or the capture makes no sense.
    """

    def __init__(self, capture: Capture, speed: float, clock: ILocalReactor) -> None:
        self.speed = self._speed = speed
        self._clock = clock
        self._batches: Iterator[PacketBatch] = capture.batches(4096)
        self._batch: PacketBatch | None = None
        self._stamps: NDArray[np.int64] = np.zeros(0, np.int64)
        self._place = 0
        self._first: int | None = None
        self._began = 0.0
        self._recent: list[tuple[int, int]] = []
        self._next: IDelayedCall | None = None
        self.sent, self.leftOut, self.load, self.stamp = 0, 0, 0, 0
        self._decoder = Decoder(checksums=False, reassemble=False)
        self.held = False
        self.watcher: Callable[[], None] = lambda: None
        self.done: Deferred[int] = Deferred()
        self._over = self._finished = False
        self.port = PortClient(lambda batch: None, self._lost)

    def start(self) -> None:
        """Begin; the port must be connected."""
        self._began = self._clock.seconds()
        self._step()

    def setSpeed(self, speed: float) -> None:
        """Go on with another speed from here."""
        self._speed, self._began = speed, self._clock.seconds()
        if self.sent:
            self._first = self.stamp

    def stop(self) -> None:
        """Send no more."""
        self._over = True
        if self._next is not None and self._next.active():
            self._next.cancel()

    def abandon(self) -> None:
        """Send no more, and what has become of it need not interest anybody."""
        self.stop()
        self.done.addErrback(lambda failure: None)

    def _lost(self, reason: str) -> None:
        if self._finished:
            self.done.callback(self.sent)
        elif not self._over:
            self._fail(OperationError(Refusal.DISCONNECTED, f"the switch closed the ingress port: {reason}"))

    def _fail(self, error: OpenMBError) -> None:
        self.stop()
        self.done.errback(error)

    def _step(self) -> None:
        try:
            self._sendReady()
        except CaptureError as error:
            self._fail(error)
            return
        if self._finished:
            self._over = True
            self.port.close()
        elif not self._over:
            self._next = self._clock.callLater(TICK if self._speed or not self._ready else 0, self._step)

    @property
    def _ready(self) -> bool:
        return self.port.writable and not self.held

    def _sendReady(self) -> None:
        while self._ready and not self._finished and self._fill():
            ready = min(self._due(), self._place + BURST)
            if ready <= self._place:
                return
            self._send(ready)
            if self._speed == 0:
                return

    def _fill(self) -> bool:
        if self._batch is not None and self._place < len(self._batch):
            return True
        self._batch, self._place = self._nextBatch(), 0
        if self._batch is None:
            self._finished = True
            return False
        self._stamps = np.maximum.accumulate(self._batch.stamps)
        if self._first is None:
            self._first = int(self._stamps[0])
        return True

    def _nextBatch(self) -> PacketBatch | None:
        """The next packets, at least one; None at the end."""
        for batch in self._batches:
            framed = batch
            if batch.link != LinkType.ETHERNET:
                framed = asEthernet(self._decoder.decode(batch)).packets
                self.leftOut += len(batch) - len(framed)
            if len(framed):
                return framed
        return None

    def _due(self) -> int:
        """Up to which packet of the batch those reach whose time has come."""
        if self._speed == 0:
            return len(self._stamps)
        elapsed = (self._clock.seconds() - self._began) * self._speed
        return int(np.searchsorted(self._stamps, (self._first or 0) + int(elapsed * 1e9), side="right"))

    def _send(self, end: int) -> None:
        assert self._batch is not None  # _fill has said so
        self.port.send(self._batch.select(slice(self._place, end)))
        self.sent += end - self._place
        self.stamp = int(self._stamps[end - 1])
        self._place = end
        self._measure()

    def _measure(self) -> None:
        self._recent.append((self.stamp, self.sent))
        while self._recent[0][0] < self.stamp - SPAN:
            self._recent.pop(0)
        self.load = (self.sent - self._recent[0][1]) * 1_000_000_000 // SPAN
        self.watcher()
