"""
Tails of supporting records: ranges held out of order, and the state of an application parser, as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from construct import ConstructError

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.records import ConnectionTail
from openmb.plugins.bro.sessions import Session
from openmb.plugins.bro.states import BLOCK_LIMIT
from openmb.plugins.bro.work import FREE_RANGE, USED_RANGES, Work

_FORMAT = ConnectionTail

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
    """The bytes of a tail; none for one with nothing in it."""
    session = tail.session
    if session is None and not tail.ranges[0] and not tail.ranges[1]:
        return b""
    held = session.held if session is not None else [[], []]
    return bytes(
        _FORMAT.build(
            {
                "ranges": [[{"low": low, "high": high} for low, high in side] for side in tail.ranges],
                "held": [[{"sequence": begin, "data": data} for begin, data in end] for end in held],
                "position": session.position if session is not None else [1, 1],
                "parser": session.dump() if session is not None else b"",
            }
        )
    )


def parseTail(data: bytes, analyzer: int) -> Tail:
    """
    The tail of a record with this analyser.

    @raise OperationError: C{BAD_REQUEST}, the bytes are no tail.
    """
    if not data:
        return Tail(([], []), None)
    try:
        parsed = _FORMAT.parse(data)
    except (ConstructError, KeyError, IndexError, ValueError) as error:
        raise OperationError(Refusal.BAD_REQUEST, f"not the tail of a connection: {error}") from error
    first, second = (_checkedRanges(side) for side in parsed["ranges"])
    session = None
    if parsed["parser"]:
        session = Session.dumped(analyzer, bytes(parsed["parser"]))
        session.position = [int(place) for place in parsed["position"]]
        session.held = [[(int(one["sequence"]), bytes(one["data"])) for one in end] for end in parsed["held"]]
    return Tail((first, second), session)


def _checkedRanges(side: Any) -> Ranges:
    ranges = [(int(one["low"]), int(one["high"])) for one in side]
    ends = [number for pair in ranges for number in pair]
    if len(ranges) > BLOCK_LIMIT or any(one >= other for one, other in pairwise(ends)):
        raise OperationError(Refusal.BAD_REQUEST, "the ranges of a connection's tail are not in order")
    return ranges
