"""The kernel for TCP: one segment against the record of its connection, in the order of Zeek's session adapter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.tracking.endpoints import (
    beginSequences,
    distance,
    endpointSize,
    flipRoles,
    relativeSequence,
    setState,
)
from openmb.plugins.bro.tracking.history import addOnce, addScaled, addSided
from openmb.plugins.bro.tracking.numbers import INNER, RESPONDER, ZERO, Number, Truth, constants
from openmb.plugins.bro.tracking.pieces import PIECE_RESET
from openmb.plugins.bro.tracking.reassembly import acknowledge, bothSizes, checkEnd, closeSide, takeData
from openmb.plugins.bro.tracking.states import (
    ACK,
    CLOSED,
    ESTABLISHED,
    FIN,
    INACTIVE,
    LETTER_ACK,
    LETTER_DATA,
    LETTER_FIN,
    LETTER_FIN_RST,
    LETTER_MULTIPLE,
    LETTER_RST,
    LETTER_SYN,
    NEVER,
    PARTIAL,
    RESET,
    RST,
    SCALED_RETRANSMISSION,
    SCALED_WINDOW,
    SYN,
    SYN_ACK_SENT,
    SYN_SENT,
    TIMEOUT_INTERACTIVE,
    TOO_LARGE_DELTA,
)
from openmb.plugins.bro.tracking.weirds import (
    ACK_UNDERFLOW,
    SEQUENCE_UNDERFLOW,
    SPLIT_ROUTING,
    SYN_AFTER_RESET,
    SYN_INSIDE,
    SYN_SEQUENCE_JUMP,
    WEIRD_BITS,
    addWeird,
    anyWeird,
    noteOddState,
    noteOddSyn,
)
from openmb.plugins.bro.tracking.work import addPiece

_A, _D, _F, _H, _I, _Q, _R, _S, _T, _W = constants(b"ADFHIQRSTW")
_MASK = 0xFFFFFFFF


@njit(**INNER)
def isReuse(row: Any, flags: Number, sequence: Number) -> Truth:
    """Does this segment begin another connection under the same key?"""
    if not flags & SYN:
        return False
    side = 0
    if flags & ACK:
        if row["state"][0] != INACTIVE:
            return False
        side = 1
    if row["didClose"][0] or row["didClose"][1]:
        return True
    if sequence == row["startSequence"][side]:
        return False
    reordered = not flags & ACK and row["state"][0] == SYN_ACK_SENT and row["state"][1] == INACTIVE
    return not (reordered and sequence == row["startSequence"][1])


@njit(**INNER)
def _begin(work: Any, row: Any, keys: Any, side: Number, flags: Number, sequence: Number, end: Number) -> None:
    """Set the numbering by the first segment of a side, or by a SYN that makes a new start."""
    state = row["state"][side]
    if state == INACTIVE:
        if flags & SYN:
            beginSequences(row, side, sequence, end)
        else:
            beginSequences(row, side, sequence - 1, sequence)
    elif flags & SYN:
        isJump = sequence != row["startSequence"][side]
        if state in (ESTABLISHED, PARTIAL) and endpointSize(row, side) > 0:
            addWeird(work, row, keys, SYN_INSIDE)
        elif state == RESET:
            addWeird(work, row, keys, SYN_AFTER_RESET)
        if isJump and state in (SYN_SENT, SYN_ACK_SENT, ESTABLISHED, PARTIAL):
            addWeird(work, row, keys, SYN_SEQUENCE_JUMP)
        if state in (SYN_SENT, SYN_ACK_SENT):
            again = isJump
        elif state == RESET:
            again = row["previous"][side] == INACTIVE
        else:
            again = state != CLOSED
        if again:
            beginSequences(row, side, sequence, end)


@njit(**INNER)
def _startsBackwards(row: Any) -> Truth:
    """Has only a SYN-ACK been seen, taken for the originator's?"""
    return row["letters"] == 1 and row["history"][0] == _H


@njit(**INNER)
def _turnBackwards(row: Any) -> None:
    """The sender of the SYN-ACK is the responder after all."""
    row["letters"] = 0
    flipRoles(row)
    addSided(row, _H, RESPONDER)
    seen = np.int64(row["seen"])
    row["seen"] = (seen & 0xFF) << 16 | (seen & WEIRD_BITS)
    row["packetSeen"] = np.int64(row["packetSeen"]) | 1


