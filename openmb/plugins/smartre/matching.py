"""
References of a payload to packets of the store: what the table says, what holds of it, and how it is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.packets.loads import Source
from openmb.plugins.smartre.markers import OFFSET, TAG, WINDOW, entryOf
from openmb.plugins.smartre.store import State
from openmb.plugins.smartre.words import Number, copyBytes, minus, plus, prefetch, same, sameBefore, store64

#: Instead of a place in the store: the entry is to be replaced, or kept but not referred to.
REPLACE, KEEP = -1, -2
_LOST, _USABLE = int(State.LOST), int(State.USABLE)


@njit(cache=True)
def expect(
    number: Number,
    base: Number,
    count: Number,
    fingers: Any,
    table: Any,
    rows: Source,
    stored: Source,
    held: Source,
    slots: Number,
    slotBytes: Number,
) -> None:
    """Ask for the lines of the store that the table names for the markers of a packet that comes soon."""
    last = np.uint64(len(table) - 1)
    for marker in range(base, base + count):
        finger = fingers[marker]
        place = np.int64(finger & last)
        entry = table[place]
        origin = minus(number, minus(number, entry) & np.uint64(0xFFFFFFFF))
        slot = np.int64(origin & np.uint64(slots - 1))
        offset = np.int64((entry >> np.uint64(OFFSET)) & np.uint64(2047))
        # without a branch, which would often be guessed wrong: the row is there already
        if (entry ^ finger) >> np.uint64(TAG):
            prefetch(rows, place * 8)
        else:
            prefetch(held, slot * 8)
            prefetch(stored, slot * slotBytes + offset)


@njit(cache=True)
def look(
    number: Number,
    entry: Number,
    finger: Number,
    lengths: Any,
    ids: Any,
    states: Any,
    slotBytes: Number,
    gated: Number,
) -> Number:
    """
    Where in the store an entry points to, or that it is to be replaced or kept.

    Every slot that an entry may name is there, so all is read first and decided then without a branch: which entries
    hold is chance, and would be guessed wrong every other time, which took a third of the encoder's time.
    """
    delta = minus(number, entry) & np.uint64(0xFFFFFFFF)
    source = minus(number, delta)
    slot = np.int64(source & np.uint64(len(ids) - 1))
    offset = np.int64((entry >> np.uint64(OFFSET)) & np.uint64(2047))
    after, state = ids[slot], states[slot]
    isOther = np.int64(entry == np.uint64(0)) | np.int64((entry ^ finger) >> np.uint64(TAG) != np.uint64(0))
    isFar = np.int64(delta == np.uint64(0)) | np.int64(delta >> np.uint64(31) != np.uint64(0))
    isGone = np.int64(after != plus(source, np.uint64(1))) | np.int64(after == np.uint64(0)) | np.int64(state == _LOST)
    isShort = np.int64(offset + WINDOW > min(np.int64(lengths[slot]), slotBytes))
    isReplaced = isOther | isFar | isGone | isShort
    isKept = np.int64(gated != 0) & np.int64(state != _USABLE)
    place = slot * slotBytes + offset
    place += isKept * (KEEP - place)
    return place + isReplaced * (REPLACE - place)


@njit(cache=True)
def match(
    source: Source,
    start: Number,
    length: Number,
    number: Number,
    stored: Source,
    lengths: Any,
    ids: Any,
    slotBytes: Number,
    base: Number,
    count: Number,
    positions: Any,
    places: Any,
    words: Any,
    begins: Any,
    ends: Any,
) -> Number:
    """Verify the candidates of markers from C{base} on, in order; note words and places of the matches; how many."""
    covered, found, after = 0, 0, plus(number, np.uint64(1))
    for marker in range(base, base + count):
        place, position = places[marker], np.int64(positions[marker])
        if place < 0 or position < covered:
            continue
        slot = place // slotBytes
        offset = place - slot * slotBytes
        room = min(length - position, min(np.int64(lengths[slot]), slotBytes) - offset)
        run = same(source, start + position, stored, place, room)
        if run < WINDOW:
            places[marker] = REPLACE
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
def write(
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
def enter(
    number: Number,
    base: Number,
    count: Number,
    positions: Any,
    fingers: Any,
    places: Any,
    table: Any,
    keepOldest: Number,
) -> None:
    """Put markers, from C{base} on, in the table, the first one last: it stays, and what follows it is longest."""
    for marker in range(base + count - 1, base - 1, -1):
        if not keepOldest or places[marker] == REPLACE:
            finger = fingers[marker]
            table[finger & np.uint64(len(table) - 1)] = entryOf(number, positions[marker], finger)
