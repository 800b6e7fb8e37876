"""
Sends packets into the switch: as fast as it takes them, or at a rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from openmb.errors import OperationError, Refusal
from openmb.netctl.embedded.port import PortClient
from openmb.packets.batch import PacketBatch
from openmb.rpc.unix import ILocalReactor

#: Seconds between two bursts, and packets in one write at most.
TICK, BURST = 0.002, 256


class Feed:
    """
    Feeds one port.

    @param live: packets get the time of day at which they are written as their stamp.
    @ivar recorder: is called with everything that is sent.
    @ivar sent: packets sent so far.
    """

    def __init__(self, clock: ILocalReactor, live: bool = False) -> None:
        self._clock, self._live = clock, live
        self._batches: Iterator[PacketBatch] = iter(())
        self._batch: PacketBatch | None = None
        self._place = 0
        self._rate: float | None = None
        self._began, self._before = 0.0, 0
        self._done: Deferred[None] | None = None
        self._next: IDelayedCall | None = None
        self.recorder: Callable[[PacketBatch], object] = lambda batch: None
        self.sent = 0
        self.port = PortClient(lambda batch: None, self._lost)

    def send(self, batches: Iterator[PacketBatch], rate: float | None = None) -> Deferred[None]:
        """
        Send the rest of the batch that L{stop} interrupted (flows must not miss a packet), then C{batches}.

        @param rate: packets per second; None: as fast as they are taken.
        @return: fires when all are sent; L{stop} ends it earlier.
        """
        self._batches, self._rate = batches, rate
        self._began, self._before = self._clock.seconds(), self.sent
        done: Deferred[None] = Deferred()
        self._done = done
        self._step()
        return done

    def stop(self) -> None:
        """Send no more; what L{send} returned fires."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        done, self._done = self._done, None
        if done is not None:
            done.callback(None)

    def _lost(self, reason: str) -> None:
        if self._done is not None:
            done, self._done = self._done, None
            done.errback(OperationError(Refusal.DISCONNECTED, f"the switch closed the ingress port: {reason}"))

    def _step(self) -> None:
        for _ in range(32):
            if self._done is None or not self._sendSome():
                break
        if self._done is not None:
            self._next = self._clock.callLater(TICK, self._step)

    def _sendSome(self) -> bool:
        """Send one burst; false when nothing may be sent for now, or ever."""
        if not self.port.writable:
            return False
        if self._batch is None or self._place >= len(self._batch):
            self._batch, self._place = next(self._batches, None), 0
            if self._batch is None:
                self.stop()
                return False
        count = min(BURST, len(self._batch) - self._place, self._due())
        if count <= 0:
            return False
        self._write(self._batch.select(slice(self._place, self._place + count)))
        self._place += count
        self.sent += count
        return True

    def _due(self) -> int:
        if self._rate is None:
            return BURST
        return int((self._clock.seconds() - self._began) * self._rate) - (self.sent - self._before)

    def _write(self, part: PacketBatch) -> None:
        if self._live:
            stamps = np.full(len(part), time.time_ns(), np.int64)
            part = PacketBatch(part.data, part.offsets, part.lengths, part.wire, stamps, part.link)
        self.recorder(part)
        self.port.send(part)
