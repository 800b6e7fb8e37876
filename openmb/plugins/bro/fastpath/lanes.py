"""
What the fast path knows: a lane for each connection that is on it, open rows of http.log, and the bytes of their heads.

A lane says no more than is needed to go on, and to make the conversation that the analysers would have come to: what
was read completely is a few numbers, what is still open is kept as the bytes that came
(L{openmb.plugins.bro.fastpath.conversion}).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.analyzers.http.codes import CANON, NARROW, WIDE
from openmb.plugins.bro.analyzers.http.deflate import NUMBERS
from openmb.plugins.bro.tracking.numbers import INNER, Number, constants

#: In place of a lane: nobody reads this connection's data, or the analysers do.
NOBODY, ANALYZERS = constants((-1, -2))

#: Cursors of L{Lanes}: free lists and how much of each array is in use.
FREE_LANE, FREE_REQUEST, FREE_STREAM, TOP, KEPT, ROWS, TOUCHED, USED_LANES = range(8)

#: Requests without final reply that a lane may have; and bytes of a head, whole or begun, beyond which it is left.
MOST_WAITING, LONGEST_HEAD = constants((16, 4096))

#: Bytes of the heap that a piece may need besides twice its own.
ROOM = 1 << 14

#: One connection on the fast path. Pairs hold the originator's value first.
LANE = np.dtype(
    [
        ("position", "<i8", (2,)),  # relative sequence number up to which data was read
        ("clientLeft", "<i8"),  # bytes left of the request's body
        ("clientRead", "<i8"),  # bytes of the last request's body so far
        ("serverLeft", "<i8"),  # bytes left of the reply's body or chunk
        ("serverLength", "<i8"),  # ... and counted of the body
        ("begun", "<i8", (2,)),  # where the beginning of a head lies in the heap
        ("reply", "<i8"),  # where the head of the reply in progress lies
        ("lineStamp", "<i8"),  # when the line was complete that begins the client's unfinished head
        ("number", "<i8"),  # of the last request
        ("depth", "<i8"),  # of its row
        ("total", "<i4"),  # bytes of both sides while signatures may still match
        ("slot", "<i4"),  # of the table; -1: the lane was left
        ("next", "<i4"),  # free lane after this one
        ("first", "<i4"),  # oldest open request, -1 for none
        ("last", "<i4"),
        ("stream", "<i4"),  # of the reply's compressed body, -1 for none
        ("begunLength", "<i4", (2,)),
        ("replyLength", "<i4"),  # 0: no reply is in progress
        ("waiting", "<i4"),  # open requests
        ("serverMode", "u1"),  # as L{openmb.plugins.bro.analyzers.http.side.Mode}
        ("compressed", "u1"),
        ("carriage", "u1"),  # the server's last line ended with CR: an LF that comes next belongs to it
        ("lineLength", "u1"),  # bytes of the unfinished line before a chunk
        ("line", "u1", (12,)),  # these
        ("ended", "u1", (2,)),
        ("matching", "u1"),  # signatures may still match
        ("swapped", "u1"),
        ("analyzer", "u1"),  # the service of the responder's port
        ("spoken", "u1"),  # there was a request
        ("keepAlive", "u1"),
        ("closes", "u1"),  # the server said that it will close the connection
        ("requestVersion", "u1"),
        ("replyVersion", "u1"),
        ("lineKnown", "u1"),  # the line that begins the client's unfinished head is complete
        ("touched", "u1"),
    ],
    align=True,
)

#: Texts of a row, as places in the heap.
METHOD, URI, HOST, REFERRER, AGENT, ORIGIN, REASON, INFO_REASON = constants(range(8))

#: One row of http.log that is open, or finished and not yet taken.
REQUEST = np.dtype(
    [
        ("stamp", "<i8"),
        ("start", "<i8"),  # of the connection, microseconds
        ("key", "<u8", (5,)),
        ("place", "<i8", (8,)),  # of each text; -1 for none
        ("size", "<i4", (8,)),
        ("head", "<i8"),  # bytes that came, for conversion
        ("interim", "<i8"),
        ("depth", "<i8"),
        ("requestLength", "<i8"),
        ("responseLength", "<i8"),
        ("headLength", "<i4"),
        ("interimLength", "<i4"),
        ("next", "<i4"),
        ("status", "<i4"),
        ("infoCode", "<i4"),
        ("version", "u1"),  # the reply's
        ("isHead", "u1"),
        ("swapped", "u1"),
        ("escaped", "u1"),  # the URI has C{%}
    ],
    align=True,
)


class Lanes(NamedTuple):
    """
    The arrays.

    @ivar lanes: L{LANE}C{[l]}.
    @ivar laneOf: C{int32[capacity]}, the lane of each slot of the table, L{NOBODY} or L{ANALYZERS}.
    @ivar requests: L{REQUEST}C{[r]}.
    @ivar heap: C{uint8[h]}, heads of open requests and replies.
    @ivar kept: C{int32[p]}, places of the pieces that are left to the analysers.
    @ivar left: C{int32[p]}, for each of them the lane that was left with it, -1 for none.
    @ivar finished: C{int32[r]}, finished rows, in order.
    @ivar places: C{int32[r]}, the places of the pieces that finished them.
    @ivar touched: C{int32[p]}, lanes that took something.
    @ivar numbers: C{int64[s, 11]}, streams being inflated.
    @ivar lengths: C{uint8[s, 320]}.
    @ivar order: C{uint8[s, 19]}.
    @ivar freeStreams: C{int32[s]}.
    @ivar wide: C{int64[1024]}, a table of the stream that is read just now.
    @ivar narrow: C{int64[256]}, another.
    @ivar canonical: C{int64[c]}, another.
    @ivar found: C{int64[32]}, what was found in a head.
    @ivar cursors: C{int64[8]}.
    """

    lanes: NDArray[Any]
    laneOf: NDArray[np.int32]
    requests: NDArray[Any]
    heap: NDArray[np.uint8]
    kept: NDArray[np.int32]
    left: NDArray[np.int32]
    finished: NDArray[np.int32]
    places: NDArray[np.int32]
    touched: NDArray[np.int32]
    numbers: NDArray[np.int64]
    lengths: NDArray[np.uint8]
    order: NDArray[np.uint8]
    freeStreams: NDArray[np.int32]
    wide: NDArray[np.int64]
    narrow: NDArray[np.int64]
    canonical: NDArray[np.int64]
    found: NDArray[np.int64]
    cursors: NDArray[np.int64]


def makeLanes(pieces: int, lanes: int = 64, requests: int = 64, heap: int = 1 << 16, streams: int = 16) -> Lanes:
    """Empty arrays; those that grow, grow in L{reserve}."""
    made = Lanes(
        np.zeros(lanes, LANE),
        np.full(0, NOBODY, np.int32),
        np.zeros(requests, REQUEST),
        np.zeros(heap, np.uint8),
        np.zeros(pieces, np.int32),
        np.zeros(pieces, np.int32),
        np.zeros(requests, np.int32),
        np.zeros(requests, np.int32),
        np.zeros(pieces, np.int32),
        np.zeros((streams, len(NUMBERS)), np.int64),
        np.zeros((streams, 320), np.uint8),
        np.zeros((streams, 19), np.uint8),
        np.arange(streams, dtype=np.int32),
        np.zeros(1 << WIDE, np.int64),
        np.zeros(1 << NARROW, np.int64),
        np.zeros(CANON, np.int64),
        np.zeros(32, np.int64),
        np.zeros(8, np.int64),
    )
    for name in ("lanes", "requests"):
        _chain(getattr(made, name), 0, -1)
    made.lanes["slot"] = -1
    made.cursors[FREE_STREAM] = streams
    return made


def _chain(records: NDArray[Any], first: int, after: int) -> None:
    """Make a free list of the records from C{first} on; C{after} comes behind the last one."""
    records["next"][first:] = np.arange(first + 1, len(records) + 1)
    records["next"][-1] = after


def cover(lanes: Lanes, capacity: int) -> Lanes:
    """C{lanes} for a table of C{capacity} slots."""
    if len(lanes.laneOf) >= capacity:
        return lanes
    laneOf = np.full(capacity, NOBODY, np.int32)
    laneOf[: len(lanes.laneOf)] = lanes.laneOf
    return lanes._replace(laneOf=laneOf)


def reserve(lanes: Lanes, octets: int) -> Lanes:
    """
    C{lanes} with room for a piece of so many bytes, and a lane, a stream, and rows for it.

    What is in use keeps its place, but for the texts in the heap.
    """
    octets = 2 * octets + ROOM
    changed: dict[str, Any] = {}
    if lanes.cursors[FREE_LANE] < 0:
        changed["lanes"] = _doubled(lanes.lanes, lanes.cursors, FREE_LANE)
        changed["lanes"]["slot"][len(lanes.lanes) :] = -1
    if _isShort(lanes):
        changed["requests"] = _doubled(lanes.requests, lanes.cursors, FREE_REQUEST)
        for name in ("finished", "places"):
            changed[name] = np.zeros(len(changed["requests"]), np.int32)
            changed[name][: len(lanes.requests)] = getattr(lanes, name)
    if lanes.cursors[FREE_STREAM] < 1:
        changed |= _moreStreams(lanes)
    if lanes.cursors[TOP] + octets > len(lanes.heap):
        room = np.zeros(len(lanes.heap), np.uint8)
        used = compact(lanes, room)
        if used + octets > len(room) // 2:
            room = np.concatenate([room, np.zeros(max(len(room), octets), np.uint8)])
        changed["heap"] = room
    return lanes._replace(**changed) if changed else lanes


def _isShort(lanes: Lanes) -> bool:
    """Are there fewer free rows than one piece can need?"""
    node, count = int(lanes.cursors[FREE_REQUEST]), 0
    while node >= 0 and count < MOST_WAITING:
        node, count = int(lanes.requests[node]["next"]), count + 1
    return bool(count < MOST_WAITING)


def _doubled(records: NDArray[Any], cursors: NDArray[np.int64], cursor: int) -> NDArray[Any]:
    more = np.concatenate([records, np.zeros(len(records), records.dtype)])
    _chain(more, len(records), int(cursors[cursor]))
    cursors[cursor] = len(records)
    return more


def _moreStreams(lanes: Lanes) -> dict[str, Any]:
    size = len(lanes.freeStreams)
    free = np.zeros(2 * size, np.int32)
    count = int(lanes.cursors[FREE_STREAM])
    free[:count] = lanes.freeStreams[:count]
    free[count : count + size] = np.arange(size, 2 * size)
    lanes.cursors[FREE_STREAM] = count + size
    several = {name: getattr(lanes, name) for name in ("numbers", "lengths", "order")}
    return {name: np.concatenate([array, np.zeros_like(array)]) for name, array in several.items()} | {
        "freeStreams": free
    }


@njit(**INNER)
def _carry(heap: Any, room: Any, place: Number, length: Number, top: Number) -> Number:
    """Copy a text to C{top}; where the next one goes."""
    for i in range(length):
        room[top + i] = heap[place + i]
    return top + length


@njit(cache=True)
def compact(lanes: Any, room: Any) -> Number:
    """Copy all texts in use to C{room}, which is as large as the heap; how many bytes that are."""
    heap, top = lanes.heap, np.int64(0)
    for i in range(len(lanes.lanes)):
        lane = lanes.lanes[i]
        if lane["slot"] < 0:
            continue
        for side in range(2):
            place, lane["begun"][side] = np.int64(lane["begun"][side]), top
            top = _carry(heap, room, place, np.int64(lane["begunLength"][side]), top)
        place, lane["reply"] = np.int64(lane["reply"]), top
        moved = top - place
        top = _carry(heap, room, place, np.int64(lane["replyLength"]), top)
        if lane["replyLength"] and lane["first"] >= 0:
            lanes.requests[lane["first"]]["place"][REASON] += moved
        node = np.int64(lane["first"])
        while node >= 0:
            request = lanes.requests[node]
            moved = top - np.int64(request["head"])
            top = _carry(heap, room, np.int64(request["head"]), np.int64(request["headLength"]), top)
            request["head"] += moved
            for text in range(REASON):
                if request["place"][text] >= 0:
                    request["place"][text] += moved
            moved = top - np.int64(request["interim"])
            top = _carry(heap, room, np.int64(request["interim"]), np.int64(request["interimLength"]), top)
            request["interim"] += moved
            if request["place"][INFO_REASON] >= 0:
                request["place"][INFO_REASON] += moved
            node = np.int64(request["next"])
    lanes.cursors[TOP] = top
    return top
