"""
When a decoder acknowledges, and what an acknowledgement says (docs/smartre.md, 1 and 4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.smartre.format import HELD_LENGTH, Acknowledge
from openmb.plugins.smartre.store import IDS, PacketStore

#: Ids that one acknowledgement tells of.
TOLD = 8 * HELD_LENGTH
#: Packets stored until they are acknowledged; or nanoseconds of packet time.
MOST_STORED, LONGEST_WAIT = 32, 5_000_000
#: Acknowledgements that follow a fork.
RETOLD = 16


class Acknowledging:
    """
    Of one cache of a decoder.

    @ivar stored: packets stored that no acknowledgement has told of.
    """

    def __init__(self) -> None:
        self.stored = 0
        self._isDue = False
        self._since = self._told = self._epoch = 0

    @property
    def newest(self) -> int:
        """The newest id, absolute, that was told of."""
        return self._told

    def noteStored(self, count: int, now: int) -> None:
        """So many packets more are in the store."""
        if count and not self.stored:
            self._since = now
        self.stored += count

    def remind(self) -> None:
        """The encoder does not know the epoch: tell it at once."""
        self._isDue = True

    def retell(self, epoch: int, store: PacketStore) -> None:
        """The cache has taken over what another one held: tell of the newest of it at once."""
        self._isDue, self._epoch = True, epoch
        self._told = (store.next - RETOLD * TOLD) % IDS

    def due(self, cache: int, epoch: int, store: PacketStore, now: int) -> list[Acknowledge]:
        """What is to be said now: acknowledgements that together tell of every packet stored since the last."""
        if not self._isDue and self.stored < MOST_STORED and (not self.stored or now - self._since < LONGEST_WAIT):
            return []
        newest = (store.next - 1) % IDS
        if epoch != self._epoch:
            self._epoch, self._told = epoch, (newest - self.stored) % IDS
        behind = (newest - self._told) % IDS
        count = min(behind, store.slots - 1) // TOLD + 1 if behind < IDS // 2 else 1
        self.stored, self._told, self._isDue = 0, newest, False
        return [
            Acknowledge(cache, epoch, (newest - TOLD * back) % IDS & 0xFFFFFFFF, heldBits(store, newest - TOLD * back))
            for back in reversed(range(count))
        ]


def heldBits(store: PacketStore, newest: int) -> bytes:
    """Which of the L{TOLD} ids up to C{newest} are held: bit i, lowest first, is about C{newest - i}."""
    ids = np.uint64(newest % IDS) - np.arange(TOLD, dtype=np.uint64)
    after = ids + np.uint64(1)
    slots = (ids & np.uint64(store.slots - 1)).astype(np.int64)
    return np.packbits((store.ids[slots] == after) & (after != 0), bitorder="little").tobytes()


def idsOf(message: Acknowledge, newest: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """
    The absolute ids that an acknowledgement says are held, and those that it says are not.

    @param newest: the absolute id of C{message.newest}.
    """
    ids = np.uint64(newest % IDS) - np.arange(TOLD, dtype=np.uint64)
    held = np.unpackbits(np.frombuffer(message.held, np.uint8), bitorder="little").astype(np.bool_)
    return ids[held], ids[~held]
