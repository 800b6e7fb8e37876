"""
Pieces: what the kernels tell Python about the data of connections, in order.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.tracking.numbers import constants


class PieceKind(enum.IntEnum):
    """What an application parser is told, in order."""

    DATA = 0  # in-order bytes: C{length} at C{offset} of packet C{packet}, beginning at C{sequence}
    HELD = 1  # bytes ahead of a hole: keep them
    RELEASED = 2  # the hole is filled: C{length} bytes from C{sequence} on are among the held
    LOST = 3  # C{length} bytes from C{sequence} on were never seen
    ENDED = 4  # no more data from this side
    CLEARED = 5  # what is held of this side is dropped, and no more data will come
    RESET = 6  # a RST was seen, from either side
    REMOVED = 7  # the connection is removed; C{sequence} is its place among the finished rows
    SKIPPED = 8  # data was passed over up to C{sequence}
    BORN = 9  # a connection to a port for which one was agreed on has begun
    DATAGRAM = 10  # C{length} bytes at C{offset} of packet C{packet}: a UDP datagram's payload
    OVER = 11  # no signature can match any more


(
    PIECE_DATA,
    PIECE_HELD,
    PIECE_RELEASED,
    PIECE_LOST,
    PIECE_ENDED,
    PIECE_CLEARED,
    PIECE_RESET,
    PIECE_REMOVED,
    PIECE_SKIPPED,
    PIECE_BORN,
    PIECE_DATAGRAM,
    PIECE_OVER,
) = constants(PieceKind)

PIECE = np.dtype(
    [
        ("stamp", "<i8"),
        ("sequence", "<i8"),
        ("start", "<i8"),
        ("size", "<i8"),
        ("mine", "<i8"),  # relative sequence numbers up to which this side's and the other side's data
        ("others", "<i8"),  # was delivered, wanted or not
        ("slot", "<i4"),
        ("packet", "<i4"),
        ("offset", "<u4"),
        ("length", "<u4"),
        ("place", "<i4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("analyzer", "u1"),
        ("swapped", "u1"),
        ("partial", "u1"),
        ("tcp", "u1"),
        ("padding", "u1", (6,)),
        ("key", "<u8", (5,)),
    ]
)

#: What L{Piece} has of it: keys are seldom wanted, and cost more than all the rest.
_OF_PIECE = [name for name in PIECE.names or () if name not in ("padding", "key")]


class Piece(NamedTuple):
    """
    One element of L{PIECE} as Python has it.

    @ivar stamp: packet time, nanoseconds.
    @ivar sequence: where its data begins, by relative sequence number; of a removed connection, the place of its row.
    @ivar start: when the connection began, microseconds.
    @ivar size: bytes that both sides have sent by the end of this packet.
    @ivar mine: up to where the data of this side was delivered, whether or not anybody wanted it.
    @ivar others: the same of the other side.
    @ivar slot: the connection's place in the table.
    @ivar packet: the packet's place in its batch.
    @ivar offset: where its data begins in the packet.
    @ivar length: bytes of data.
    @ivar place: its place among the pieces, where its connection's native key is found too.
    @ivar kind: a L{PieceKind}.
    @ivar side: whose it is, 0 for the originator.
    @ivar analyzer: the service of the responder's port.
    @ivar swapped: the originator is endpoint b of the native key.
    @ivar partial: the handshake was not seen.
    @ivar tcp: TCP, else UDP.
    """

    stamp: int
    sequence: int
    start: int
    size: int
    mine: int
    others: int
    slot: int
    packet: int
    offset: int
    length: int
    place: int
    kind: int
    side: int
    analyzer: int
    swapped: int
    partial: int
    tcp: int


def listPieces(pieces: NDArray[Any]) -> list[Piece]:
    """L{PIECE}C{[n]} as Python has them."""
    return [Piece._make(values) for values in pieces[_OF_PIECE].tolist()]
