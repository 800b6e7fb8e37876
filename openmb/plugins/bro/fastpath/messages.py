"""
Kernels that take bytes of one direction of a connection on the fast path: heads, and what follows them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.analyzers.http.side import (
    BODY,
    CHUNK,
    CHUNK_SIZE,
    EVERYTHING,
    START,
)
from openmb.plugins.bro.fastpath.bodies import endReply, endRequest, takeBody, takeLine
from openmb.plugins.bro.fastpath.heads import (
    CHUNKED,
    CLOSES,
    COMPRESSED,
    INCOMPLETE,
    IS_ESCAPED,
    IS_HEAD,
    KEEPS_ALIVE,
    LENGTH,
    SIZES,
    STATUS,
    VERSION,
    readHead,
)
from openmb.plugins.bro.fastpath.lanes import (
    FREE_REQUEST,
    INFO_REASON,
    LONGEST_HEAD,
    MOST_WAITING,
    REASON,
    TOP,
)
from openmb.plugins.bro.tracking.numbers import INNER, ORIGINATOR, RESPONDER, Number, Truth

_COMPLETE = 11  # the version from which on bodies come in chunks


@njit(**INNER)
def _store(lanes: Any, data: Any, position: Number, length: Number) -> Number:
    """Copy bytes to the heap; where they lie."""
    top, heap = lanes.cursors[TOP], lanes.heap
    for i in range(length):
        heap[top + i] = data[position + i]
    lanes.cursors[TOP] = top + length
    return top


@njit(**INNER)
def _join(lanes: Any, lane: Any, side: Number, data: Any, position: Number, end: Number) -> Number:
    """The unfinished head of this side and what comes after it, side by side in the heap; where it ends."""
    begun, length = np.int64(lane["begun"][side]), np.int64(lane["begunLength"][side])
    if begun + length != lanes.cursors[TOP]:
        begun = _store(lanes, lanes.heap, begun, length)
        lane["begun"][side] = begun
    more = min(end - position, LONGEST_HEAD - length)
    _store(lanes, data, position, more)
    return lanes.cursors[TOP]


@njit(**INNER)
def _lineIsThere(data: Any, position: Number, end: Number) -> Truth:
    """Is there an end of line?"""
    while position < end and data[position] != 13 and data[position] != 10:
        position += 1
    return position < end


@njit(**INNER)
def _head(lanes: Any, lane: Any, side: Number, data: Any, position: Number, end: Number, stamp: Number) -> Number:
    """
    Read the head of a message, of which some bytes may have come before; it lies in the heap then, from
    C{lane["begun"][side]} on, C{lanes.found} has the places there.

    @return: how many of the new bytes belong to it; 0: all, and it is not complete; -1: it is none that is read here.
    """
    isRequest = side == ORIGINATOR
    before = np.int64(lane["begunLength"][side])
    if before:
        until = _join(lanes, lane, side, data, position, end)
        begin = np.int64(lane["begun"][side])
        size = readHead(lanes.heap, begin, until, isRequest, lanes.found)
    else:
        begin = lanes.cursors[TOP]
        until = begin
        size = readHead(data, position, end, isRequest, lanes.found)
        if size > 0:
            _store(lanes, data, position, size)
            for text in range(SIZES):
                if lanes.found[text] >= 0:
                    lanes.found[text] += begin - position
        elif size == INCOMPLETE:
            _store(lanes, data, position, end - position)
            until = lanes.cursors[TOP]
    if size < 0 or (size > 0 and size <= before):
        lanes.cursors[TOP] = begin + before
        return np.int64(-1)
    if isRequest and not lane["lineKnown"]:
        lane["lineStamp"] = stamp
        lane["lineKnown"] = 1 if size > 0 or _lineIsThere(lanes.heap, begin, until) else 0
    lane["begun"][side] = begin
    if size == INCOMPLETE:
        lane["begunLength"][side] = until - begin
        return np.int64(0)
    lane["begunLength"][side] = 0
    if isRequest:
        lane["lineKnown"] = 0
    lanes.cursors[TOP] = begin + size
    return size - before


@njit(**INNER)
def _openRow(lanes: Any, lane: Any, piece: Any) -> None:
    """The head of a request was read: a row begins."""
    found = lanes.found
    node = lanes.cursors[FREE_REQUEST]
    request = lanes.requests[node]
    lanes.cursors[FREE_REQUEST] = np.int64(request["next"])
    lane["number"] += 1
    lane["depth"] += 1
    request["next"] = -1
    request["stamp"] = lane["lineStamp"]
    request["start"] = piece["start"]
    request["depth"] = lane["depth"]
    request["swapped"] = piece["swapped"]
    for word in range(5):
        request["key"][word] = piece["key"][word]
    for text in range(SIZES):
        request["place"][text] = found[text]
        request["size"][text] = found[SIZES + text]
    request["head"] = lane["begun"][ORIGINATOR]
    request["headLength"] = lanes.cursors[TOP] - lane["begun"][ORIGINATOR]
    request["interim"] = 0
    request["interimLength"] = 0
    request["infoCode"] = 0
    request["status"] = 0
    request["isHead"] = found[IS_HEAD]
    request["escaped"] = found[IS_ESCAPED]
    request["requestLength"] = 0
    request["responseLength"] = 0
    if lane["last"] >= 0:
        lanes.requests[lane["last"]]["next"] = node
    else:
        lane["first"] = node
    lane["last"] = node
    lane["waiting"] += 1
    lane["spoken"] = 1
    lane["requestVersion"] = found[VERSION]
    if found[VERSION] > 10 or found[KEEPS_ALIVE]:
        lane["keepAlive"] = 1
    lane["clientLeft"] = max(found[LENGTH], 0)
    lane["clientRead"] = 0


@njit(**INNER)
def takeFromClient(lanes: Any, lane: Any, piece: Any, data: Any, position: Number, end: Number) -> Number:
    """Bytes of the client; the position from which on they are left to the analysers, C{end} for none."""
    while position < end:
        if lane["clientLeft"]:
            if lane["matching"]:
                return position
            length = min(np.int64(lane["clientLeft"]), end - position)
            lane["clientLeft"] -= length
            lane["clientRead"] += length
            position += length
            if lane["clientLeft"] == 0:
                endRequest(lanes, lane)
            continue
        if lane["ended"][ORIGINATOR]:
            return end
        if lane["closes"] or lane["waiting"] >= MOST_WAITING:
            return position
        size = _head(lanes, lane, ORIGINATOR, data, position, end, np.int64(piece["stamp"]))
        if size < 0:
            return position
        if size == 0:
            return end
        if lane["requestVersion"] and lane["requestVersion"] != lanes.found[VERSION]:
            lane["begunLength"][ORIGINATOR] = lanes.cursors[TOP] - lane["begun"][ORIGINATOR] - size
            lane["lineKnown"] = 1 if lane["begunLength"][ORIGINATOR] else 0
            return position
        _openRow(lanes, lane, piece)
        position += size
    return end


@njit(**INNER)
def _isBodiless(request: Any, status: Number) -> Truth:
    return request["isHead"] or status < 200 or status == 204 or status == 304


@njit(**INNER)
def _isReadable(lane: Any, request: Any, found: Any) -> Truth:
    """Is this a reply whose body is followed here?"""
    status = found[STATUS]
    ongoing = lane["clientLeft"] > 0
    if status < 200:
        return status != 101 and request["interimLength"] == 0
    if ongoing and (lane["first"] == lane["last"] or found[CHUNKED]):
        return False
    if _isBodiless(request, status):
        return True
    if found[CHUNKED]:
        return found[VERSION] == _COMPLETE and lane["requestVersion"] == _COMPLETE
    return found[LENGTH] >= 0 or lane["closes"] or found[CLOSES] or found[COMPRESSED]


@njit(**INNER)
def _beginReply(lanes: Any, lane: Any, place: Number) -> None:
    """The head of a reply was read, and it is readable."""
    found, request = lanes.found, lanes.requests[lane["first"]]
    status = found[STATUS]
    begin = np.int64(lane["begun"][RESPONDER])
    length = lanes.cursors[TOP] - begin
    lane["matching"] = 0
    lane["replyVersion"] = found[VERSION]
    if found[VERSION] > 10:
        lane["keepAlive"] = 1
    if found[CLOSES]:
        lane["closes"] = 1
    request["version"] = found[VERSION]
    request["status"] = status
    request["place"][REASON] = found[REASON]
    request["size"][REASON] = found[SIZES + REASON]
    if status < 200:
        request["infoCode"] = status
        request["interim"] = begin
        request["interimLength"] = length
        request["place"][INFO_REASON] = found[REASON]
        request["size"][INFO_REASON] = found[SIZES + REASON]
        return
    lane["reply"] = begin
    lane["replyLength"] = length
    lane["compressed"] = found[COMPRESSED]
    lane["serverLength"] = 0
    if _isBodiless(request, status):
        endReply(lanes, lane, place)
    elif found[CHUNKED]:
        lane["serverMode"] = CHUNK_SIZE
    elif found[LENGTH] > 0:
        lane["serverMode"] = BODY
        lane["serverLeft"] = found[LENGTH]
    elif found[LENGTH] == 0:
        endReply(lanes, lane, place)
    else:
        lane["serverMode"] = EVERYTHING


@njit(**INNER)
def takeFromServer(
    lanes: Any, lane: Any, piece: Any, data: Any, position: Number, end: Number, place: Number
) -> Number:
    """Bytes of the server; the position from which on they are left to the analysers, C{end} for none."""
    while position < end:
        if lane["ended"][RESPONDER]:
            return end
        if lane["carriage"]:
            lane["carriage"] = 0
            if data[position] == 10:
                position += 1
                continue
        mode = lane["serverMode"]
        if mode in (BODY, CHUNK, EVERYTHING):
            position = takeBody(lanes, lane, data, position, end, place)
        elif mode != START:
            position = takeLine(lanes, lane, data, position, end, place)
            if position < 0:
                return -1 - position
        else:
            if lane["first"] < 0:
                return position
            before = np.int64(lane["begunLength"][RESPONDER])
            size = _head(lanes, lane, RESPONDER, data, position, end, np.int64(piece["stamp"]))
            if size == 0:
                return end
            if size < 0:
                return position
            if not _isReadable(lane, lanes.requests[lane["first"]], lanes.found):
                lane["begunLength"][RESPONDER] = before
                return position
            _beginReply(lanes, lane, place)
            position += size
    return end
