"""Kernels for one end of a TCP connection: sequence arithmetic, sizes, states, roles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.tracking.history import FLIPPED, addLetter
from openmb.plugins.bro.tracking.numbers import INNER, ORIGINATOR, RESPONDER, Number, Truth
from openmb.plugins.bro.tracking.states import INACTIVE, RESET, SYN_ACK_SENT, SYN_SENT, TIMEOUT_TCP

_WORD = 1 << 32
_HALF = 1 << 31
_MASK = _WORD - 1


@njit(**INNER)
def distance(sequence: Number, origin: Number) -> Number:
    """How far C{sequence} is ahead of C{origin}, both 32-bit: -2^31 .. 2^31-1."""
    ahead = (sequence - origin) & _MASK
    return ahead - _WORD if ahead >= _HALF else ahead


@njit(**INNER)
def fullSequence(sequence: Any, wraps: Any) -> Number:
    """A sequence number with its wraps as one 64-bit number."""
    return (np.int64(wraps) << 32) + np.int64(sequence)


@njit(**INNER)
def relativeSequence(sequence: Number, last: Number, wraps: Number, start: Number) -> tuple[Number, Truth]:
    """
    C{sequence} relative to C{start}, when C{last} and C{wraps} are the newest known.

    @return: the number, and whether it lies before the start.
    """
    ahead = distance(sequence, last)
    if ahead < 0:
        if wraps > 0 and sequence > last:
            wraps -= 1
    elif ahead > 0 and sequence < last:
        wraps += 1
    if wraps == 0:
        relative = distance(sequence, start)
        return relative, relative < 0
    return (wraps << 32) + sequence - start, False


@njit(**INNER)
def beginSequences(row: Any, side: Number, start: Number, last: Number) -> None:
    """(Re)start the numbering of one side."""
    row["startSequence"][side] = start & _MASK
    row["ackSequence"][side] = start & _MASK
    row["lastSequence"][side] = last & _MASK


@njit(**INNER)
def nothingAcknowledged(row: Any, side: Number) -> Truth:
    """Was no byte after this side's SYN acknowledged?"""
    start, acknowledged = np.int64(row["startSequence"][side]), np.int64(row["ackSequence"][side])
    return acknowledged == start or acknowledged == start + 1


@njit(cache=True)
def endpointSize(row: Any, side: Number) -> Number:
    """Bytes this side has sent, by its sequence numbers and those that were acknowledged."""
    aborted = row["previous"][side] == SYN_SENT and row["state"][side] == RESET and row["state"][1 - side] == INACTIVE
    if aborted and not nothingAcknowledged(row, side):
        return np.int64(0)
    sent = fullSequence(row["lastSequence"][side], row["sequenceWraps"][side])
    acknowledged = fullSequence(row["ackSequence"][side], row["ackWraps"][side])
    size = max(sent, acknowledged) - np.int64(row["startSequence"][side])
    if size != 0:
        size -= 1
    if row["finSeen"][side] and size != 0:
        size -= 1
    return size


@njit(cache=True)
def endpointSizes(rows: Any, sizes: NDArray[np.uint64]) -> None:
    """L{endpointSize} of both sides of each of C{rows}, as 64 bits: C{uint64[n, 2]}."""
    for i in range(len(rows)):
        sizes[i, 0] = np.uint64(endpointSize(rows[i], ORIGINATOR))
        sizes[i, 1] = np.uint64(endpointSize(rows[i], RESPONDER))


@njit(**INNER)
def setState(row: Any, side: Number, state: Number) -> None:
    """Change one side's state; when the first of the two leaves the handshake, the long time-out begins."""
    before = np.int64(row["state"][side])
    if before == state:
        return
    if state > SYN_ACK_SENT and before <= SYN_ACK_SENT and row["state"][1 - side] <= SYN_ACK_SENT:
        row["timeout"] = TIMEOUT_TCP
    row["previous"][side] = before
    row["state"][side] = state


@njit(**INNER)
def _exchange(pair: Any) -> None:
    first = pair[0]
    pair[0] = pair[1]
    pair[1] = first


@njit(**INNER)
def turnRoles(row: Any) -> None:
    """Originator and responder change places (letter C{^}); the sizes of a connection that is not TCP stay."""
    row["swapped"] = 1 - np.int64(row["swapped"])
    _exchange(row["packets"])
    _exchange(row["bytes"])
    addLetter(row, FLIPPED)


@njit(**INNER)
def flipRoles(row: Any) -> None:
    """Originator and responder of a TCP connection change places."""
    turnRoles(row)
    for pair in (
        row["delivered"],
        row["trimmed"],
        row["top"],
        row["held"],
        row["skipUntil"],
        row["finSequence"],
        row["lastSyn"],
        row["lastFin"],
        row["lastReset"],
    ):
        _exchange(pair)
    for pair in (
        row["startSequence"],
        row["lastSequence"],
        row["ackSequence"],
        row["sequenceWraps"],
        row["ackWraps"],
    ):
        _exchange(pair)
    for pair in (
        row["state"],
        row["previous"],
        row["didClose"],
        row["didEnd"],
        row["gaveUp"],
        row["finSeen"],
        row["first"],
    ):
        _exchange(pair)
    _exchange(row["head"])
    _exchange(row["blocks"])
    scaled = row["scaled"]
    for counter in range(4):
        _exchange(scaled[2 * counter : 2 * counter + 2])
    seen = np.int64(row["packetSeen"])
    row["packetSeen"] = ((seen & 1) << 1) | (seen >> 1)
    row["partial"] = 0


@njit(cache=True)
def turnSlot(rows: Any, slot: Number) -> None:
    """The roles of the connection in C{slot} turn: its data says so."""
    row = rows[slot]
    if row["tcp"]:
        flipRoles(row)
    else:
        turnRoles(row)