@njit(**INNER)
def _writeLetters(row: Any, side: Number, flags: Number, relative: Number, length: Number) -> Number:
    """The letters of this segment's flags; the sender's side afterwards, since the roles may turn."""
    control = flags & (SYN | FIN | RST)
    if control == SYN:
        code = _H if flags & ACK else _S
        if addOnce(row, LETTER_SYN, code, side) and relative != row["lastSyn"][side]:
            addSided(row, code, side)
        row["lastSyn"][side] = relative
    elif control == FIN:
        if addOnce(row, LETTER_FIN, _F, side) and relative + length != row["lastFin"][side]:
            addSided(row, _F, side)
        row["lastFin"][side] = relative + length
    elif control == RST:
        if addOnce(row, LETTER_RST, _R, side) and relative != row["lastReset"][side]:
            addSided(row, _R, side)
        row["lastReset"][side] = relative
    elif control:
        if flags & FIN and flags & RST:
            addOnce(row, LETTER_FIN_RST, _I, side)
        else:
            addOnce(row, LETTER_MULTIPLE, _Q, side)
    elif length > 0 or flags & ACK:
        if _startsBackwards(row):
            _turnBackwards(row)
            side = 1 - side
        if length > 0:
            addOnce(row, LETTER_DATA, _D, side)
        else:
            addOnce(row, LETTER_ACK, _A, side)
    return side


@njit(**INNER)
def _noteAck(work: Any, row: Any, keys: Any, side: Number, flags: Number, number: Number) -> Number:
    """Take the acknowledgement number that C{side} sent; relative to what the other side sent."""
    other = 1 - side
    if row["state"][other] == INACTIVE:
        mine, isPlain = row["state"][side], flags & (SYN | FIN | RST) == 0
        if isPlain and mine in (SYN_SENT, SYN_ACK_SENT, ESTABLISHED) and not anyWeird(row):
            addWeird(work, row, keys, SPLIT_ROUTING)
        beginSequences(row, other, number - 1, number - 1)
        return np.int64(1)
    known = np.int64(row["ackSequence"][other])
    relative, isBefore = relativeSequence(
        number, known, np.int64(row["ackWraps"][other]), np.int64(row["startSequence"][other])
    )
    if isBefore:
        addWeird(work, row, keys, ACK_UNDERFLOW)
        return np.int64(0)
    ahead = distance(number, known)
    if not flags & RST and ahead > 0 and not (number == 0 and ahead > TOO_LARGE_DELTA):
        if number < known:
            row["ackWraps"][other] = np.int64(row["ackWraps"][other]) + 1
        row["ackSequence"][other] = number
    return relative


@njit(**INNER)
def _noteEnd(row: Any, side: Number, flags: Number, end: Number, length: Number) -> None:
    """Take the end of a segment as the highest sequence number, or note a retransmission."""
    last = np.int64(row["lastSequence"][side])
    ahead = distance(end, last)
    if flags & (SYN | RST) and (ahead > TOO_LARGE_DELTA or ahead < -TOO_LARGE_DELTA):
        return
    if flags & FIN and last == ((np.int64(row["startSequence"][side]) + 1) & _MASK):
        isTaken = True
    elif row["state"][side] == RESET:
        return
    else:
        isTaken = ahead > 0
    if isTaken:
        if end < last:
            row["sequenceWraps"][side] = np.int64(row["sequenceWraps"][side]) + 1
        row["lastSequence"][side] = end
    elif length > 0:
        addScaled(row, SCALED_RETRANSMISSION, _T, side)


@njit(**INNER)
def _establish(row: Any, key: Number) -> None:
    """The handshake is complete; interactive services may be idle for longer."""
    swapped = np.int64(row["swapped"])
    port = (key >> (0 if swapped else 16)) & 0xFFFF
    if port == 21 or port == 22 or port == 23 or port == 513:
        row["timeout"] = TIMEOUT_INTERACTIVE


@njit(**INNER)
def _answerSyn(row: Any, side: Number, flags: Number, ports: Number) -> Number:
    """A SYN from the responder, who was silent so far; the sender's side afterwards."""
    if not flags & ACK and row["state"][1 - side] == SYN_ACK_SENT:
        flipRoles(row)
        side = 1 - side
        setState(row, 1 - side, ESTABLISHED)
        row["packetSeen"] = np.int64(row["packetSeen"]) | 1
    if row["state"][1 - side] == SYN_SENT:
        setState(row, 1 - side, ESTABLISHED)
    setState(row, side, ESTABLISHED)
    if row["state"][1 - side] != PARTIAL:
        _establish(row, ports)
    return side


@njit(**INNER)
def _leaveInactive(
    row: Any, side: Number, isOriginator: Truth, flags: Number, length: Number, now: Number, ports: Number
) -> tuple[Number, Truth, Truth]:
    """State machine for a side that was silent so far: its side afterwards, whether it closes, and orderly so."""
    if flags & SYN:
        if isOriginator:
            setState(row, side, SYN_ACK_SENT if flags & ACK else SYN_SENT)
            if row["attempt"] == NEVER:
                row["attempt"] = now
        else:
            side = _answerSyn(row, side, flags, ports)
    other = 1 - side
    closes, orderly = False, False
    if flags & FIN:
        setState(row, side, CLOSED)
        closes, orderly = True, True
    if flags & RST:
        setState(row, side, RESET)
        state = row["state"][other]
        if isOriginator:
            isReject = state == ESTABLISHED
        else:
            isReject = state in (SYN_SENT, SYN_ACK_SENT)
        closes, orderly = True, not isReject
    if row["state"][side] == INACTIVE and not (not isOriginator and length == 0 and row["state"][0] == SYN_SENT):
        if flags & ACK and row["state"][other] == ESTABLISHED:
            setState(row, side, ESTABLISHED)
            row["partial"] = 0
            row["packetSeen"] = np.int64(row["packetSeen"]) | (1 if isOriginator else 2)
        else:
            setState(row, side, PARTIAL)
    return side, closes, orderly


