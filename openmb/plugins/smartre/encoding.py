"""
The encoder of a cache: payloads into bodies, in batches.

Memory is far away, so each packet is gone over three times, two packets ahead, one ahead, and when its turn is: collect
the markers and ask for their rows of the table; read these and ask for the lines of the store; then verify matches in
order.  What is read ahead decides nothing, so bodies do not depend on how packets are cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source, plain, sourceOf
from openmb.plugins.smartre.hashing import hashBytes
from openmb.plugins.smartre.markers import MARKERS, collect, fingerprint
from openmb.plugins.smartre.matching import enter, expect, look, match, write
from openmb.plugins.smartre.store import IDS, PacketStore, State, put
from openmb.plugins.smartre.words import Number, plus, prefetch

_LOST = int(State.LOST)
#: Packets whose markers are known at the same time: while one is encoded, lines of the store come for the next one,
#: and of the table for the one after.  A power of two.
_AT_ONCE = 4


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
def _fits(starts: Any, sizes: Any, total: Number, slotBytes: Number) -> bool:
    """Whether all payloads are inside the data, and none is longer than a slot."""
    for packet in range(len(starts)):
        if sizes[packet] < 0 or sizes[packet] > min(total, slotBytes):
            return False
        if starts[packet] < 0 or starts[packet] > total - sizes[packet]:
            return False
    return True


@njit(cache=True)
def _mark(
    source: Source,
    start: Number,
    length: Number,
    limit: Number,
    base: Number,
    positions: Any,
    fingers: Any,
    rows: Source,
    last: Number,
) -> Number:
    """Collect the markers of a payload and ask for their rows of the table; how many there are."""
    count = collect(source, start, length, limit, base, positions)
    for marker in range(base, base + count):
        finger = fingerprint(source, start + positions[marker])
        fingers[marker] = finger
        prefetch(rows, np.int64(finger & last) * 8)
    return count


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
    limit: Number,
    keepOldest: Number,
    gated: Number,
    numbers: Any,
    matches: Any,
    checksums: Any,
    out: Any,
    offsets: Any,
    bodies: Any,
) -> Number:
    """Encode and store all packets; bytes of their bodies, or -1 if they do not fit."""
    if not _fits(starts, sizes, len(data), slotBytes):
        return -1
    source, stored, target, rows = sourceOf(data), sourceOf(payloads), sourceOf(out), sourceOf(table.view(np.uint8))
    held = sourceOf(ids.view(np.uint8))
    positions, fingers = np.empty(_AT_ONCE * MARKERS, np.int64), np.empty(_AT_ONCE * MARKERS, np.uint64)
    places, words = np.empty(_AT_ONCE * MARKERS, np.int64), np.empty(MARKERS, np.uint64)
    begins, ends = np.empty(MARKERS, np.int64), np.empty(MARKERS, np.int64)
    counts = np.zeros(_AT_ONCE, np.int64)
    last, at, slots = np.uint64(len(table) - 1), np.int64(0), len(ids)
    seed = np.uint64(epoch) << np.uint64(48)
    for turn in range(-2, len(starts)):
        if turn + 2 < len(starts):
            coming = turn + 2
            row = coming & (_AT_ONCE - 1)
            base = row * MARKERS
            counts[row] = _mark(source, starts[coming], sizes[coming], limit, base, positions, fingers, rows, last)
        if -1 <= turn < len(starts) - 1:
            row = (turn + 1) & (_AT_ONCE - 1)
            number = plus(first, np.uint64(turn + 1))
            expect(number, row * MARKERS, counts[row], fingers, table, rows, stored, held, slots, slotBytes)
        if turn < 0:
            continue
        start, length, number = starts[turn], sizes[turn], plus(first, np.uint64(turn))
        row = turn & (_AT_ONCE - 1)
        base, count = row * MARKERS, counts[row]
        for marker in range(base, base + count):
            finger = fingers[marker]
            places[marker] = look(number, table[finger & last], finger, lengths, ids, states, slotBytes, gated)
        found = match(
            source,
            start,
            length,
            number,
            stored,
            lengths,
            ids,
            slotBytes,
            base,
            count,
            positions,
            places,
            words,
            begins,
            ends,
        )
        numbers[turn], offsets[turn], matches[turn] = number, at, found
        at = write(source, start, length, target, at, found, words, begins, ends)
        bodies[turn] = at - offsets[turn]
        checksums[turn] = hashBytes(source, start, length, seed ^ number) & np.uint64(0xFFFFFFFF)
        enter(number, base, count, positions, fingers, places, table, keepOldest)
        put(source, start, length, number, stored, lengths, ids, states, slotBytes)
    return at


@njit(cache=True)
def _rebuild(
    numbers: Any,
    payloads: Any,
    lengths: Any,
    ids: Any,
    states: Any,
    slotBytes: Number,
    table: Any,
    limit: Number,
    keepOldest: Number,
) -> None:
    stored = sourceOf(payloads)
    positions, fingers = np.empty(MARKERS, np.int64), np.empty(MARKERS, np.uint64)
    places = np.empty(MARKERS, np.int64)
    for number in numbers:
        slot = np.int64(number & np.uint64(len(ids) - 1))
        if states[slot] == _LOST:
            continue
        start = slot * slotBytes
        count = collect(stored, start, min(np.int64(lengths[slot]), slotBytes), limit, 0, positions)
        for marker in range(count):
            finger = fingerprint(stored, start + positions[marker])
            fingers[marker] = finger
            entry = table[finger & np.uint64(len(table) - 1)]
            places[marker] = look(number, entry, finger, lengths, ids, states, slotBytes, 0)
        enter(number, 0, count, positions, fingers, places, table, keepOldest)


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

    def copy(self) -> Encoder:
        """One that goes on from here its own way."""
        other = Encoder(self.store.copy(), 1, self.keepOldest, self.gated, self.sampling)
        other.table = self.table.copy()
        return other

    def encode(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64], epoch: int
    ) -> Bodies:
        """
        Encode payloads, each under the next id, and store them.

        @param epoch: of the cache, 1 to 65,535.
        @raise ValueError: a payload is not inside C{data} or is longer than a slot; nothing was done then.
        """
        store, count = self.store, len(offsets)
        starts, sizes = plain(np.asarray(offsets, np.int64)), plain(np.asarray(lengths, np.int64))
        if starts.shape != sizes.shape or starts.ndim != 1 or data.dtype != np.uint8 or data.ndim != 1:
            raise ValueError(f"offsets of {starts.shape}, lengths of {sizes.shape}, data of {data.dtype}")
        ids, matches, checksums = np.empty(count, np.uint64), np.empty(count, np.uint8), np.empty(count, np.uint32)
        out, begins, made = (
            np.empty(count * store.slotBytes, np.uint8),
            np.empty(count, np.int64),
            np.empty(count, np.int64),
        )
        end = _encode(
            plain(data),
            starts,
            sizes,
            np.uint64(store.next),
            epoch,
            *store.arrays(),
            self.table,
            self._limit,
            int(self.keepOldest),
            int(self.gated),
            ids,
            matches,
            checksums,
            out,
            begins,
            made,
        )
        if end < 0:
            raise ValueError(f"not all payloads are inside {len(data)} bytes and no longer than {store.slotBytes}")
        store.next = (store.next + count) % IDS
        return Bodies(ids, matches, checksums, out[:end], begins, made)

    @property
    def _limit(self) -> np.uint64:
        """A hash of a marker is below it."""
        return np.uint64((1 << 64) // self.sampling)

    def mark(self, ids: NDArray[np.uint64], state: State) -> None:
        """Note what became of packets; those that are not held any more are passed over."""
        slots = (ids & np.uint64(self.store.slots - 1)).astype(np.int64)
        after = ids + np.uint64(1)
        self.store.states[slots[(self.store.ids[slots] == after) & (after != 0)]] = state

    def rebuild(self) -> None:
        """Make the table anew from the packets that are held and not lost: after a clone or a fork."""
        self.table[:] = 0
        _rebuild(self.store.held(), *self.store.arrays(), self.table, self._limit, int(self.keepOldest))


def warmUp() -> None:
    """Encode one packet, and make its table again."""
    encoder = Encoder(PacketStore(1), 1)
    encoder.encode(np.zeros(64, np.uint8), np.zeros(1, np.int64), np.array([64], np.int64), 1)
    encoder.rebuild()
