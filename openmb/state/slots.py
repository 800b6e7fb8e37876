"""
The kernels of L{openmb.state.table.FlowTable}: find, insert and remove one key, to be called from other kernels too.

The index is open addressing with linear probing over a power of two of places, at most half of them taken, so every
probe ends at an empty one.  Removal shifts back what it leaves unreachable; there are no tombstones.

The hash is keyed, so that nobody outside can choose keys that collide: NH (J. Black et al., "UMAC: Fast and Secure
Message Authentication", CRYPTO 1999), for which any two keys collide with a probability of 2**-32 over the secret, then
a mixer.

numba notices a change of this file only for these kernels, not for kernels elsewhere that call them: after a change
clear the caches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import config, njit
from numpy.typing import NDArray

EMPTY = -1
#: Places in C{counts}: used slots, entries on the free stack, and the change count.
COUNT, FREE, CHANGES = 0, 1, 2
_MASK = (1 << 64) - 1
_FIRST, _SECOND = 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F


class TableArrays(NamedTuple):
    """
    The arrays of one table, as kernels take them.  Growth replaces them: fetch C{table.arrays} anew after C{reserve}.

    @ivar places: C{int32[2**m]}, the index:, slot or L{EMPTY}.
    @ivar keys: C{uint64[capacity, k]}.
    @ivar secret: C{uint64[k]}, two 32-bit halves of the hash's key for each word.
    @ivar used: C{uint8[capacity]}, 1 for a slot in use.
    @ivar free: C{int32[capacity]}, a stack of free slots.
    @ivar counts: C{int64[3]}.
    @ivar marks: C{uint64[capacity]}, operation ids, 0 for free.
    @ivar octets: C{uint8[capacity, itemsize]}, the rows as bytes.
    """

    places: NDArray[np.int32]
    keys: NDArray[np.uint64]
    secret: NDArray[np.uint64]
    used: NDArray[np.uint8]
    free: NDArray[np.int32]
    counts: NDArray[np.int64]
    marks: NDArray[np.uint64]
    octets: NDArray[np.uint8]


def _plainHash(key: Any, secret: Any) -> Any:
    """L{hashKey} in numbers without width, for runs without the compiler."""
    total, low = 0, 0xFFFFFFFF
    for word, lock in zip(key.tolist(), secret.tolist(), strict=True):
        total += ((word & low) + (lock & low) & low) * ((word >> 32) + (lock >> 32) & low)
    total &= _MASK
    total = ((total ^ (total >> 32)) * _FIRST) & _MASK
    total = ((total ^ (total >> 29)) * _SECOND) & _MASK
    return np.int64((total ^ (total >> 32)) & 0x7FFFFFFF)


def _wordHash(key: Any, secret: Any) -> Any:
    """The 31-bit keyed hash of C{key: uint64[k]}."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    total = np.uint64(0)
    for i in range(len(secret)):
        word, lock = key[i], secret[i]
        total += (((word & low) + (lock & low)) & low) * (((word >> half) + (lock >> half)) & low)
    total = (total ^ (total >> half)) * np.uint64(_FIRST)
    total = (total ^ (total >> np.uint64(29))) * np.uint64(_SECOND)
    return np.int64((total ^ (total >> half)) & np.uint64(0x7FFFFFFF))


_settings: Any = config
hashKey = njit(cache=True)(_plainHash if _settings.DISABLE_JIT else _wordHash)


@njit(cache=True)
def _place(arrays: Any, key: Any) -> Any:
    """The place in the index that holds C{key}, or the empty place where it would go."""
    index, keys = arrays.places, arrays.keys
    last = len(index) - 1
    place = hashKey(key, arrays.secret) & last
    while True:
        slot = index[place]
        if slot == EMPTY:
            return place
        same = True
        for i in range(keys.shape[1]):
            if keys[slot, i] != key[i]:
                same = False
                break
        if same:
            return place
        place = (place + 1) & last


@njit(cache=True)
def findSlot(arrays: Any, key: Any) -> Any:
    """The slot of C{key: uint64[k]}, -1 if it is not there."""
    return np.int64(arrays.places[_place(arrays, key)])


@njit(cache=True)
def insertKey(arrays: Any, key: Any) -> Any:
    """
    The slot of C{key}, a new one with mark 0 and a row of zeros if it is not there; -1 if no slot is free.

    Never grows the table: C{FlowTable.reserve} beforehand.
    """
    place = _place(arrays, key)
    slot = np.int64(arrays.places[place])
    counts = arrays.counts
    if slot != EMPTY:
        return slot
    if counts[FREE] == 0:
        return np.int64(-1)
    counts[FREE] -= 1
    counts[COUNT] += 1
    counts[CHANGES] += 1
    slot = np.int64(arrays.free[counts[FREE]])
    arrays.places[place] = slot
    for i in range(arrays.keys.shape[1]):
        arrays.keys[slot, i] = key[i]
    arrays.used[slot] = 1
    arrays.marks[slot] = 0
    arrays.octets[slot, :] = 0
    return slot


@njit(cache=True)
def removeSlot(arrays: Any, slot: Any) -> Any:
    """Free C{slot}, whose row stays readable until the slot is used again.  Was it in use?"""
    index, keys, counts = arrays.places, arrays.keys, arrays.counts
    if slot < 0 or slot >= len(arrays.used) or arrays.used[slot] == 0:
        return False
    last = len(index) - 1
    hole = _place(arrays, keys[slot])
    follower = hole
    while True:
        follower = (follower + 1) & last
        other = index[follower]
        if other == EMPTY:
            break
        home = hashKey(keys[other], arrays.secret) & last
        # it may fill the hole unless its home lies behind the hole, on the way to where it is
        if ((follower - home) & last) >= ((follower - hole) & last):
            index[hole] = other
            hole = follower
    index[hole] = EMPTY
    arrays.used[slot] = 0
    arrays.marks[slot] = 0
    arrays.free[counts[FREE]] = slot
    counts[FREE] += 1
    counts[COUNT] -= 1
    counts[CHANGES] += 1
    return True


@njit(cache=True)
def findAll(arrays: Any, wanted: Any, slots: Any) -> None:
    """L{findSlot} for C{wanted: uint64[n, k]} into C{slots: int64[n]}."""
    for i in range(len(wanted)):
        slots[i] = findSlot(arrays, wanted[i])


@njit(cache=True)
def insertAll(arrays: Any, wanted: Any, slots: Any) -> None:
    """L{insertKey} for C{wanted: uint64[n, k]} into C{slots: int64[n]}."""
    for i in range(len(wanted)):
        slots[i] = insertKey(arrays, wanted[i])


@njit(cache=True)
def removeAll(arrays: Any, slots: Any) -> Any:
    """L{removeSlot} for C{slots: int64[n]}; how many were in use."""
    removed = 0
    for i in range(len(slots)):
        if removeSlot(arrays, slots[i]):
            removed += 1
    return removed


@njit(cache=True)
def fillIndex(arrays: Any) -> None:
    """Enter all used slots into an empty index."""
    index, keys = arrays.places, arrays.keys
    last = len(index) - 1
    for slot in range(len(keys)):
        if arrays.used[slot]:
            place = hashKey(keys[slot], arrays.secret) & last
            while index[place] != EMPTY:
                place = (place + 1) & last
            index[place] = slot
