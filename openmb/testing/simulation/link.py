"""
A southbound connection of the simulation: every message becomes bytes and is parsed again, after a delay, in order.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from openmb.testing.simulation.clock import SimulatedClock
from openmb.wire.codec import decodeFrame, encode
from openmb.wire.framing import Deframer
from openmb.wire.messages import Message


class Line:
    """One direction of a connection."""

    def __init__(
        self, clock: SimulatedClock, rng: random.Random, delay: float, receive: Callable[[Message], None]
    ) -> None:
        self._clock, self._rng, self._delay, self._receive = clock, rng, delay, receive
        self._deframer = Deframer()
        self._waiting: list[tuple[float, bytes]] = []
        self._woken = False
        self._last = 0.0
        self.alive = True
        self._cut = False

    def cut(self, keep: random.Random) -> float:
        """
        The connection breaks: only some first part of what is on the line arrives, and nothing that is sent later.

        @return: seconds until the last of it arrives.
        """
        self._cut = True
        del self._waiting[keep.randrange(len(self._waiting) + 1) :]
        return max(self._waiting[-1][0] - self._clock.seconds(), 0.0) if self._waiting else 0.0

    def send(self, message: Message) -> None:
        """Put a message on the line."""
        if self._cut or not self.alive:
            return
        due = max(self._last, self._clock.seconds() + self._delay * self._rng.uniform(0.2, 2))
        self._last = due
        self._waiting.append((due, encode(message)))
        if not self._woken:
            self._woken = True
            self._clock.callLater(due - self._clock.seconds(), self._deliver)

    def _deliver(self) -> None:
        now = self._clock.seconds() + 1e-9
        count = sum(1 for due, _ in self._waiting if due <= now)
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        self._woken = bool(self._waiting)
        if self._waiting:
            self._clock.callLater(self._waiting[0][0] - self._clock.seconds(), self._deliver)
        if not self.alive:
            return
        for frame in self._deframer.feed(b"".join(data for _, data in ready)):
            if self.alive:
                self._receive(decodeFrame(frame, keep=True))
