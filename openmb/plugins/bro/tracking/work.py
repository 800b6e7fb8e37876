"""
What the kernels hand to Python: finished rows, and pieces of work for application parsers; and the pool of ranges.

All of it lies in arrays of fixed size, so that a kernel never allocates: it stops when an array could overflow, and
goes on when it is called again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.records import ROW
from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth
from openmb.plugins.bro.tracking.pieces import PIECE, PIECE_RELEASED
from openmb.plugins.bro.tracking.states import BLOCK_LIMIT
from openmb.plugins.bro.tracking.urgency import URGENT_ANY, URGENT_LINES, URGENT_MESSAGES
from openmb.plugins.bro.tracking.weirds import WEIRD

#: Cursors of L{Work}.
PIECES, FINISHED, FREE_RANGE, STOP, STAMP, PACKET, SLOT, USED_RANGES, FIRST_BYTE, WAITING, WEIRDS = range(11)

#: Connections that may wait before the kernel stops.
_MOST_WAITING = 32
#: Weirds that may wait to be told.
_MOST_WEIRDS = 1024

#: Pieces that one packet causes at most: every range of one direction lost and released, and a few more.
PIECES_PER_PACKET = 2 * BLOCK_LIMIT + 16


class Work(NamedTuple):
    """
    The arrays.

    @ivar pieces: L{PIECE}C{[p]}.
    @ivar keys: C{uint64[f, 5]}, native keys of finished rows.
    @ivar rows: L{ROW}C{[f]}, finished rows.
    @ivar low: C{int64[r]}, where each range held out of order begins, by relative sequence number.
    @ivar high: C{int64[r]}, where it ends.
    @ivar following: C{int32[r]}, the next range of the same direction, or the next free one; -1 for none.
    @ivar waiting: C{int32[w]}, slots of connections that must be looked at before their next packets.
    @ivar weirds: L{WEIRD}C{[q]}, what is odd about connections.
    @ivar cursors: C{int64[11]}: how much is in use, and the packet that is being processed.
    @ivar key: C{uint64[5]}, the key of that packet.
    """

    pieces: NDArray[Any]
    keys: NDArray[np.uint64]
    rows: NDArray[Any]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    following: NDArray[np.int32]
    waiting: NDArray[np.int32]
    weirds: NDArray[Any]
    cursors: NDArray[np.int64]
    key: NDArray[np.uint64]


def makeWork(pieces: int = 4 * PIECES_PER_PACKET, finished: int = 1024, ranges: int = 1024) -> Work:
    """Empty arrays for so many pieces, finished rows and ranges."""
    following = np.arange(1, ranges + 1, dtype=np.int32)
    following[-1] = -1
    return Work(
        np.zeros(pieces, PIECE),
        np.zeros((finished, 5), np.uint64),
        np.zeros(finished, ROW),
        np.zeros(ranges, np.int64),
        np.zeros(ranges, np.int64),
        following,
        np.zeros(_MOST_WAITING, np.int32),
        np.zeros(_MOST_WEIRDS, WEIRD),
        np.zeros(11, np.int64),
        np.zeros(5, np.uint64),
    )


def reserveRanges(work: Work, wanted: int) -> Work:
    """C{work} with room for C{wanted} more ranges; the ranges in use stay in their places."""
    size = len(work.low)
    if size - int(work.cursors[USED_RANGES]) >= wanted:
        return work
    more = max(size, wanted)
    following = np.arange(size + 1, size + more + 1, dtype=np.int32)
    following[-1] = work.cursors[FREE_RANGE]
    work.cursors[FREE_RANGE] = size
    none = np.zeros(more, np.int64)
    return work._replace(
        low=np.concatenate([work.low, none]),
        high=np.concatenate([work.high, none]),
        following=np.concatenate([work.following, following]),
    )


@njit(**INNER)
def hurry(work: Any, urgency: Number, kind: Number) -> None:
    """The piece of this kind must be looked at before some packet that comes soon."""
    cursors = work.cursors
    count = cursors[WAITING]
    if urgency == URGENT_ANY or count == len(work.waiting) or (urgency == URGENT_LINES and kind == PIECE_RELEASED):
        cursors[STOP] = 1
    elif count == 0 or work.waiting[count - 1] != cursors[SLOT]:
        work.waiting[count] = cursors[SLOT]
        cursors[WAITING] = count + 1


@njit(**INNER)
def isWaiting(work: Any, slot: Number) -> Truth:
    """Must what was read of this connection be looked at before its next packet?"""
    place = 0
    while place < work.cursors[WAITING] and work.waiting[place] != slot:
        place += 1
    return place < work.cursors[WAITING]


@njit(**INNER)
def addPiece(
    work: Any,
    row: Any,
    keys: Any,
    kind: Number,
    side: Number,
    sequence: Number,
    offset: Number,
    length: Number,
    size: Number,
) -> None:
    """Append a piece about the connection of the packet being processed; C{size}: bytes that both sides have sent."""
    cursors = work.cursors
    place = cursors[PIECES]
    if place >= len(work.pieces):
        return
    cursors[PIECES] = place + 1
    piece = work.pieces[place]
    slot = cursors[SLOT]
    piece["stamp"] = cursors[STAMP]
    piece["sequence"] = sequence
    piece["start"] = row["start"]
    piece["size"] = size
    piece["mine"] = row["delivered"][side]
    piece["others"] = row["delivered"][1 - side]
    piece["slot"] = slot
    piece["packet"] = cursors[PACKET]
    piece["offset"] = offset
    piece["length"] = length
    piece["kind"] = kind
    piece["side"] = side
    piece["analyzer"] = row["analyzer"]
    piece["swapped"] = row["swapped"]
    piece["partial"] = row["partial"]
    piece["tcp"] = row["tcp"]
    for word in range(5):
        piece["key"][word] = keys[slot, word]
    if row["urgent"] and row["urgent"] != URGENT_MESSAGES:
        hurry(work, row["urgent"], kind)


@njit(**INNER)
def releaseRange(work: Any, node: Number) -> Number:
    """Give a range back to the pool; the range that followed it."""
    after = work.following[node]
    work.following[node] = work.cursors[FREE_RANGE]
    work.cursors[FREE_RANGE] = node
    work.cursors[USED_RANGES] -= 1
    return np.int64(after)


@njit(**INNER)
def takeRange(work: Any, low: Number, high: Number, after: Number) -> Number:
    """A range from the pool, -1 if there is none left."""
    node = work.cursors[FREE_RANGE]
    if node < 0:
        return np.int64(-1)
    work.cursors[FREE_RANGE] = work.following[node]
    work.cursors[USED_RANGES] += 1
    work.low[node] = low
    work.high[node] = high
    work.following[node] = after
    return np.int64(node)


@njit(cache=True)
def dropRanges(work: Any, row: Any, side: Number) -> None:
    """Give all ranges of one direction back to the pool."""
    node = np.int64(row["head"][side])
    while node >= 0:
        node = releaseRange(work, node)
    row["head"][side] = -1
    row["blocks"][side] = 0
    row["held"][side] = 0
