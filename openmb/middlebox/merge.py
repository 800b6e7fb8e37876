"""
The merge at a destination: what the source re-directs and what comes directly, applied in the order of the stamps.
"""

from __future__ import annotations

from collections.abc import Callable

from openmb.middlebox.queue import PacketQueue
from openmb.packets.batch import PacketBatch


class StampMerge:
    """
    Two sequences of packets that wait, and what is known of how far each has come.

    @param process: takes packets in their final order.
    @param now: monotonic time in seconds.
    @ivar redirected: @ivar held: packets that came on either way.
    @ivar drained: is nothing more to come in time from the source?
    @ivar longest: seconds that the longest waiting packet has waited.
    """

    def __init__(self, process: Callable[[PacketBatch], None], now: Callable[[], float]) -> None:
        self._process, self._now = process, now
        self._redirects, self._held = PacketQueue(), PacketQueue()
        self.redirected = self.held = 0
        self.drained = False
        self._quietUntil = 0.0
        self.longest = 0.0

    @property
    def redirectBytes(self) -> int:
        """Bytes that wait of what the source has sent."""
        return self._redirects.bytes

    @property
    def heldBytes(self) -> int:
        """Bytes that wait of what came directly."""
        return self._held.bytes

    def redirect(self, packets: PacketBatch) -> None:
        """Packets that the source has sent."""
        self.redirected += len(packets)
        self._redirects.append(packets, self._now())

    def hold(self, packets: PacketBatch) -> None:
        """Packets that came directly."""
        self.held += len(packets)
        self._held.append(packets, self._now())

    def redirectsPassed(self, stamp: int) -> None:
        """The source has met a marker: it sends nothing earlier any more."""
        self._redirects.passed(stamp)

    def heldPassed(self, stamp: int) -> None:
        """A marker came directly: nothing earlier will."""
        self._held.passed(stamp)

    def drain(self, quiet: float) -> None:
        """The source sends nothing more in time; packets may still come directly for C{quiet} seconds."""
        self.drained = True
        self._quietUntil = self._now() + quiet

    def isQuiet(self, now: float) -> bool:
        """Has the source come to its end, and enough time passed since?"""
        return self.drained and now >= self._quietUntil

    def advance(self) -> bool:
        """Apply what both sequences have reached, after the end of the source's what the other one has: is that all?"""
        reached = self._held.reached
        self._applyUpTo(reached if self.drained else min(self._redirects.reached, reached))
        return self.drained and not len(self._redirects)

    def finish(self) -> None:
        """Apply everything that waits."""
        self._applyUpTo(None)

    def abandon(self) -> PacketBatch | None:
        """Forget what the source has sent (it has copies); what came directly."""
        self._redirects.clear()
        return self._held.drain()

    def _applyUpTo(self, stamp: int | None) -> None:
        self.longest = max(self.longest, self._held.longest(self._now()))
        packets = PacketQueue.merge(self._redirects.takeUpTo(stamp), self._held.takeUpTo(stamp))
        if packets is not None:
            self._process(packets)
