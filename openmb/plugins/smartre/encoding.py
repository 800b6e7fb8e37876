"""
The encoder of a cache: payloads into bodies, in batches.

What is done for a packet, twice over its markers, so that lines of table and store come while others are looked at:
collect the markers and ask for their lines of the table; read these and ask for the lines of the store; then verify
matches in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source, plain, sourceOf
from openmb.plugins.smartre.hashing import checkRuns, hashBytes
from openmb.plugins.smartre.markers import MARKERS, OFFSET, TAG, WINDOW, collect, entryOf, fingerprint
from openmb.plugins.smartre.store import IDS, PacketStore, State, put
from openmb.plugins.smartre.words import Number, copyBytes, minus, plus, prefetch, same, sameBefore, store64

#: Instead of a place in the store: the entry is to be replaced, or kept but not referred to.
_REPLACE, _KEEP = -1, -2
_LOST, _USABLE = int(State.LOST), int(State.USABLE)


@dataclass(frozen=True, slots=True)
class Bodies:
    """
    Encoded payloads.

    @ivar ids: C{uint64[n]}, absolute.
    @ivar matches: C{uint8[n]}; 0: the body is the payload.
    @ivar checksums: C{uint32[n]}, of the payloads.
    @ivar data: C{uint8}, the bodies, side by side: words, then literals.
    @ivar offsets: C{int64[n]}, where each begins in C{data}.
    @ivar lengths: C{int64[n]}, bytes of each; never more than of the payload.
    """

    ids: NDArray[np.uint64]
    matches: NDArray[np.uint8]
    checksums: NDArray[np.uint32]
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


@njit(cache=True)
def _look(
    number: Number,
    entry: Number,
    finger: Number,
    lengths: Any,
    ids: Any,
    states: Any,
    slotBytes: Number,
    gated: Number,
) -> Number:
    """Where in the store an entry points to, or that it is to be replaced or kept."""
    if entry == np.uint64(0) or (entry ^ finger) >> np.uint64(TAG):
        return _REPLACE
    delta = minus(number, entry) & np.uint64(0xFFFFFFFF)
    source = minus(number, delta)
    slot = np.int64(source & np.uint64(len(ids) - 1))
    offset = np.int64((entry >> np.uint64(OFFSET)) & np.uint64(2047))
    if delta == np.uint64(0) or delta >> np.uint64(31) or ids[slot] != plus(source, np.uint64(1)):
        return _REPLACE
    if ids[slot] == np.uint64(0) or states[slot] == _LOST or offset + WINDOW > lengths[slot]:
        return _REPLACE
    if gated and states[slot] != _USABLE:
        return _KEEP
    return slot * slotBytes + offset


@njit(cache=True)
def _match(
    source: Source,
    start: Number,
    length: Number,
    number: Number,
    stored: Source,
    lengths: Any,
    ids: Any,
    slotBytes: Number,
    count: Number,
    positions: Any,
    places: Any,
    words: Any,
    begins: Any,
    ends: Any,
) -> Number:
    """Verify candidates in order, and note the words and the places of the matches; how many there are."""
    covered, found, after = 0, 0, plus(number, np.uint64(1))
    for marker in range(count):
        place, position = places[marker], np.int64(positions[marker])
        if place < 0 or position < covered:
            continue
        slot = place // slotBytes
        offset = place - slot * slotBytes
        room = min(length - position, np.int64(lengths[slot]) - offset)
        run = same(source, start + position, stored, place, room)
        if run < WINDOW:
            places[marker] = _REPLACE
            continue
        before = sameBefore(source, start + position, stored, place, min(position - covered, offset))
        begins[found], ends[found] = position - before, position + run
        skipped = np.uint64(position - before - covered)
        word = skipped | (np.uint64(offset - before) << np.uint64(11)) | (np.uint64(run + before - 1) << np.uint64(22))
        words[found] = word | (minus(after, ids[slot]) << np.uint64(33))
        covered = position + run
        found += 1
    return found


@njit(cache=True)
def _write(
    source: Source,
    start: Number,
    length: Number,
    out: Source,
    at: Number,
    found: Number,
    words: Any,
    begins: Any,
    ends: Any,
) -> Number:
    """Write a body; where it ends."""
    for match in range(found):
        store64(out, at, words[match])
        at += 8
    covered = 0
    for match in range(found):
        count = begins[match] - covered
        copyBytes(out, at, source, start + covered, count)
        at += count
        covered = ends[match]
    copyBytes(out, at, source, start + covered, length - covered)
    return at + length - covered


@njit(cache=True)
def _encode(
    data: Any,
    starts: Any,
    sizes: Any,
    first: Number,
    epoch: Number,
    payloads: Any,
    lengths: Any,
    ids: Any,
    states: Any,
    slotBytes: Number,
    table: Any,
    shift: Number,
    keepOldest: Number,
    gated: Number,
    matches: Any,
    checksums: Any,
    out: Any,
    offsets: Any,
    bodies: Any,
) -> None:
    source, stored, target, rows = sourceOf(data), sourceOf(payloads), sourceOf(out), sourceOf(table.view(np.uint8))
    positions, fingers = np.empty(MARKERS, np.int32), np.empty(MARKERS, np.uint64)
    places, words = np.empty(MARKERS, np.int64), np.empty(MARKERS, np.uint64)
    begins, ends = np.empty(MARKERS, np.int64), np.empty(MARKERS, np.int64)
    last, at = np.uint64(len(table) - 1), 0
    seed = np.uint64(epoch) << np.uint64(48)
    for packet in range(len(starts)):
        start, length, number = starts[packet], sizes[packet], plus(first, np.uint64(packet))
        count = collect(source, start, length, shift, positions)
        for marker in range(count):
            finger = fingerprint(source, start + positions[marker])
            fingers[marker] = finger
            prefetch(rows, np.int64(finger & last) * 8)
        for marker in range(count):
            finger = fingers[marker]
            place = _look(number, table[finger & last], finger, lengths, ids, states, slotBytes, gated)
            places[marker] = place
            if place >= 0:
                prefetch(stored, place)
        found = _match(
            source,
            start,
            length,
            number,
            stored,
            lengths,
            ids,
            slotBytes,
            count,
            positions,
            places,
            words,
            begins,
            ends,
        )
        offsets[packet], matches[packet] = at, found
        at = _write(source, start, length, target, at, found, words, begins, ends)
        bodies[packet] = at - offsets[packet]
        checksums[packet] = hashBytes(source, start, length, seed ^ number) & np.uint64(0xFFFFFFFF)
        _enter(number, count, positions, fingers, places, table, keepOldest)
        put(source, start, length, number, stored, lengths, ids, states, slotBytes)


@njit(cache=True)
def _enter(
    number: Number, count: Number, positions: Any, fingers: Any, places: Any, table: Any, keepOldest: Number
) -> None:
    """Put the markers of a packet in the table, the first one last: it stays, and what follows it is longest."""
    for marker in range(count - 1, -1, -1):
        if not keepOldest or places[marker] == _REPLACE:
            finger = fingers[marker]
            table[finger & np.uint64(len(table) - 1)] = entryOf(number, positions[marker], finger)


@njit(cache=True)
def _rebuild(
    numbers: Any,
    payloads: Any,
    lengths: Any,
    ids: Any,
    states: Any,
    slotBytes: Number,
    table: Any,
    shift: Number,
    keepOldest: Number,
) -> None:
    stored = sourceOf(payloads)
    positions, fingers = np.empty(MARKERS, np.int32), np.empty(MARKERS, np.uint64)
    places = np.empty(MARKERS, np.int64)
    for number in numbers:
        slot = np.int64(number & np.uint64(len(ids) - 1))
        if states[slot] == _LOST:
            continue
        start = slot * slotBytes
        count = collect(stored, start, np.int64(lengths[slot]), shift, positions)
        for marker in range(count):
            finger = fingerprint(stored, start + positions[marker])
            fingers[marker] = finger
            entry = table[finger & np.uint64(len(table) - 1)]
            places[marker] = _look(number, entry, finger, lengths, ids, states, slotBytes, 0)
        _enter(number, count, positions, fingers, places, table, keepOldest)


class Encoder:
    """
    Encodes the payloads of one cache, and keeps its store.

    @ivar store: the packets; whoever changes it other than through this class calls L{rebuild}.
    @ivar table: C{uint64[entries]}, the fingerprint table.
    """

    def __init__(
        self,
        store: PacketStore,
        entries: int = 1 << 20,
        keepOldest: bool = True,
        gated: bool = True,
        sampling: int = 32,
    ) -> None:
        """
        @param entries: of the table, a power of two up to 2**32.
        @param keepOldest: an entry whose packet is still there and not lost is not replaced by a newer equal one.
        @param gated: refer only to packets that L{mark} made usable.
        @param sampling: one place in so many is a marker, a power of two from 8 to 1,024.
        @raise ValueError: one of these is not so.
        """
        if not 1 <= entries <= 1 << 32 or entries & (entries - 1):
            raise ValueError(f"{entries} entries: not a power of two up to 2**32")
        if not 8 <= sampling <= 1024 or sampling & (sampling - 1):
            raise ValueError(f"sampling of {sampling}: not a power of two from 8 to 1024")
        self.store, self.keepOldest, self.gated, self.sampling = store, keepOldest, gated, sampling
        self.table = np.zeros(entries, np.uint64)

    def encode(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64], epoch: int
    ) -> Bodies:
        """
        Encode payloads, each under the next id, and store them.

        @param epoch: of the cache, 1 to 65,535.
        @raise ValueError: a payload is not inside C{data} or is longer than a slot; nothing was done then.
        """
        offsets, lengths, count = checkRuns(data, offsets, lengths)
        if count and lengths.max() > self.store.slotBytes:
            raise ValueError(f"a payload of {lengths.max()} bytes is longer than a slot of {self.store.slotBytes}")
        first = self.store.next
        bodies = Bodies(
            np.arange(count, dtype=np.uint64) + np.uint64(first),
            np.empty(count, np.uint8),
            np.empty(count, np.uint32),
            np.empty(int(lengths.sum()), np.uint8),
            np.empty(count, np.int64),
            np.empty(count, np.int64),
        )
        _encode(
            plain(data),
            offsets,
            lengths,
            np.uint64(first),
            epoch,
            *self.store.arrays(),
            self.table,
            self._shift,
            int(self.keepOldest),
            int(self.gated),
            bodies.matches,
            bodies.checksums,
            bodies.data,
            bodies.offsets,
            bodies.lengths,
        )
        self.store.next = (first + count) % IDS
        return bodies

    @property
    def _shift(self) -> int:
        """By which a hash is shifted to be zero at a marker."""
        return 65 - self.sampling.bit_length()

    def mark(self, ids: NDArray[np.uint64], state: State) -> None:
        """Note what became of packets; those that are not held any more are passed over."""
        slots = (ids & np.uint64(self.store.slots - 1)).astype(np.int64)
        after = ids + np.uint64(1)
        self.store.states[slots[(self.store.ids[slots] == after) & (after != 0)]] = state

    def rebuild(self) -> None:
        """Make the table anew from the packets that are held and not lost: after a clone or a fork."""
        self.table[:] = 0
        _rebuild(self.store.held(), *self.store.arrays(), self.table, self._shift, int(self.keepOldest))


def warmUp() -> None:
    """Encode one packet, and make its table again."""
    encoder = Encoder(PacketStore(1), 1)
    encoder.encode(np.zeros(64, np.uint8), np.zeros(1, np.int64), np.array([64], np.int64), 1)
    encoder.rebuild()