@njit(**INNER)
def _leaveActive(row: Any, side: Number, flags: Number) -> tuple[Truth, Truth]:
    """State machine for a side that has sent before: whether it closes, and orderly so."""
    other = 1 - side
    state = row["state"][side]
    closes, orderly = False, False
    if state in (SYN_SENT, SYN_ACK_SENT):
        if flags & FIN:
            setState(row, side, CLOSED)
            closes, orderly = True, True
        if flags & RST:
            setState(row, side, RESET)
            row["finished"] = 1
            closes = True
    elif state in (ESTABLISHED, PARTIAL):
        if flags & SYN and not flags & ACK and state == PARTIAL and row["state"][other] == INACTIVE:
            setState(row, side, SYN_SENT)
        if flags & FIN and not flags & RST:
            setState(row, side, CLOSED)
            if row["state"][other] == RESET and row["previous"][other] == CLOSED:
                setState(row, other, CLOSED)
            closes, orderly = True, True
        if flags & RST:
            setState(row, side, RESET)
            closes = True
            if row["state"][other] != RESET or row["previous"][other] != ESTABLISHED:
                row["finished"] = 1
    elif state == CLOSED and flags & RST and row["state"][other] != CLOSED:
        setState(row, side, RESET)
        closes = not row["didClose"][side]
    return closes, orderly


@njit(**INNER)
def _notePartial(row: Any, isOriginator: Truth, flags: Number) -> None:
    """A connection is partial when a side's first segment is not what a handshake begins with."""
    seen = np.int64(row["packetSeen"])
    if isOriginator:
        if not seen & 1:
            row["partial"] = 0 if flags & SYN and not flags & ACK else 1
    elif not seen & 2 and not row["partial"]:
        row["partial"] = 0 if flags & SYN else 1


@njit(**INNER)
def takeSegment(
    work: Any, row: Any, keys: Any, side: Number, header: Any, now: Number, ports: Number, isWhole: Truth
) -> Number:
    """
    Process one segment of good checksum.

    @param ports: the key's last word, for the responder's port.
    @param isWhole: its payload was captured whole.
    @return: the sender's side afterwards.
    """
    flags = np.int64(header["flags"])
    sequence, length = np.int64(header["sequence"]), np.int64(header["length"])
    isOriginator = side == 0
    _notePartial(row, isOriginator, flags)
    taken = (1 if flags & SYN else 0) + (1 if flags & FIN else 0) + (0 if flags & RST else length)
    end = (sequence + taken) & _MASK
    _begin(work, row, keys, side, flags, sequence, end)
    relative, isBefore = relativeSequence(
        sequence,
        np.int64(row["lastSequence"][side]),
        np.int64(row["sequenceWraps"][side]),
        np.int64(row["startSequence"][side]),
    )
    if isBefore and not flags & RST:
        addWeird(work, row, keys, SEQUENCE_UNDERFLOW)
    if flags & SYN:
        noteOddSyn(work, row, keys, side, isOriginator, flags, length)
    side = _writeLetters(row, side, flags, relative, length)
    other = 1 - side
    if header["window"] == 0 and not flags & RST and row["state"][other] != CLOSED and row["state"][side] != RESET:
        addScaled(row, SCALED_WINDOW, _W, side)
    if not row["didClose"][0] or not row["didClose"][1]:
        row["last"] = now
    if flags & FIN:
        row["finSeen"][side] = 1
        row["finSequence"][side] = relative + taken
    if flags & RST and row["inspect"]:
        addPiece(work, row, keys, PIECE_RESET, side, ZERO, ZERO, ZERO, bothSizes(row))
    acknowledged = np.int64(0)
    if flags & ACK:
        acknowledged = _noteAck(work, row, keys, side, flags, np.int64(header["acknowledgement"]))
    _noteEnd(row, side, flags, end, length)
    noteOddState(work, row, keys, side, flags, length)
    if row["state"][side] == INACTIVE:
        side, closes, orderly = _leaveInactive(row, side, isOriginator, flags, length, now, ports)
        other = 1 - side
    else:
        closes, orderly = _leaveActive(row, side, flags)
    if flags & ACK:
        acknowledge(work, row, keys, other, acknowledged)
    row["packetSeen"] = np.int64(row["packetSeen"]) | (1 if isOriginator else 2)
    if length > 0 and isWhole and not flags & RST and not isBefore:
        takeData(work, row, keys, side, relative + 1 if flags & SYN else relative, length, np.int64(header["payload"]))
    checkEnd(work, row, keys, side)
    if closes:
        closeSide(row, side, orderly)
    return side
