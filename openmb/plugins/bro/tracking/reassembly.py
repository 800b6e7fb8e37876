"""
Kernels that follow what of each direction of a TCP connection has been delivered in order.

Bytes themselves are not kept here: only how far data was delivered, how far it was acknowledged, and which ranges lie
ahead of a hole. Sequence numbers are relative, the first byte after the SYN has 1. C{side} is the side that sent the
data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.tracking.endpoints import endpointSize, fullSequence, nothingAcknowledged
from openmb.plugins.bro.tracking.firstbytes import noteFirst
from openmb.plugins.bro.tracking.history import addScaled
from openmb.plugins.bro.tracking.numbers import INNER, ORIGINATOR, RESPONDER, ZERO, Number, Truth
from openmb.plugins.bro.tracking.pieces import (
    PIECE_CLEARED,
    PIECE_DATA,
    PIECE_ENDED,
    PIECE_HELD,
    PIECE_LOST,
    PIECE_OVER,
    PIECE_RELEASED,
    PIECE_SKIPPED,
)
from openmb.plugins.bro.tracking.states import (
    ABOVE_HOLE,
    BLOCK_LIMIT,
    CLOSE_DELAY,
    CLOSED,
    ESTABLISHED,
    INACTIVE,
    INITIAL_WINDOW,
    NEVER,
    RESET,
    SCALED_GAP,
    UNACKNOWLEDGED,
)
from openmb.plugins.bro.tracking.weirds import ABOVE_HOLE as WEIRD_ABOVE_HOLE
from openmb.plugins.bro.tracking.weirds import addWeird
from openmb.plugins.bro.tracking.work import FIRST_BYTE, addPiece, dropRanges, releaseRange, takeRange

_LETTER_GAP = np.int64(ord("G"))


@njit(**INNER)
def bothSizes(row: Any) -> Number:
    """Bytes that both sides have sent."""
    return endpointSize(row, ORIGINATOR) + endpointSize(row, RESPONDER)


@njit(**INNER)
def _tell(
    work: Any, row: Any, keys: Any, kind: Number, side: Number, sequence: Number, offset: Number, length: Number
) -> None:
    """Tell whoever reads this connection's data."""
    if not row["inspect"] or row["skipUntil"][side] == NEVER:
        return
    if not row["first"][side] and kind in (PIECE_DATA, PIECE_RELEASED, PIECE_LOST):
        known = kind == PIECE_DATA and sequence == 1
        if not noteFirst(row, side, work.cursors[FIRST_BYTE] if known else np.int64(-1), length):
            row["inspect"] = 0
            row["urgent"] = 0
            # there may be a conversation: of what the other side sent, or because the connection was agreed on
            addPiece(work, row, keys, PIECE_OVER, side, sequence, ZERO, ZERO, ZERO)
            return
    addPiece(work, row, keys, kind, side, sequence, offset, length, bothSizes(row))


@njit(**INNER)
def _advance(work: Any, row: Any, keys: Any, kind: Number, side: Number, until: Number, offset: Number) -> None:
    """
    Deliver everything up to C{until}: of the packet (C{kind} DATA, at C{offset}) or of what is held (RELEASED).

    Bytes that the parser does not want are left out; it is told when the last of them has passed.
    """
    begin = np.int64(row["delivered"][side])
    row["delivered"][side] = until
    if not row["inspect"]:
        return
    skip = np.int64(row["skipUntil"][side])
    if begin < skip:
        if until < skip and kind == PIECE_DATA:
            return
        if until >= skip:
            _tell(work, row, keys, PIECE_SKIPPED, side, skip, ZERO, ZERO)
            if kind == PIECE_DATA:
                offset += skip - begin
            begin = skip
    if until > begin:
        _tell(work, row, keys, kind, side, begin, offset, until - begin)


@njit(**INNER)
def _isClean(row: Any, side: Number) -> Truth:
    state = row["state"][side]
    return state == ESTABLISHED or (state == CLOSED and row["previous"][side] == ESTABLISHED)


@njit(**INNER)
def _lose(work: Any, row: Any, keys: Any, side: Number, until: Number) -> None:
    """Everything from the delivered point up to C{until} was never seen."""
    begin = np.int64(row["delivered"][side])
    row["delivered"][side] = until
    if _isClean(row, ORIGINATOR) and _isClean(row, RESPONDER):
        addScaled(row, SCALED_GAP, _LETTER_GAP, side)
        row["missed"] = np.int64(row["missed"]) + until - begin
    _tell(work, row, keys, PIECE_LOST, side, begin, ZERO, until - begin)


