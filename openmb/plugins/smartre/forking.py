"""
Where a cache of an encoder has left another one, and what its decoder is known to have of that (docs/smartre.md, 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.smartre.encoding import Encoder
from openmb.plugins.smartre.format import Fork
from openmb.plugins.smartre.store import IDS, PacketStore, State

#: A fork is told again after so long, nanoseconds of packet time, then after twice as long each time, up to the other;
#: a confirmed one is doubted no sooner than after the longer time.
FIRST_AGAIN, LAST_AGAIN = 5_000_000, 1_000_000_000


@dataclass(slots=True)
class Forking:
    """
    Of a cache that began as a duplicate.

    @ivar origin: the number of the other cache; C{originEpoch}: its epoch then.
    @ivar id: absolute, the first one of the cache's own.
    @ivar inherited: C{bool[slots]}, packets that may be referred to as soon as a decoder confirms that it has them.
    @ivar isConfirmed: a decoder has.
    """

    origin: int
    originEpoch: int
    id: int
    inherited: NDArray[np.bool_]
    isConfirmed: bool = False
    _due: int = 0
    _wait: int = FIRST_AGAIN
    _doubted: int = -LAST_AGAIN

    def message(self, number: int, epoch: int) -> Fork:
        """What the decoder of cache C{number} is told."""
        return Fork(number, epoch, self.origin, self.originEpoch, self.id & 0xFFFFFFFF)

    def isDue(self, now: int) -> bool:
        """Is it to be told, in front of a packet?"""
        return not self.isConfirmed and now >= self._due

    def noteTold(self, now: int) -> None:
        """It was told."""
        self._due, self._wait = now + self._wait, min(2 * self._wait, LAST_AGAIN)

    def areInherited(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """C{bool[n]}, are these packets from before?"""
        return np.uint64((self.id - 1) % IDS) - ids < np.uint64(IDS // 2)

    def confirm(self, newest: int, encoder: Encoder) -> None:
        """A decoder has the fork: C{newest}, absolute, is what its C{origin} had reached by then."""
        store, before = encoder.store, self.before(encoder.store)
        # of ids plus 1; what is above is beyond 2**63, and what is a ring below was gone over
        reach = np.uint64((newest + 1) % IDS) - store.ids
        isThere = reach < np.uint64(store.slots)
        store.states[before & ~isThere] = State.LOST
        store.states[before & isThere & self.inherited & (store.states == State.SENT)] = State.USABLE
        self.isConfirmed = True

    def doubt(self, now: int, encoder: Encoder) -> None:
        """An inherited packet was missing: is it another decoder that has not heard of the fork?"""
        if not self.isConfirmed or now - self._doubted < LAST_AGAIN:
            return
        self.isConfirmed, self._doubted, self._due, self._wait = False, now, 0, FIRST_AGAIN
        if encoder.gated:
            self.suspend(encoder.store)

    def suspend(self, store: PacketStore) -> None:
        """Nothing inherited is referred to, until it is confirmed."""
        usable = self.before(store) & (store.states == State.USABLE)
        self.inherited |= usable
        store.states[usable] = State.SENT

    def before(self, store: PacketStore) -> NDArray[Any]:
        """C{bool[slots]}, the inherited packets that are still there."""
        found: NDArray[np.bool_] = (store.ids != 0) & self.areInherited(store.ids - np.uint64(1))
        return found
