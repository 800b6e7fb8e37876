"""
How long a deflate stream is when it is unpacked (RFC 1950 to 1952), without unpacking it: lengths need only the codes.

As in Zeek, gzip and zlib wrappers are told apart by their first bytes, and what has neither is taken as a stream
without one. What follows the end of a stream is ignored. Where this differs: checksums are not checked; a stream that
is damaged counts up to the damage, while Zeek may lose up to 4 KiB before it, depending on how the bytes came.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from construct import Byte, Bytes, Int16ul, Int32ul, Int64ul, Struct, Terminated
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.analyzers.http.codes import CANON, NARROW, WIDE
from openmb.plugins.bro.analyzers.http.deflate import NUMBERS, OVER, SMALL, STAGE, WINDOW, countInflated

#: The state of a stream; L{INFLATER} says what is what.
RECORD: Final = np.dtype(
    [
        ("stage", "u1"),
        ("final", "u1"),
        ("flags", "u1"),
        ("count", "u1"),
        ("bits", "<u8"),
        ("left", "<u4"),
        ("total", "<u2"),
        ("literals", "<u2"),
        ("distances", "<u2"),
        ("small", "<u2"),
        ("filled", "<u2"),
        ("lengths", "u1", (320,)),
        ("order", "u1", (19,)),
    ]
)

INFLATER = Struct(
    "stage" / Byte * "what comes next",
    "final" / Byte * "1: the block is the last",
    "flags" / Byte * "of the gzip header",
    "count" / Byte * "how many bits of the input wait",
    "bits" / Int64ul * "these, the next one lowest",
    "left" / Int32ul * "bytes left of a stored block or header field",
    "total" / Int16ul * "bytes unpacked so far, 32768 at most: so far back may a distance go",
    "literals" / Int16ul * "how many lengths of codes of literals",
    "distances" / Int16ul * "... of distances",
    "small" / Int16ul * "... of codes that lengths are written in",
    "filled" / Int16ul * "how many of them are known",
    "lengths" / Bytes(320) * "of the codes of literals, then of distances",
    "order" / Bytes(19) * "of the codes that lengths are written in",
    Terminated,
)

# tables of whichever stream is read just now: they are made anew from the lengths of its codes
_WIDE_TABLE, _NARROW_TABLE = np.zeros(1 << WIDE, np.int64), np.zeros(1 << NARROW, np.int64)
_CANONICAL = np.zeros(CANON, np.int64)


class Inflater:
    """One stream; takes its bytes in any segmentation."""

    __slots__ = ("_lengths", "_numbers", "_order")

    def __init__(self) -> None:
        self._numbers = np.zeros(len(NUMBERS), np.int64)
        self._lengths, self._order = np.zeros(320, np.uint8), np.zeros(19, np.uint8)

    @classmethod
    def of(cls, numbers: NDArray[np.int64], lengths: NDArray[np.uint8], order: NDArray[np.uint8]) -> Inflater:
        """A stream that goes on from this state of the kernel, which is copied."""
        stream = cls()
        stream._numbers[:], stream._lengths[:], stream._order[:] = numbers, lengths, order
        return stream

    @property
    def isOver(self) -> bool:
        """Has the stream ended, well or badly?  Then nothing that follows counts."""
        return bool(self._numbers[STAGE] == OVER)

    def feed(self, data: bytes) -> int:
        """How many bytes C{data} unpack to, as far as that is known yet."""
        octets = np.frombuffer(data, np.uint8)
        tables = (_WIDE_TABLE, _NARROW_TABLE, _CANONICAL)
        return int(countInflated(self._numbers, self._lengths, self._order, *tables, octets))

    def dump(self) -> bytes:
        """Everything known: one record of L{RECORD}, as L{INFLATER} declares it."""
        record = np.zeros((), RECORD)
        for name, number in zip(NUMBERS, self._numbers.tolist(), strict=True):
            record[name] = number
        record["lengths"], record["order"] = self._lengths, self._order
        return record.tobytes()

    @classmethod
    def load(cls, data: bytes) -> Inflater:
        """
        A stream that goes on where the one that was dumped stopped.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump.
        """
        if len(data) != RECORD.itemsize:
            raise OperationError(Refusal.BAD_REQUEST, "not the state of a compressed body: length out of range")
        record, stream = np.frombuffer(data, RECORD)[0], cls()
        numbers = [int(record[name]) for name in NUMBERS]
        stream._lengths[:], stream._order[:] = record["lengths"], record["order"]
        if not _sensible(numbers, stream):
            raise OperationError(Refusal.BAD_REQUEST, "not the state of a compressed body: number out of range")
        stream._numbers[:] = numbers
        return stream


def _sensible(numbers: list[int], stream: Inflater) -> bool:
    """Can a stream come into this state?  As far as the kernel relies on it."""
    number = dict(zip(NUMBERS, numbers, strict=True))
    known = number["small"] if number["stage"] == SMALL else 320
    return (
        number["stage"] <= OVER
        and number["final"] <= 1
        and number["count"] <= 62
        and number["bits"] < 1 << number["count"]
        and number["left"] <= 0xFFFF
        and number["total"] <= WINDOW
        and number["literals"] <= 288
        and number["distances"] <= 32
        and number["small"] <= 19
        and number["filled"] <= known
        and int(stream._lengths.max()) <= 15
        and int(stream._order.max()) <= 7
    )
