"""
What is odd about segments: the names of Zeek's weirds, each told once for a connection, with the bits of the record
that remember it.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth, constants
from openmb.plugins.bro.tracking.states import (
    ACK,
    FIN,
    INACTIVE,
    PARTIAL,
    RESET,
    RST,
    SYN,
    SYN_ACK_SENT,
    SYN_SENT,
)


class Weird(enum.IntEnum):
    """The numbers are those of the bits; 16 at most."""

    BAD_HEADER_LENGTH = 0
    SYN_SEQUENCE_JUMP = 1
    SYN_INSIDE = 2
    SEQUENCE_UNDERFLOW = 3
    ACK_UNDERFLOW = 4
    SPLIT_ROUTING = 5
    ORIGINATOR_SYN_ACK = 6
    CHRISTMAS = 7
    BAROQUE_SYN = 8
    SYN_WITH_DATA = 9
    INAPPROPRIATE_FIN = 10
    DATA_BEFORE_ESTABLISHED = 11
    DATA_AFTER_RESET = 12
    ABOVE_HOLE = 13
    SYN_AFTER_PARTIAL = 14
    SYN_AFTER_RESET = 15

    @property
    def text(self) -> str:
        """As Zeek names it."""
        return _TEXTS[self]

    @property
    def source(self) -> str | None:
        """Which of Zeek's analysers tells of it; None: none of them."""
        return None if self in _OF_NOBODY else "TCP"


_TEXTS = (
    "bad_TCP_header_len",
    "SYN_seq_jump",
    "SYN_inside_connection",
    "TCP_seq_underflow_or_misorder",
    "TCP_ack_underflow_or_misorder",
    "possible_split_routing",
    "connection_originator_SYN_ack",
    "TCP_christmas",
    "baroque_SYN",
    "SYN_with_data",
    "inappropriate_FIN",
    "data_before_established",
    "data_after_reset",
    "above_hole_data_without_any_acks",
    "SYN_after_partial",
    "SYN_after_reset",
)
_OF_NOBODY = frozenset((Weird.SYN_SEQUENCE_JUMP, Weird.SYN_INSIDE, Weird.SPLIT_ROUTING))

(
    BAD_HEADER_LENGTH,
    SYN_SEQUENCE_JUMP,
    SYN_INSIDE,
    SEQUENCE_UNDERFLOW,
    ACK_UNDERFLOW,
    SPLIT_ROUTING,
    ORIGINATOR_SYN_ACK,
    CHRISTMAS,
    BAROQUE_SYN,
    SYN_WITH_DATA,
    INAPPROPRIATE_FIN,
    DATA_BEFORE_ESTABLISHED,
    DATA_AFTER_RESET,
    ABOVE_HOLE,
    SYN_AFTER_PARTIAL,
    SYN_AFTER_RESET,
) = constants(Weird)

#: One weird: which connection, in which orientation, when (nanoseconds), and what.
WEIRD = np.dtype(
    [("key", "<u8", 5), ("start", "<i8"), ("stamp", "<i8"), ("swapped", "u1"), ("weird", "u1"), ("spare", "u1", 6)]
)
#: Weirds of one packet at most.
WEIRDS_PER_PACKET = 16
#: The bits of a record's C{seen} that are about weirds: eight above the originator's letters, eight above the other's.
WEIRD_BITS = np.int64(0xFF00FF00)


#: Cursors of C{Work} that are needed here.
STAMP, SLOT, WEIRDS = constants((4, 6, 10))
_URG = np.int64(32)


@njit(**INNER)
def _bit(weird: Number) -> Number:
    return np.int64(1) << (8 + weird if weird < 8 else 16 + weird)


@njit(**INNER)
def anyWeird(row: Any) -> Truth:
    """Has anything odd been told of this connection?"""
    return np.int64(row["seen"]) & WEIRD_BITS != 0


@njit(**INNER)
def addWeird(work: Any, row: Any, keys: Any, weird: Number) -> None:
    """Tell of it, if it was not told of this connection before."""
    seen, bit = np.int64(row["seen"]), _bit(weird)
    if seen & bit:
        return
    row["seen"] = seen | bit
    cursors = work.cursors
    place = cursors[WEIRDS]
    if place >= len(work.weirds):
        return
    cursors[WEIRDS] = place + 1
    told = work.weirds[place]
    for word in range(5):
        told["key"][word] = keys[cursors[SLOT], word]
    told["start"] = row["start"]
    told["stamp"] = cursors[STAMP]
    told["swapped"] = row["swapped"]
    told["weird"] = weird


@njit(**INNER)
def noteOddSyn(
    work: Any, row: Any, keys: Any, side: Number, isOriginator: Truth, flags: Number, length: Number
) -> None:
    """A SYN with what no SYN should have."""
    if flags & RST:
        addWeird(work, row, keys, CHRISTMAS)
    if flags & _URG:
        addWeird(work, row, keys, BAROQUE_SYN)
    if length > 0:
        addWeird(work, row, keys, SYN_WITH_DATA)
    if isOriginator and flags & ACK and row["state"][side] == INACTIVE:
        addWeird(work, row, keys, ORIGINATOR_SYN_ACK)


@njit(**INNER)
def noteOddState(work: Any, row: Any, keys: Any, side: Number, flags: Number, length: Number) -> None:
    """A segment that does not go with what this side has sent before."""
    state, peer = row["state"][side], row["state"][1 - side]
    if state in (SYN_SENT, SYN_ACK_SENT):
        if flags & FIN and peer in (INACTIVE, SYN_SENT):
            addWeird(work, row, keys, INAPPROPRIATE_FIN)
        if length > 0 and not flags & (SYN | RST):
            addWeird(work, row, keys, DATA_BEFORE_ESTABLISHED)
    elif state == RESET and length > 0 and not flags & (SYN | FIN | RST):
        addWeird(work, row, keys, DATA_AFTER_RESET)
    elif state == PARTIAL and peer == INACTIVE and flags & SYN and not flags & ACK:
        addWeird(work, row, keys, SYN_AFTER_PARTIAL)