@njit(**INNER)
def _takeFirst(work: Any, row: Any, side: Number) -> Number:
    """Remove the first range held out of order; where it ends."""
    node = np.int64(row["head"][side])
    high = work.high[node]
    row["held"][side] -= high - work.low[node]
    row["blocks"][side] = np.int64(row["blocks"][side]) - 1
    row["head"][side] = releaseRange(work, node)
    return high


@njit(**INNER)
def _noteUnacknowledged(row: Any, side: Number) -> None:
    """Much was sent and nothing acknowledged: the other direction is not seen, nothing need be kept for it."""
    if nothingAcknowledged(row, side) and endpointSize(row, side) > INITIAL_WINDOW:
        row["trimmed"][side] = max(np.int64(row["trimmed"][side]), np.int64(row["delivered"][side]))


@njit(**INNER)
def _passOver(work: Any, row: Any, keys: Any, side: Number, until: Number) -> None:
    """Data up to C{until} was acknowledged: deliver what is there of it, the rest is lost."""
    if until <= 2 and row["partial"]:
        return
    if not row["gaveUp"][side]:
        while row["head"][side] >= 0 and work.low[row["head"][side]] < until:
            low = work.low[row["head"][side]]
            if low > row["delivered"][side]:
                _lose(work, row, keys, side, low)
            high = _takeFirst(work, row, side)
            _advance(work, row, keys, PIECE_RELEASED, side, high, ZERO)
            _noteUnacknowledged(row, side)
        if until > row["delivered"][side]:
            _lose(work, row, keys, side, until)
    row["delivered"][side] = max(np.int64(row["delivered"][side]), until)


@njit(**INNER)
def _trim(work: Any, row: Any, keys: Any, side: Number, until: Number) -> None:
    """Nothing below C{until} need be kept any more."""
    if until > row["delivered"][side]:
        _passOver(work, row, keys, side, until)
    while row["head"][side] >= 0 and work.high[row["head"][side]] <= until:
        _takeFirst(work, row, side)
    if row["head"][side] >= 0 and work.low[row["head"][side]] <= row["delivered"][side]:
        high = _takeFirst(work, row, side)
        if high > row["delivered"][side]:
            _advance(work, row, keys, PIECE_RELEASED, side, high, ZERO)
    row["trimmed"][side] = max(np.int64(row["trimmed"][side]), until)


@njit(**INNER)
def acknowledge(work: Any, row: Any, keys: Any, side: Number, until: Number) -> None:
    """The other side acknowledged everything below C{until}."""
    if row["finSeen"][side] and row["finSequence"][side] >= 0 and until >= row["finSequence"][side]:
        until = np.int64(row["finSequence"][side]) - 1
    if until <= row["trimmed"][side]:
        return
    _trim(work, row, keys, side, until)
    checkEnd(work, row, keys, side)


@njit(**INNER)
def _insert(work: Any, row: Any, side: Number, low: Number, high: Number) -> Truth:
    """Unite [low, high) with the ranges held; false if there is no room for another one."""
    before = np.int64(-1)
    node = np.int64(row["head"][side])
    while node >= 0 and work.high[node] < low:
        before = node
        node = np.int64(work.following[node])
    while node >= 0 and work.low[node] <= high:
        low = min(low, work.low[node])
        high = max(high, work.high[node])
        row["held"][side] -= work.high[node] - work.low[node]
        row["blocks"][side] = np.int64(row["blocks"][side]) - 1
        node = releaseRange(work, node)
    if row["blocks"][side] >= BLOCK_LIMIT:
        made = np.int64(-1)
    else:
        made = takeRange(work, low, high, node)
    joined = node if made < 0 else made
    if before < 0:
        row["head"][side] = joined
    else:
        work.following[before] = joined
    if made < 0:
        return False
    row["blocks"][side] = np.int64(row["blocks"][side]) + 1
    row["held"][side] += high - low
    return True


@njit(**INNER)
def _giveUp(work: Any, row: Any, keys: Any, side: Number) -> None:
    """Stop the reassembly of this direction for good."""
    dropRanges(work, row, side)
    row["top"][side] = 0
    row["gaveUp"][side] = 1
    _tell(work, row, keys, PIECE_CLEARED, side, row["delivered"][side], ZERO, ZERO)


@njit(**INNER)
def _isAboveHole(row: Any, side: Number) -> Truth:
    """Has much come behind a hole, and nothing was ever acknowledged?"""
    top, ahead = np.int64(row["top"][side]), np.int64(row["top"][side]) - np.int64(row["delivered"][side])
    return top > np.int64(row["trimmed"][side]) and ahead > ABOVE_HOLE and nothingAcknowledged(row, side)


