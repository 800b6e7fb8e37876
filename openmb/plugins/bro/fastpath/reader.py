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
    EVERYTHING,
    START,
    UNTIL_END,
)
from openmb.plugins.bro.analyzers.signatures import MOST_BYTES
from openmb.plugins.bro.fastpath.bodies import endReply, endRequest, passBody
from openmb.plugins.bro.fastpath.heads import (
    beginsRequest,
)
from openmb.plugins.bro.fastpath.lanes import (
    ANALYZERS,
    KEPT,
    NOBODY,
    TOUCHED,
)
from openmb.plugins.bro.fastpath.messages import takeFromClient, takeFromServer
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


@njit(**INNER)
def _keep(lanes: Any, pieces: Any, place: Number, left: Number) -> None:
    """Leave a piece to the analysers, and with it the lane C{left}, if there is one."""
    count = lanes.cursors[KEPT]
    pieces[place]["place"] = place
    lanes.kept[count] = place
    lanes.left[count] = left
    lanes.cursors[KEPT] = count + 1


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
    if piece["swapped"] != lane["swapped"] or piece["partial"]:
        # the roles have turned, or the handshake was not seen whole after all: analysers may read no more then
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
        stop = takeFromClient(lanes, lane, piece, octets, begin, begin + length)
    else:
        stop = takeFromServer(lanes, lane, piece, octets, begin, begin + length, place)
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


@njit(cache=True)
def octetsOf(piece: Any) -> Number:
    """Bytes of a piece that may be stored; of one without data none, however much it says was lost."""
    return np.int64(piece["length"]) if piece["kind"] == PIECE_DATA else np.int64(0)


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
    lanes, data = borrow(ownLanes), borrow(octets)
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
                if not hasRoom(lanes, octetsOf(piece)):
                    break
                at = takeLane(lanes, slot)
                lane = lanes.lanes[at]
                lane["swapped"] = piece["swapped"]
                lane["analyzer"] = piece["analyzer"]
            elif not isLast:
                lanes.laneOf[slot] = ANALYZERS
        elif at >= 0 and not hasRoom(lanes, octetsOf(piece)):
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
    if place == count:
        # not before: until the piece comes that says so, a row may belong to the next connection in that slot
        _settle(lanes, rows)
    return place
