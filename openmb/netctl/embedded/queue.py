"""
What waits to be written to one port.
"""

from __future__ import annotations

from collections import deque


class PortQueue:
    """
    Whole pcap records for one port, in order, in a bounded queue.

    While nobody is connected they wait for C{grace} seconds; then they are dropped and counted, and so is what follows,
    until somebody connects.  The bound does not cut anything off: it tells the switch when to stop reading.  Time is a
    parameter, in seconds.

    @ivar packets: packets that wait.
    @ivar size: their bytes.
    @ivar dropped: packets dropped so far.
    @ivar taken: packets handed on so far.
    """

    def __init__(self, limit: int, grace: float) -> None:
        self._limit, self._grace = limit, grace
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._aloneSince: float | None = None
        self._attached = False
        self._full = False
        self._abandoned = False
        self.packets = self.size = self.dropped = self.taken = 0

    @property
    def isFull(self) -> bool:
        """True from when the bound was reached until half of it is free again."""
        if self.size >= self._limit:
            self._full = True
        elif self.size <= self._limit // 2:
            self._full = False
        return self._full

    @property
    def isOverfull(self) -> bool:
        """Eight times the bound wait: what came back from middleboxes."""
        return self.size >= 8 * self._limit

    def push(self, records: bytes, packets: int, now: float) -> None:
        """Append C{packets} packets in their C{records}."""
        self.timePassed(now)
        if self._abandoned:
            self.dropped += packets
            return
        if not self._attached and self._aloneSince is None:
            self._aloneSince = now
        self._chunks.append((records, packets))
        self.packets += packets
        self.size += len(records)

    def take(self, most: int) -> bytes:
        """Whole chunks from the front: at least one, if there is one, but no more than C{most} bytes beyond that."""
        taken: list[bytes] = []
        room = most
        while self._chunks and (not taken or len(self._chunks[0][0]) <= room):
            records, packets = self._chunks.popleft()
            taken.append(records)
            room -= len(records)
            self.size -= len(records)
            self.packets -= packets
            self.taken += packets
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def attach(self) -> None:
        """Somebody is connected."""
        self._attached, self._abandoned, self._aloneSince = True, False, None

    def detach(self, now: float) -> None:
        """Nobody is connected any more."""
        self._attached, self._aloneSince = False, now

    def timePassed(self, now: float) -> None:
        """It is C{now}: drop what has waited alone for too long."""
        if self._aloneSince is None or now - self._aloneSince < self._grace:
            return
        self._abandoned = True
        self.dropped += self.packets
        self._chunks.clear()
        self.packets = self.size = 0