@njit(**INNER)
def _isTooMuch(row: Any, side: Number) -> Truth:
    top, trimmed = np.int64(row["top"][side]), np.int64(row["trimmed"][side])
    delivered = np.int64(row["delivered"][side])
    return max(np.int64(0), min(top, delivered) - trimmed) + row["held"][side] > UNACKNOWLEDGED


@njit(**INNER)
def _placeData(work: Any, row: Any, keys: Any, side: Number, low: Number, high: Number, offset: Number) -> Truth:
    """Data [low, high) of the packet at C{offset}; false if it could not be placed."""
    delivered = np.int64(row["delivered"][side])
    head = np.int64(row["head"][side])
    if low > delivered:
        _tell(work, row, keys, PIECE_HELD, side, low, offset, high - low)
        return _insert(work, row, side, low, high)
    if high <= delivered:
        return True
    if head < 0 or work.low[head] > high:
        _advance(work, row, keys, PIECE_DATA, side, high, offset + delivered - low)
    else:
        _tell(work, row, keys, PIECE_HELD, side, low, offset, high - low)
        while row["head"][side] >= 0 and work.low[row["head"][side]] <= high:
            high = max(high, _takeFirst(work, row, side))
        _advance(work, row, keys, PIECE_RELEASED, side, high, ZERO)
    _noteUnacknowledged(row, side)
    return True


@njit(**INNER)
def takeData(work: Any, row: Any, keys: Any, side: Number, low: Number, length: Number, offset: Number) -> None:
    """C{length} bytes of payload at relative sequence number C{low}; they lie at C{offset} of the packet."""
    if row["gaveUp"][side]:
        return
    high = low + length
    acknowledged = fullSequence(row["ackSequence"][side], row["ackWraps"][side]) - np.int64(row["startSequence"][side])
    known = max(acknowledged, np.int64(row["trimmed"][side]))
    if high <= known:
        if high <= acknowledged:
            return
    else:
        if low < known:
            offset += known - low
            low = known
            work.cursors[FIRST_BYTE] = -1
        row["top"][side] = max(np.int64(row["top"][side]), high)
        if not _placeData(work, row, keys, side, low, high, offset):
            _giveUp(work, row, keys, side)
            return
    if _isAboveHole(row, side):
        addWeird(work, row, keys, WEIRD_ABOVE_HOLE)
        _giveUp(work, row, keys, side)
    elif _isTooMuch(row, side):
        _giveUp(work, row, keys, side)


@njit(**INNER)
def isDataPending(row: Any, side: Number) -> Truth:
    """Is there data of this side that was not delivered, or data of the other side that was not acknowledged?"""
    if row["gaveUp"][side]:
        return False
    delivered = np.int64(row["startSequence"][side]) + row["delivered"][side]
    last = fullSequence(row["lastSequence"][side], row["sequenceWraps"][side])
    if last < delivered:
        return False
    if delivered != last - 1 and delivered != last:
        return True
    other = 1 - side
    return row["state"][side] != RESET and row["top"][other] > row["trimmed"][other]


@njit(**INNER)
def closeSide(row: Any, side: Number, orderly: Truth) -> None:
    """This side has closed: report it, or wait for data; when both have, the row's last seconds begin."""
    if isDataPending(row, side):
        row["deferred"] = 1
        if orderly:
            row["deferredEvent"] = 1
        return
    row["deferred"] = 0
    if row["didClose"][side]:
        return
    row["didClose"][side] = 1
    other = 1 - side
    if row["state"][side] == RESET or row["didClose"][other] or row["state"][other] == INACTIVE:
        if row["previous"][side] != INACTIVE or row["state"][other] != INACTIVE:
            if row["deferredEvent"]:
                orderly = True
                row["deferredEvent"] = 0
            if orderly:
                row["finished"] = 1
        row["deadline"] = np.int64(row["last"]) + CLOSE_DELAY
    elif row["previous"][side] != INACTIVE and row["partialClose"] == NEVER:
        row["partialClose"] = row["last"]


@njit(**INNER)
def checkEnd(work: Any, row: Any, keys: Any, side: Number) -> None:
    """Has this side ended, with all its data delivered?  Then say so, once."""
    if row["didEnd"][side] or not (row["finSeen"][side] or row["state"][side] >= CLOSED):
        return
    if isDataPending(row, side):
        return
    row["didEnd"][side] = 1
    _tell(work, row, keys, PIECE_ENDED, side, row["delivered"][side], ZERO, ZERO)
    if row["deferred"]:
        closeSide(row, side, row["deferredEvent"] != 0)
        row["deferred"] = 0
