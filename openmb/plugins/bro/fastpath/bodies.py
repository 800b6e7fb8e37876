"""
Kernels for what follows the heads: bodies, chunks, and the ends of messages.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.analyzers.http.deflate import OVER, STAGE, countInflated
from openmb.plugins.bro.analyzers.http.side import BODY, CHUNK, CHUNK_END, CHUNK_SIZE, EVERYTHING, START, TRAILER
from openmb.plugins.bro.fastpath.lanes import ROWS
from openmb.plugins.bro.fastpath.pool import freeStream, takeStream
from openmb.plugins.bro.tracking.letters import hexDigit
from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth

#: Digits of a chunk's size that are read here.
_MOST_DIGITS = 8


@njit(**INNER)
def endRequest(lanes: Any, lane: Any) -> None:
    """The request in progress, the last one, has ended."""
    lanes.requests[lane["last"]]["requestLength"] = lane["clientRead"]


@njit(**INNER)
def endReply(lanes: Any, lane: Any, place: Number) -> None:
    """The reply in progress has ended: its row is finished, with the piece at C{place}."""
    node = np.int64(lane["first"])
    request = lanes.requests[node]
    request["responseLength"] = lane["serverLength"]
    lane["first"] = request["next"]
    if lane["first"] < 0:
        lane["last"] = -1
    lane["waiting"] -= 1
    count = lanes.cursors[ROWS]
    lanes.finished[count] = node
    lanes.places[count] = place
    lanes.cursors[ROWS] = count + 1
    freeStream(lanes, lane)
    lane["serverMode"] = START
    lane["replyLength"] = 0
    lane["serverLength"] = 0
    lane["serverLeft"] = 0
    lane["lineLength"] = 0
    lane["compressed"] = 0


@njit(**INNER)
def advance(lanes: Any, lane: Any, length: Number, place: Number) -> None:
    """So many bytes of a body are through."""
    if lane["serverMode"] != EVERYTHING:
        lane["serverLeft"] -= length
        if lane["serverLeft"] == 0:
            if lane["serverMode"] == CHUNK:
                lane["serverMode"] = CHUNK_END
            else:
                endReply(lanes, lane, place)


@njit(**INNER)
def takeBody(lanes: Any, lane: Any, data: Any, position: Number, end: Number, place: Number) -> Number:
    """Bytes of the reply's body or chunk; the position after them."""
    length = end - position
    if lane["serverMode"] != EVERYTHING:
        length = min(length, np.int64(lane["serverLeft"]))
    if lane["compressed"]:
        if lane["stream"] < 0:
            takeStream(lanes, lane)
        stream = np.int64(lane["stream"])
        tables = (lanes.wide, lanes.narrow, lanes.canonical)
        octets = data[position : position + length]
        lane["serverLength"] += countInflated(
            lanes.numbers[stream], lanes.lengths[stream], lanes.order[stream], tables[0], tables[1], tables[2], octets
        )
    else:
        lane["serverLength"] += length
    advance(lanes, lane, length, place)
    return position + length


@njit(**INNER)
def passBody(lanes: Any, lane: Any, length: Number, place: Number) -> Truth:
    """Bytes of the reply that the kernels did not hand out; false if they are more than they could do without."""
    mode = lane["serverMode"]
    if lane["carriage"] or mode not in (BODY, CHUNK, EVERYTHING):
        return False
    if lane["compressed"] and (lane["stream"] < 0 or lanes.numbers[lane["stream"], STAGE] != OVER):
        return False
    if mode != EVERYTHING and length > lane["serverLeft"]:
        return False
    if not lane["compressed"]:
        lane["serverLength"] += length
    advance(lanes, lane, length, place)
    return True


@njit(**INNER)
def _chunkSize(lane: Any) -> Number:
    """The number in the line that is kept, -1 if it has none that is read here."""
    size, number = np.int64(lane["lineLength"]), np.int64(0)
    if size == 0 or size > _MOST_DIGITS:
        return np.int64(-1)
    for i in range(size):
        digit = hexDigit(np.int64(lane["line"][i]))
        if digit < 0:
            return np.int64(-1)
        number = 16 * number + digit
    return number


@njit(**INNER)
def takeLine(lanes: Any, lane: Any, data: Any, position: Number, end: Number, place: Number) -> Number:
    """
    Bytes of the line before or after a chunk, or of the empty one after the last.

    @return: the position after them; -1 - it, if the analysers must go on from there.
    """
    mode = lane["serverMode"]
    while position < end:
        byte = data[position]
        if byte != 13 and byte != 10:
            if mode == TRAILER or lane["lineLength"] >= _MOST_DIGITS:
                return -1 - position
            lane["line"][lane["lineLength"]] = byte
            lane["lineLength"] += 1
            position += 1
            continue
        if mode == CHUNK_SIZE:
            size = _chunkSize(lane)
            if size < 0:
                return -1 - position
            lane["serverLeft"] = size
            lane["serverMode"] = CHUNK if size else TRAILER
        elif mode == CHUNK_END:
            lane["serverMode"] = CHUNK_SIZE
        lane["lineLength"] = 0
        if byte == 13:
            lane["carriage"] = 1
        if mode == TRAILER:
            endReply(lanes, lane, place)
        return position + 1
    return position
