"""
The kernel that goes through the pieces before the analysers get them, and reads those of connections on the fast path.

A connection comes upon it with its first request, if that is one of those that L{heads} knows how to read, and leaves
it at the first thing that is out of the ordinary: from that byte on its data goes to the analysers. It may come back
(L{openmb.plugins.bro.fastpath.conversion}).
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
    UNTIL_END,
)
from openmb.plugins.bro.analyzers.signatures import MOST_BYTES
from openmb.plugins.bro.fastpath.bodies import endReply, endRequest, passBody, takeBody, takeLine
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
    beginsRequest,
    readHead,
)
from openmb.plugins.bro.fastpath.lanes import (
    ANALYZERS,
    FREE_REQUEST,
    INFO_REASON,
    KEPT,
    LONGEST_HEAD,
    MOST_WAITING,
    NOBODY,
    REASON,
    TOP,
    TOUCHED,
    Lanes,
)
from openmb.plugins.bro.fastpath.pool import freeLane, hasRoom, takeLane
from openmb.plugins.bro.service import Service
from openmb.plugins.bro.tracking.borrowed import borrow
from openmb.plugins.bro.tracking.numbers import INNER, ORIGINATOR, RESPONDER, Number, Truth, constants
from openmb.plugins.bro.tracking.pieces import (
    PIECE_CLEARED,
    PIECE_DATA,
    PIECE_ENDED,
    PIECE_OVER,
    PIECE_REMOVED,
    PIECE_RESET,
    PIECE_SKIPPED,
)
from openmb.plugins.bro.tracking.states import NEVER

(_HTTP,) = constants((Service.HTTP,))
_COMPLETE = 11  # the version from which on bodies come in chunks


@njit(**INNER)
def borrowLanes(lanes: Any) -> Any:
    """Views of all of L{Lanes} that nobody counts."""
    return Lanes(
        borrow(lanes.lanes),
        borrow(lanes.laneOf),
        borrow(lanes.requests),
        borrow(lanes.heap),
        borrow(lanes.kept),
        borrow(lanes.left),
        borrow(lanes.finished),
        borrow(lanes.places),
        borrow(lanes.touched),
        borrow(lanes.numbers),
        borrow(lanes.lengths),
        borrow(lanes.order),
        borrow(lanes.freeStreams),
        borrow(lanes.wide),
        borrow(lanes.narrow),
        borrow(lanes.canonical),
        borrow(lanes.found),
        borrow(lanes.cursors),
    )


@njit(**INNER)
def _keep(lanes: Any, pieces: Any, place: Number, left: Number) -> None:
    """Leave a piece to the analysers, and with it the lane C{left}, if there is one."""
    count = lanes.cursors[KEPT]
    pieces[place]["place"] = place
    lanes.kept[count] = place
    lanes.left[count] = left
    lanes.cursors[KEPT] = count + 1


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
def _fromClient(lanes: Any, lane: Any, piece: Any, data: Any, position: Number, end: Number) -> Number:
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
def _fromServer(lanes: Any, lane: Any, piece: Any, data: Any, position: Number, end: Number, place: Number) -> Number:
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


@njit(**INNER)
def _passOver(lanes: Any, lane: Any, side: Number, until: Number, place: Number) -> Truth:
    """Data of this side was not handed out up to C{until}; false if it is missed."""
    length = until - np.int64(lane["position"][side])
    if length <= 0:
        return True
    if not lane["ended"][side]:
        if side == RESPONDER:
            if not passBody(lanes, lane, length, place):
                return False
        else:
            if lane["matching"] or length > lane["clientLeft"]:
                return False
            lane["clientLeft"] -= length
            lane["clientRead"] += length
            if lane["clientLeft"] == 0:
                endRequest(lanes, lane)
    lane["position"][side] = until
    return True


@njit(**INNER)
def _isBetween(lane: Any) -> Truth:
    """Is no message in progress, in either direction?"""
    return lane["clientLeft"] == 0 and lane["serverMode"] == START


@njit(**INNER)
def _end(lanes: Any, lane: Any, side: Number, place: Number) -> Truth:
    """This side has ended; false if that is for the analysers."""
    if lane["ended"][side]:
        return True
    if lane["begunLength"][side]:
        return False
    if side == ORIGINATOR:
        if lane["clientLeft"]:
            return False
    elif lane["serverMode"] == EVERYTHING:
        endReply(lanes, lane, place)
    elif lane["serverMode"] != START:
        return False
    lane["ended"][side] = 1
    return True


@njit(**INNER)
def _take(lanes: Any, lane: Any, piece: Any, place: Number, octets: Any, offsets: Any, removedRows: Any) -> Truth:
    """Take one piece; false if it, or what is left of it, is for the analysers."""
    kind, side = piece["kind"], np.int64(piece["side"])
    if kind == PIECE_CLEARED:
        return True
    if piece["swapped"] != lane["swapped"]:
        return False
    if kind == PIECE_REMOVED:
        if lane["waiting"] or lane["begunLength"][ORIGINATOR] or not _isBetween(lane):
            return False
        if lane["spoken"]:
            removedRows[piece["sequence"]]["services"][0] = _HTTP
        return True
    if not _passOver(lanes, lane, 1 - side, np.int64(piece["others"]), place):
        return False
    if kind == PIECE_RESET:
        return _passOver(lanes, lane, side, np.int64(piece["mine"]), place) and _isBetween(lane)
    if kind != PIECE_DATA and kind != PIECE_SKIPPED and kind != PIECE_ENDED:
        return False
    if not _passOver(lanes, lane, side, np.int64(piece["sequence"]), place):
        return False
    if kind == PIECE_SKIPPED:
        return True
    if kind == PIECE_ENDED:
        return _end(lanes, lane, side, place)
    length = np.int64(piece["length"])
    begin = offsets[piece["packet"]] + np.int64(piece["offset"])
    if lane["matching"]:
        lane["total"] = np.int64(lane["total"]) + length
        if lane["total"] > MOST_BYTES:
            lane["matching"] = 0
    if side == ORIGINATOR:
        stop = _fromClient(lanes, lane, piece, octets, begin, begin + length)
    else:
        stop = _fromServer(lanes, lane, piece, octets, begin, begin + length, place)
    done = stop - begin
    lane["position"][side] = np.int64(piece["sequence"]) + done
    if done == length:
        return True
    piece["sequence"] += done
    piece["offset"] += np.uint32(done)
    piece["length"] -= np.uint32(done)
    return False


@njit(**INNER)
def _mayEnter(piece: Any, octets: Any, offsets: Any) -> Truth:
    """Does an ordinary request begin a connection with this piece?"""
    if piece["kind"] != PIECE_DATA or piece["side"] or piece["sequence"] != 1 or piece["partial"] or not piece["tcp"]:
        return False
    if piece["analyzer"] != _HTTP and piece["analyzer"]:
        return False
    begin = offsets[piece["packet"]] + np.int64(piece["offset"])
    return beginsRequest(octets, begin, begin + np.int64(piece["length"]))


@njit(**INNER)
def _wanted(lanes: Any, lane: Any, side: Number) -> Number:
    """The relative sequence number below which nothing more of this side is wanted."""
    if lane["matching"]:
        return np.int64(0)
    if lane["ended"][side]:
        return np.int64(NEVER)
    position = np.int64(lane["position"][side])
    if side == ORIGINATOR:
        return position + lane["clientLeft"] if lane["clientLeft"] else np.int64(0)
    mode = lane["serverMode"]
    if lane["carriage"] or lane["compressed"]:
        return np.int64(0)
    if mode in (BODY, CHUNK):
        return position + np.int64(lane["serverLeft"])
    return position + UNTIL_END if mode == EVERYTHING else np.int64(0)


@njit(**INNER)
def _settle(lanes: Any, rows: Any) -> None:
    """The packets are through: note in the records what is wanted from here on, and that HTTP is spoken."""
    cursors = lanes.cursors
    for i in range(cursors[TOUCHED]):
        at = np.int64(lanes.touched[i])
        lane = lanes.lanes[at]
        lane["touched"] = 0
        if lane["slot"] >= 0:
            row = rows[lane["slot"]]
            for side in range(2):
                row["skipUntil"][side] = _wanted(lanes, lane, np.int64(side))
            if lane["spoken"]:
                row["services"][0] = _HTTP
    cursors[TOUCHED] = 0


@njit(cache=True)
def readPieces(
    ownLanes: Any,
    pieces: Any,
    first: Number,
    count: Number,
    octets: Any,
    offsets: Any,
    rows: Any,
    removedRows: Any,
    isOpen: Truth,
) -> Number:
    """
    Read the pieces from C{first} to C{count}, as far as there is room.

    @param rows: of the table.
    @param removedRows: those of removed connections.
    @param isOpen: new connections may come upon the fast path.
    @return: the piece to go on with.
    """
    lanes, data = borrowLanes(ownLanes), borrow(octets)
    cursors = lanes.cursors
    cursors[KEPT] = 0
    place = first
    while place < count:
        piece = pieces[place]
        slot, kind = np.int64(piece["slot"]), piece["kind"]
        isLast = kind in (PIECE_REMOVED, PIECE_OVER)
        at = np.int64(lanes.laneOf[slot])
        if at == NOBODY:
            if kind == PIECE_REMOVED:
                place += 1
                continue
            if isOpen and not isLast and _mayEnter(piece, data, offsets):
                if not hasRoom(lanes, np.int64(piece["length"])):
                    break
                at = takeLane(lanes, slot)
                lane = lanes.lanes[at]
                lane["swapped"] = piece["swapped"]
                lane["analyzer"] = piece["analyzer"]
            elif not isLast:
                lanes.laneOf[slot] = ANALYZERS
        elif at >= 0 and not hasRoom(lanes, np.int64(piece["length"])):
            break
        if at < 0:
            _keep(lanes, pieces, place, np.int64(-1))
            if isLast:
                lanes.laneOf[slot] = NOBODY
            place += 1
            continue
        lane = lanes.lanes[at]
        if _take(lanes, lane, piece, place, data, offsets, removedRows):
            if isLast:
                freeLane(lanes, at)
            elif not lane["touched"]:
                lane["touched"] = 1
                lanes.touched[cursors[TOUCHED]] = at
                cursors[TOUCHED] += 1
        else:
            _keep(lanes, pieces, place, at)
            lane["slot"] = -1
            lanes.laneOf[slot] = NOBODY if isLast else ANALYZERS
        place += 1
    _settle(lanes, rows)
    return place
