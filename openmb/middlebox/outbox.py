"""
What an in-line middlebox has processed and the network has not taken yet.

Packets go out in order.  While the network takes none they wait here; the agent then reads no more, so that what waits
is bounded by what is under way.  Without a port to send to (the switch has gone) they wait for the next one, up to a
bound, beyond which the oldest are dropped and counted.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from openmb.packets.batch import PacketBatch

#: Bytes from which on no more packets are read; and at which, without a port, the oldest are dropped.
FULL, MOST = 1 << 20, 16 << 20


class Outlet(Protocol):
    """Where packets go."""

    def send(self, batch: PacketBatch) -> bool:
        """Send packets on; false when the network takes no more for now."""


class Outbox:
    """
    @ivar sent: packets handed to the network so far; C{dropped}: those that nobody took.
    """

    def __init__(self) -> None:
        self._waiting: deque[PacketBatch] = deque()
        self._outlet: Outlet | None = None
        self._writable = True
        self._size = 0
        self.sent = self.dropped = 0

    @property
    def isFull(self) -> bool:
        """Should no more packets be processed, because what comes of them finds no room?"""
        return self._size >= FULL

    @property
    def isEmpty(self) -> bool:
        """Has the network everything?"""
        return not self._waiting

    def attach(self, outlet: Outlet | None) -> None:
        """From now on packets go to C{outlet}; None: for now there is none."""
        self._outlet, self._writable = outlet, True
        self._pump()

    def setWritable(self, writable: bool) -> None:
        """The network takes packets (again), or takes none for now."""
        self._writable = writable
        self._pump()

    def put(self, packets: PacketBatch) -> None:
        """Send packets on, behind all that were put before."""
        if not len(packets):
            return
        self._waiting.append(packets)
        self._size += _size(packets)
        self._pump()
        while self._outlet is None and self._size > MOST:
            oldest = self._waiting.popleft()
            self._size -= _size(oldest)
            self.dropped += len(oldest)

    def _pump(self) -> None:
        while self._waiting and self._writable and self._outlet is not None:
            packets = self._waiting.popleft()
            self._size -= _size(packets)
            self.sent += len(packets)
            self._writable = self._outlet.send(packets)


def _size(packets: PacketBatch) -> int:
    return int(packets.lengths.sum(dtype=int))
