"""
Tails of supporting records: ranges held out of order, and the state of whoever reads the data, as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from openmb.plugins.bro.analyzers.agreed import MOST_AGREED, readAgreed
from openmb.plugins.bro.analyzers.ahead import Ahead
from openmb.plugins.bro.analyzers.analyzer import Surroundings
from openmb.plugins.bro.analyzers.conversation import MOST_ANALYZERS, UNTOLD, Conversation
from openmb.plugins.bro.analyzers.dns.rows import Queries
from openmb.plugins.bro.analyzers.http.rows import Pairing
from openmb.plugins.bro.analyzers.kinds import KINDS
from openmb.plugins.bro.analyzers.signatures import Matcher
from openmb.plugins.bro.reading import Reader, text
from openmb.plugins.bro.tracking.states import BLOCK_LIMIT, NEVER
from openmb.plugins.bro.tracking.work import FREE_RANGE, USED_RANGES, Work

_VERSION = 2
_COUNT, _PAIR, _PLACE = struct.Struct("<H"), struct.Struct("<qq"), struct.Struct("<q")

#: Ranges held out of order by one direction: (begin, end), ascending.
Ranges = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Tail:
    """What hangs on one record: ranges of originator and responder, and the conversation if there is one."""

    ranges: tuple[Ranges, Ranges]
    conversation: Conversation | None


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
    conversation = tail.conversation
    if conversation is None and not tail.ranges[0] and not tail.ranges[1]:
        return b""
    parts = [bytes((_VERSION,))]
    for side in tail.ranges:
        parts.append(_COUNT.pack(len(side)))
        parts += [_PAIR.pack(low, high) for low, high in side]
    parts.append(bytes((conversation is not None,)))
    if conversation is not None:
        parts += _packConversation(conversation)
    return b"".join(parts)


def _packConversation(conversation: Conversation) -> list[bytes]:
    parts = []
    for end in range(2):
        held = conversation.ahead.held(end)
        parts.append(_COUNT.pack(len(held)))
        parts += [_PLACE.pack(begin) + text(data) for begin, data in held]
    parts.append(_PAIR.pack(*conversation.position))
    parts.append(bytes((conversation.attached, len(conversation.analyzers))))
    parts += [bytes((analyzer.service,)) + text(analyzer.dump()) for analyzer in conversation.analyzers]
    parts.append(text(conversation.matcher.dump() if conversation.matcher is not None else b""))
    parts.append(text(conversation.around.requests.dump()))
    parts.append(text(conversation.around.queries.dump()))
    parts.append(bytes((len(conversation.agreed),)))
    parts += [agreed.pack() for agreed in conversation.agreed]
    return parts


def parseTail(data: bytes, surroundings: Callable[[], Surroundings]) -> Tail:
    """
    The tail of a record.

    @param surroundings: makes those of its connection.
    @raise OperationError: C{BAD_REQUEST}, the bytes are no tail.
    """
    if not data:
        return Tail(([], []), None)
    reader = Reader(data, "the tail of a connection")
    reader.check(reader.octet() == _VERSION, "version")
    first, second = _readRanges(reader), _readRanges(reader)
    conversation = _readConversation(reader, surroundings()) if reader.present() else None
    reader.end()
    return Tail((first, second), conversation)


def _readConversation(reader: Reader, around: Surroundings) -> Conversation:
    held = [_readHeld(reader), _readHeld(reader)]
    position = list(reader.numbers(_PAIR))
    reader.check(all(0 <= each <= NEVER for each in position), "position")
    attached, count = reader.octet(), reader.octet()
    reader.check(count <= attached <= MOST_ANALYZERS, "number of analysers")
    dumps = [(reader.octet(), reader.text()) for _ in range(count)]
    reader.check(all(service in KINDS for service, _ in dumps), "analyser")
    matcher, requests, queries = reader.text(), reader.text(), reader.text()
    if requests:
        around.requests = Pairing.load(requests)
    if queries:
        around.queries = Queries.load(queries)
    conversation = Conversation(around)
    conversation.attached, conversation.told = attached, UNTOLD
    conversation.analyzers = [KINDS[service].load(dump, around) for service, dump in dumps]
    conversation.matcher = Matcher.load(matcher) if matcher else None
    conversation.agreed = [readAgreed(reader) for _ in range(reader.octet())]
    reader.check(len(conversation.agreed) <= MOST_AGREED, "number of agreements")
    reader.check(all(agreed.until >= 0 for agreed in conversation.agreed), "time of an agreement")
    conversation.position, conversation.ahead = position, Ahead(held)
    reader.check([conversation.ahead.held(end) for end in range(2)] == held, "bytes ahead of a hole")
    return conversation


def _readRanges(reader: Reader) -> Ranges:
    (count,) = reader.numbers(_COUNT)
    reader.check(count <= BLOCK_LIMIT, "number of ranges")
    ranges: Ranges = [reader.numbers(_PAIR) for _ in range(count)]
    ends = [number for pair in ranges for number in pair]
    reader.check(all(one < other for one, other in pairwise(ends)), "order of ranges")
    reader.check(not ends or (ends[0] >= 0 and ends[-1] <= int(NEVER)), "a range")
    return ranges


def _readHeld(reader: Reader) -> list[tuple[int, bytes]]:
    (count,) = reader.numbers(_COUNT)
    held = [(reader.numbers(_PLACE)[0], reader.text()) for _ in range(count)]
    reader.check(all(0 <= place <= NEVER for place, _ in held), "bytes ahead of a hole")
    return held
