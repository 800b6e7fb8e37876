"""
The packet store, which encoder and decoder both have and which must agree (docs/smartre.md, section 3).
"""

from __future__ import annotations

import copy
import enum
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source, plain, sourceOf
from openmb.plugins.smartre.hashing import checkRuns
from openmb.plugins.smartre.words import Number, copyBytes, minus, plus

#: Ids are counted modulo this; the last one, whose successor is 0, is given like every other but never held.
IDS = 1 << 64
#: Bytes of the longest payload.
LONGEST = 2048


class State(enum.IntEnum):
    """What an encoder knows about a packet of its store."""

    SENT = 0
    USABLE = 1
    LOST = 2


@njit(cache=True)
def put(
    source: Source,
    start: Number,
    length: Number,
    number: Number,
    stored: Source,
    lengths: NDArray[np.uint16],
    ids: NDArray[np.uint64],
    states: NDArray[np.uint8],
    slotBytes: Number,
) -> bool:
    """Store a payload, no longer than a slot, unless its slot holds a newer packet; whether it is held now."""
    slot = np.int64(number & np.uint64(len(ids) - 1))
    after = plus(number, np.uint64(1))
    if after == np.uint64(0):
        return False
    # a difference of 2**63 or more is a negative one
    ahead = minus(ids[slot], after)
    if ids[slot] != np.uint64(0) and ahead != np.uint64(0) and ahead < np.uint64(1 << 63):
        return False
    copyBytes(stored, slot * slotBytes, source, start, length)
    lengths[slot] = length
    ids[slot] = after
    states[slot] = 0
    return True


@njit(cache=True)
def _putAll(
    data: Any,
    offsets: Any,
    sizes: Any,
    numbers: Any,
    payloads: Any,
    lengths: Any,
    ids: Any,
    states: Any,
    slotBytes: Number,
) -> None:
    source, stored = sourceOf(data), sourceOf(payloads)
    for place in range(len(numbers)):
        put(source, offsets[place], sizes[place], numbers[place], stored, lengths, ids, states, slotBytes)


class PacketStore:
    """
    A ring of payloads, each in the slot that its id names.

    @ivar payloads: C{uint8[slots * slotBytes]}.
    @ivar lengths: C{uint16[slots]}.
    @ivar ids: C{uint64[slots]}, absolute id plus 1; 0: empty.  A slot is valid for exactly that id.
    @ivar states: C{uint8[slots]}, a L{State} each; a decoder has no use for them.
    @ivar next: the absolute id that comes next: one more than the newest.
    """

    def __init__(self, slots: int, slotBytes: int = 1536, first: int = 1) -> None:
        """
        @param slots: a power of two up to 2**30.
        @param slotBytes: the longest payload, at most 2,048.
        @param first: the id that comes first.
        @raise ValueError: one of these is not so.
        """
        if not 1 <= slots <= 1 << 30 or slots & (slots - 1):
            raise ValueError(f"{slots} slots: not a power of two up to 2**30")
        if not 1 <= slotBytes <= LONGEST:
            raise ValueError(f"slots of {slotBytes} bytes: not 1 to {LONGEST}")
        self.slots, self.slotBytes = slots, slotBytes
        self.payloads = np.zeros(slots * slotBytes, np.uint8)
        self.lengths = np.zeros(slots, np.uint16)
        self.ids = np.zeros(slots, np.uint64)
        self.states = np.zeros(slots, np.uint8)
        self.next = first % IDS

    def insert(self, id: int, payload: bytes) -> bool:
        """
        Store C{payload} under C{id}, unless the slot holds a newer packet.

        @return: whether it is held now.
        @raise ValueError: it is longer than a slot.
        """
        some = np.frombuffer(payload, np.uint8)
        self.insertAll(np.array([id % IDS], np.uint64), some, np.zeros(1, np.int64), np.array([len(some)], np.int64))
        return self.holds(id)

    def insertAll(
        self,
        ids: NDArray[np.uint64],
        data: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        """
        The same of many packets, in order.

        @raise ValueError: the arrays differ in length, or a payload is not inside C{data} or is longer than a slot;
            nothing was stored then.
        """
        offsets, lengths, count = checkRuns(data, offsets, lengths)
        if ids.dtype != np.uint64 or len(ids) != count:
            raise ValueError(f"{len(ids)} ids of {ids.dtype} for {count} payloads")
        if not count:
            return
        if lengths.max() > self.slotBytes:
            raise ValueError(f"a payload of {lengths.max()} bytes is longer than a slot of {self.slotBytes}")
        _putAll(plain(data), offsets, lengths, plain(ids), *self.arrays())
        for after in ids + np.uint64(1):
            self.reached(int(after))

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint64], NDArray[np.uint8], int]:
        """As kernels take it: payloads, lengths, ids, states, bytes of a slot."""
        return self.payloads, self.lengths, self.ids, self.states, self.slotBytes

    def reached(self, after: int) -> None:
        """Ids up to just before C{after} were seen: move L{next} there, unless it is further already."""
        if 0 < (after - self.next) % IDS < IDS // 2:
            self.next = after % IDS

    def holds(self, id: int) -> bool:
        """Whether the packet is there."""
        after = (id + 1) % IDS
        return after != 0 and int(self.ids[id & (self.slots - 1)]) == after

    def payload(self, id: int) -> bytes | None:
        """The payload of a packet; None: not held."""
        if not self.holds(id):
            return None
        slot = id & (self.slots - 1)
        return self.payloads[slot * self.slotBytes :][: int(self.lengths[slot])].tobytes()

    def held(self) -> NDArray[np.uint64]:
        """The absolute ids of all packets held, oldest first."""
        ids = self.ids[self.ids != 0]
        # by age, as ids may have begun again at 0
        ages = np.uint64(self.next) - ids
        ordered: NDArray[np.uint64] = ids[np.argsort(ages, kind="stable")[::-1]]
        return ordered - np.uint64(1)

    def copy(self) -> PacketStore:
        """The same packets in a store of its own."""
        return copy.deepcopy(self)

    def forget(self, first: int) -> None:
        """Hold nothing from C{first} on any more; that id comes next."""
        ahead = self.ids - np.uint64((first + 1) % IDS)
        self.ids[(self.ids != 0) & (ahead < np.uint64(IDS // 2))] = 0
        self.next = first % IDS

    def clear(self, first: int | None = None) -> None:
        """Hold nothing any more; ids go on, or begin at C{first}."""
        self.ids[:] = 0
        self.lengths[:] = 0
        self.states[:] = 0
        if first is not None:
            self.next = first % IDS


def warmUp() -> None:
    """Compile what stores."""
    PacketStore(1).insert(1, b"some")
