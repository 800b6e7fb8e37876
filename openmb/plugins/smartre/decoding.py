"""
The decoder of a cache: bodies into payloads, in batches.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source, plain, sourceOf
from openmb.plugins.smartre.hashing import hashBytes
from openmb.plugins.smartre.store import PacketStore, put
from openmb.plugins.smartre.words import Number, copyBytes, load64, minus, plus, prefetch

#: How many packets ahead the sources are asked for.
AHEAD = 3


class Outcome(enum.IntEnum):
    """What became of a body."""

    DECODED = 0
    MISSING = 1
    BAD_CHECKSUM = 2
    MALFORMED = 3


_DECODED, _MISSING, _BAD_CHECKSUM, _MALFORMED = (int(outcome) for outcome in Outcome)


@dataclass(frozen=True, slots=True)
class Payloads:
    """
    Decoded payloads.

    @ivar outcomes: C{uint8[n]}, an L{Outcome} each; what is decoded is in the store, unless its slot holds a newer
        packet.
    @ivar missing: C{uint64[n]}, the absolute id of the first source that is not held, where the outcome is that.
    @ivar data: C{uint8}, the payloads.
    @ivar offsets: C{int64[n]}, where each begins in C{data}; says nothing for what is not decoded.
    """

    outcomes: NDArray[np.uint8]
    missing: NDArray[np.uint64]
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]


@njit(cache=True)
def _check(
    source: Source,
    start: Number,
    length: Number,
    number: Number,
    matches: Number,
    size: Number,
    lengths: Any,
    ids: Any,
    slotBytes: Number,
    missing: Any,
    packet: Number,
) -> Number:
    """Whether a body keeps all rules, and all its sources are held."""
    literals = length - 8 * matches
    if literals < 0 or size > slotBytes:
        return _MALFORMED
    outcome, total, used = _DECODED, np.int64(0), np.int64(0)
    for match in range(matches):
        word = load64(source, start + 8 * match)
        skipped, offset = np.int64(word & np.uint64(2047)), np.int64((word >> np.uint64(11)) & np.uint64(2047))
        run, delta = np.int64((word >> np.uint64(22)) & np.uint64(2047)) + 1, word >> np.uint64(33)
        used += skipped
        total += skipped + run
        if delta == np.uint64(0) or used > literals or total > size or offset + run > slotBytes:
            return _MALFORMED
        origin = minus(number, delta)
        slot = np.int64(origin & np.uint64(len(ids) - 1))
        after = plus(origin, np.uint64(1))
        if ids[slot] != after or after == np.uint64(0):
            if outcome == _DECODED:
                outcome, missing[packet] = _MISSING, origin
        elif offset + run > lengths[slot]:
            return _MALFORMED
    return outcome if total + literals - used == size else _MALFORMED


@njit(cache=True)
def _restore(
    source: Source,
    start: Number,
    length: Number,
    number: Number,
    matches: Number,
    stored: Source,
    slots: Number,
    slotBytes: Number,
    out: Source,
    at: Number,
) -> None:
    """Write the payload of a body that was checked."""
    literal, end = start + 8 * matches, start + length
    for match in range(matches):
        word = load64(source, start + 8 * match)
        skipped, offset = np.int64(word & np.uint64(2047)), np.int64((word >> np.uint64(11)) & np.uint64(2047))
        run = np.int64((word >> np.uint64(22)) & np.uint64(2047)) + 1
        copyBytes(out, at, source, literal, skipped)
        literal += skipped
        at += skipped
        slot = np.int64(minus(number, word >> np.uint64(33)) & np.uint64(slots - 1))
        copyBytes(out, at, stored, slot * slotBytes + offset, run)
        at += run
    copyBytes(out, at, source, literal, end - literal)


@njit(cache=True)
def _expect(
    source: Source,
    start: Number,
    length: Number,
    number: Number,
    matches: Number,
    stored: Source,
    slots: Number,
    slotBytes: Number,
) -> None:
    """Ask for the sources of a body, of which nothing is known yet."""
    for match in range(min(matches, length >> 3)):
        word = load64(source, start + 8 * match)
        slot = np.int64(minus(number, word >> np.uint64(33)) & np.uint64(slots - 1))
        place = slot * slotBytes + np.int64((word >> np.uint64(11)) & np.uint64(2047))
        prefetch(stored, place)
        prefetch(stored, place + 64)


@njit(cache=True)
def _decode(
    data: Any,
    starts: Any,
    bodies: Any,
    numbers: Any,
    matches: Any,
    sizes: Any,
    checksums: Any,
    epoch: Number,
    following: Number,
    payloads: Any,
    lengths: Any,
    ids: Any,
    states: Any,
    slotBytes: Number,
    outcomes: Any,
    missing: Any,
    out: Any,
    offsets: Any,
) -> Number:
    source, stored, target = sourceOf(data), sourceOf(payloads), sourceOf(out)
    seed, at, slots = np.uint64(epoch) << np.uint64(48), np.int64(0), len(ids)
    for packet in range(-AHEAD, len(starts)):
        coming = packet + AHEAD
        if coming < len(starts):
            start, length = starts[coming], bodies[coming]
            outcomes[coming] = _DECODED
            if start < 0 or length < 0 or length > len(data) or start > len(data) - length:
                outcomes[coming] = _MALFORMED
            else:
                _expect(source, start, length, numbers[coming], np.int64(matches[coming]), stored, slots, slotBytes)
        if packet < 0:
            continue
        offsets[packet], missing[packet] = at, 0
        if outcomes[packet] != _DECODED:
            continue
        start, length, number = starts[packet], bodies[packet], numbers[packet]
        size, count = np.int64(sizes[packet]), np.int64(matches[packet])
        outcome = _check(source, start, length, number, count, size, lengths, ids, slotBytes, missing, packet)
        if outcome == _DECODED:
            _restore(source, start, length, number, count, stored, slots, slotBytes, target, at)
            if hashBytes(target, at, size, seed ^ number) & np.uint64(0xFFFFFFFF) != np.uint64(checksums[packet]):
                outcome = _BAD_CHECKSUM
            else:
                put(target, at, size, number, stored, lengths, ids, states, slotBytes)
                after = plus(number, np.uint64(1))
                if minus(after, following) < np.uint64(1 << 63):
                    following = after
                at += size
        outcomes[packet] = outcome
    return following, at


#: Of offsets, lengths, ids, matches, payload lengths and checksums.
_TYPES = np.int64, np.int64, np.uint64, np.uint8, np.uint16, np.uint32


class Decoder:
    """
    Decodes the bodies of one cache, and keeps its store.

    @ivar store: the packets.
    """

    def __init__(self, store: PacketStore) -> None:
        self.store = store

    def decode(
        self,
        data: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
        ids: NDArray[np.uint64],
        matches: NDArray[np.uint8],
        payloadLengths: NDArray[np.uint16],
        checksums: NDArray[np.uint32],
        epoch: int,
    ) -> Payloads:
        """
        Decode bodies (words and literals) in order, and store what comes out.

        Nothing that they say is trusted: a body outside C{data} is malformed as well.

        @param ids: absolute.
        @raise ValueError: the arrays differ in length.
        """
        store, count = self.store, len(offsets)
        given = offsets, lengths, ids, matches, payloadLengths, checksums
        arrays = [plain(np.asarray(array, type_)) for array, type_ in zip(given, _TYPES, strict=True)]
        if {array.shape for array in arrays} != {(count,)} or data.dtype != np.uint8 or data.ndim != 1:
            raise ValueError(f"arrays of shapes {[array.shape for array in arrays]}, data of {data.dtype}")
        outcomes, missing = np.empty(count, np.uint8), np.empty(count, np.uint64)
        out, begins = np.empty(count * store.slotBytes, np.uint8), np.empty(count, np.int64)
        starts, bodies, numbers, counts, sizes, sums = arrays
        after, end = _decode(
            plain(data),
            starts,
            bodies,
            numbers,
            counts,
            sizes,
            sums,
            epoch,
            np.uint64(store.next),
            *store.arrays(),
            outcomes,
            missing,
            out,
            begins,
        )
        store.next = int(after)
        return Payloads(outcomes, missing, out[:end], begins)


def warmUp() -> None:
    """Decode one packet."""
    one = np.ones(1, np.int64)
    Decoder(PacketStore(1)).decode(
        np.zeros(1, np.uint8),
        one - 1,
        one,
        one.astype(np.uint64),
        one.astype(np.uint8),
        one.astype(np.uint16),
        one.astype(np.uint32),
        1,
    )
