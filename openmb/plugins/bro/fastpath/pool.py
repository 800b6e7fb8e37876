"""
Kernels that take lanes, open rows and streams from their pools and give them back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.fastpath.lanes import (
    FREE_LANE,
    FREE_REQUEST,
    FREE_STREAM,
    MOST_WAITING,
    NOBODY,
    ROOM,
    TOP,
    USED_LANES,
)
from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth


@njit(**INNER)
def hasRoom(lanes: Any, octets: Number) -> Truth:
    """Is there room for whatever one piece with so many bytes can need?"""
    cursors = lanes.cursors
    if cursors[FREE_LANE] < 0 or cursors[FREE_STREAM] < 1:
        return False
    if cursors[TOP] + 2 * octets + ROOM > len(lanes.heap):
        return False
    node = cursors[FREE_REQUEST]
    for _ in range(MOST_WAITING):
        if node < 0:
            return False
        node = np.int64(lanes.requests[node]["next"])
    return True


@njit(**INNER)
def takeLane(lanes: Any, slot: Number) -> Number:
    """A lane with nothing in it for the connection in this slot."""
    cursors = lanes.cursors
    at = cursors[FREE_LANE]
    lane = lanes.lanes[at]
    cursors[FREE_LANE] = np.int64(lane["next"])
    cursors[USED_LANES] += 1
    lanes.laneOf[slot] = at
    for side in range(2):
        lane["position"][side] = 1
        lane["begun"][side] = 0
        lane["begunLength"][side] = 0
        lane["ended"][side] = 0
    lane["clientLeft"] = 0
    lane["clientRead"] = 0
    lane["serverLeft"] = 0
    lane["serverLength"] = 0
    lane["reply"] = 0
    lane["lineStamp"] = 0
    lane["number"] = 0
    lane["depth"] = 0
    lane["total"] = 0
    lane["replyLength"] = 0
    lane["waiting"] = 0
    lane["serverMode"] = 0
    lane["compressed"] = 0
    lane["carriage"] = 0
    lane["lineLength"] = 0
    lane["spoken"] = 0
    lane["keepAlive"] = 0
    lane["closes"] = 0
    lane["requestVersion"] = 0
    lane["replyVersion"] = 0
    lane["lineKnown"] = 0
    lane["touched"] = 0
    lane["first"] = -1
    lane["last"] = -1
    lane["stream"] = -1
    lane["matching"] = 1
    lane["slot"] = slot
    return at


@njit(**INNER)
def freeStream(lanes: Any, lane: Any) -> None:
    """The reply's compressed body is over."""
    if lane["stream"] >= 0:
        count = lanes.cursors[FREE_STREAM]
        lanes.freeStreams[count] = lane["stream"]
        lanes.cursors[FREE_STREAM] = count + 1
        lane["stream"] = -1


@njit(**INNER)
def takeStream(lanes: Any, lane: Any) -> None:
    """A compressed body begins."""
    count = lanes.cursors[FREE_STREAM] - 1
    lanes.cursors[FREE_STREAM] = count
    stream = np.int64(lanes.freeStreams[count])
    lane["stream"] = stream
    lanes.numbers[stream] = 0
    lanes.lengths[stream] = 0
    lanes.order[stream] = 0


@njit(**INNER)
def freeLane(lanes: Any, at: Number) -> None:
    """Nobody needs this lane any more, nor its open rows."""
    lane = lanes.lanes[at]
    freeStream(lanes, lane)
    node = np.int64(lane["first"])
    while node >= 0:
        after = np.int64(lanes.requests[node]["next"])
        lanes.requests[node]["next"] = lanes.cursors[FREE_REQUEST]
        lanes.cursors[FREE_REQUEST] = node
        node = after
    if lane["slot"] >= 0:
        lanes.laneOf[lane["slot"]] = NOBODY
    lane["slot"] = -1
    lane["first"] = -1
    lane["touched"] = 0
    lane["next"] = lanes.cursors[FREE_LANE]
    lanes.cursors[FREE_LANE] = at
    lanes.cursors[USED_LANES] -= 1


@njit(cache=True)
def giveBack(lanes: Any, at: Number) -> None:
    """L{freeLane} for Python."""
    freeLane(lanes, at)


@njit(cache=True)
def forgetSlots(lanes: Any, slots: Any) -> None:
    """The connections in these slots are forgotten in silence."""
    for i in range(len(slots)):
        slot = slots[i]
        if slot < len(lanes.laneOf):
            at = np.int64(lanes.laneOf[slot])
            if at >= 0:
                freeLane(lanes, at)
            lanes.laneOf[slot] = NOBODY


@njit(cache=True)
def freeRows(lanes: Any, count: Number) -> None:
    """The first C{count} finished rows were taken."""
    for i in range(count):
        node = np.int64(lanes.finished[i])
        lanes.requests[node]["next"] = lanes.cursors[FREE_REQUEST]
        lanes.cursors[FREE_REQUEST] = node


@njit(cache=True)
def takeLaneOf(lanes: Any, slot: Number) -> Number:
    """L{takeLane} for Python."""
    return takeLane(lanes, slot)
