"""
Tails of supporting records: ranges held out of order, and the state of an application parser, as bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from openmb.plugins.bro.analyzers.sessions import Session
from openmb.plugins.bro.reading import Reader, text
from openmb.plugins.bro.tracking.states import BLOCK_LIMIT
from openmb.plugins.bro.tracking.work import FREE_RANGE, USED_RANGES, Work

_VERSION = 1
_COUNT, _PAIR, _PLACE = struct.Struct("<H"), struct.Struct("<qq"), struct.Struct("<q")

#: Ranges held out of order by one direction: (begin, end), ascending.
Ranges = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Tail:
    """What hangs on one record: ranges of originator and responder, and the parser's session if there is one."""

    ranges: tuple[Ranges, Ranges]
    session: Session | None


def rangesOf(work: Work, row: np.void, side: int) -> Ranges:
    """The ranges of one direction."""
    found: Ranges = []
    node = int(row["head"][side])
    while node >= 0:
        found.append((int(work.low[node]), int(work.high[node])))
        node = int(work.following[node])
    return found


def hangRanges(work: Work, row: np.void, side: int, ranges: Ranges) -> None:
    """Give one direction of an imported record its ranges; room for them was reserved."""
    following = -1
    for low, high in reversed(ranges):
        node = int(work.cursors[FREE_RANGE])
        work.cursors[FREE_RANGE] = work.following[node]
        work.cursors[USED_RANGES] += 1
        work.low[node], work.high[node], work.following[node] = low, high, following
        following = node
    row["head"][side] = following
    row["blocks"][side] = len(ranges)
    row["held"][side] = sum(high - low for low, high in ranges)


def packTail(tail: Tail) -> bytes:
    """The bytes of a tail, as L{openmb.plugins.bro.records.ConnectionTail} declares; none where there is nothing."""
    session = tail.session
    if session is None and not tail.ranges[0] and not tail.ranges[1]:
        return b""
    parts = [bytes((_VERSION,))]
    for side in tail.ranges:
        parts.append(_COUNT.pack(len(side)))
        parts += [_PAIR.pack(low, high) for low, high in side]
    for end in session.held if session is not None else ([], []):
        parts.append(_COUNT.pack(len(end)))
        parts += [_PLACE.pack(begin) + text(data) for begin, data in end]
    parts.append(_PAIR.pack(*(session.position if session is not None else (1, 1))))
    parts.append(text(session.dump() if session is not None else b""))
    return b"".join(parts)


def parseTail(data: bytes, analyzer: int) -> Tail:
    """
    The tail of a record with this analyser.

    @raise OperationError: C{BAD_REQUEST}, the bytes are no tail.
    """
    if not data:
        return Tail(([], []), None)
    reader = Reader(data, "the tail of a connection")
    reader.check(reader.octet() == _VERSION, "version")
    first, second = _readRanges(reader), _readRanges(reader)
    held = [_readHeld(reader), _readHeld(reader)]
    position, parser = list(reader.numbers(_PAIR)), reader.text()
    reader.end()
    session = None
    if parser:
        session = Session.dumped(analyzer, parser)
        session.load()
        session.goOn(position, held)
    return Tail((first, second), session)


def _readRanges(reader: Reader) -> Ranges:
    (count,) = reader.numbers(_COUNT)
    reader.check(count <= BLOCK_LIMIT, "number of ranges")
    ranges: Ranges = [reader.numbers(_PAIR) for _ in range(count)]
    ends = [number for pair in ranges for number in pair]
    reader.check(all(one < other for one, other in pairwise(ends)), "order of ranges")
    return ranges


def _readHeld(reader: Reader) -> list[tuple[int, bytes]]:
    (count,) = reader.numbers(_COUNT)
    return [(reader.numbers(_PLACE)[0], reader.text()) for _ in range(count)]
