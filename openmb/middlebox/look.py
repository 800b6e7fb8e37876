"""
The last look of an end whose lease is over while it had stopped reading packets: a drain marker may wait unread.
"""

from __future__ import annotations

#: Seconds that a last look takes at most; much less than the leases of the two ends differ.
LONGEST_LOOK = 5.0
#: Captured bytes that are read meanwhile: more than the network keeps for one port.
LOOK_BYTES = 64 << 20


class LastLook:
    """
    Reading goes on beyond the bound, for a while and up to a number of bytes, to find out whether a marker is there.

    @param now: seconds, monotonic.
    """

    def __init__(self, now: float) -> None:
        self._ends, self._bytes = now + LONGEST_LOOK, 0

    def read(self, size: int) -> None:
        """C{size} more bytes of packets have come."""
        self._bytes += size

    def isOver(self, now: float) -> bool:
        """Is there nothing more to be expected?"""
        return now >= self._ends or self._bytes > LOOK_BYTES
