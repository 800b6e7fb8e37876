"""
The bytes of open rows and of an analyser on their way to another middlebox: parts of a connection's record.

Version 1, integers little-endian, texts and lists with their length before them.  What comes from outside is checked in
full: a dump that is accepted cannot make anything fail, whatever messages follow.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass

from construct import (
    Const,
    FlagsEnum,
    GreedyBytes,
    Int8ul,
    Int16ul,
    Int32ul,
    Int64sl,
    Prefixed,
    PrefixedArray,
    Struct,
    Terminated,
)

from openmb.plugins.bro.analyzers.dns.entries import OpenRow
from openmb.plugins.bro.analyzers.dns.labels import ROOM
from openmb.plugins.bro.analyzers.dns.message import TRACKED
from openmb.plugins.bro.reading import Reader, text

#: First byte of a dump.
VERSION = 1

#: When a message makes more numbers wait than this, or more messages of one number, those before it are written out.
MOST_PENDING = 50

#: Bytes of an unfinished message over TCP, with its length before it.
MOST_HELD = 2 + 0xFFFF

_QUERY_FLAGS = ("tcp", "truncated", "recursionDesired")
_REPLY_FLAGS = ("tcp", "authoritative", "recursionAvailable", "rejected")
_PRESENT, _NAMED = 1 << len(_QUERY_FLAGS), 1 << len(_REPLY_FLAGS)
_STATE_FLAGS = ("seen", "confirmed", "turned", "firstParsed", "secondParsed")

_TEXT = Prefixed(Int32ul, GreedyBytes)


def _flags(*names: str) -> FlagsEnum:
    return FlagsEnum(Int8ul, **{name: 1 << bit for bit, name in enumerate(names)})


QUERY = Struct(
    "stamp" / Int64sl,
    "identifier" / Int16ul,
    "opcode" / Int8ul,
    "marks" / _flags(*_QUERY_FLAGS, "asked"),  # asked: a question was read
    "flags" / Int8ul,
    "queryClass" / Int16ul,
    "queryType" / Int16ul,
    "query" / _TEXT,
)

REPLY = Struct(
    "stamp" / Int64sl,
    "identifier" / Int16ul,
    "opcode" / Int8ul,
    "marks" / _flags(*_REPLY_FLAGS, "named"),  # named: an answer was read
    "code" / Int8ul,
    "query" / _TEXT,
    "answers" / PrefixedArray(Int16ul, Struct("lifetime" / Int32ul, "text" / _TEXT)),
)

WAITING = Struct(
    "format" / Const(VERSION, Int8ul),
    "first" / PrefixedArray(Int8ul, QUERY),  # none or one
    "queries" / PrefixedArray(Int16ul, QUERY),
    "replies" / PrefixedArray(Int16ul, REPLY),
    Terminated,
)

ANALYZER = Struct(
    "format" / Const(VERSION, Int8ul),
    "flags" / _flags(*_STATE_FLAGS),
    "first" / _TEXT,
    "second" / _TEXT,
    Terminated,
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    The open rows of a connection.

    @ivar weight: the sum of L{weigh}.
    """

    first: OpenRow | None
    queries: list[OpenRow]
    replies: list[OpenRow]
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """
    What an analyser knows.

    @ivar first: of the first originator, its unfinished message over TCP, with the length before it.
    @ivar second: of the other side.
    @ivar seen: there was a message.
    @ivar confirmed: one could be read.
    @ivar turned: the roles were turned.
    @ivar firstParsed: C{first} was read already, when a side ended; C{secondParsed}: C{second}.
    """

    first: bytes
    second: bytes
    seen: bool
    confirmed: bool
    turned: bool
    firstParsed: bool
    secondParsed: bool


_QUERY_HEAD, _REPLY_HEAD = struct.Struct("<qHBBBHH"), struct.Struct("<qHBBB")
_COUNT, _LIFETIME, _PAIR = struct.Struct("<H"), struct.Struct("<L"), struct.Struct("<BB")
_OVERHEAD, _OVERHEAD_OF_ANSWER = _QUERY_HEAD.size + 4 + 2, 8


def weigh(row: OpenRow) -> int:
    """Bytes that C{row} takes in a dump, or somewhat more."""
    weight = _OVERHEAD + len(row.query or b"")
    if row.answers:
        weight += _OVERHEAD_OF_ANSWER * len(row.answers) + sum(map(len, row.answers))
    return weight


def packWaiting(waiting: Waiting) -> bytes:
    """The bytes that L{WAITING} declares (built by hand: a move has thousands of them)."""
    parts = [bytes((VERSION, waiting.first is not None))]
    if waiting.first is not None:
        parts.append(_fromQuery(waiting.first))
    for rows, pack in ((waiting.queries, _fromQuery), (waiting.replies, _fromReply)):
        parts.append(_COUNT.pack(len(rows)))
        parts += map(pack, rows)
    return b"".join(parts)


def _bits(row: OpenRow, names: tuple[str, ...]) -> int:
    return sum(getattr(row, name) << bit for bit, name in enumerate(names))


def _setBits(row: OpenRow, names: tuple[str, ...], bits: int) -> None:
    for bit, name in enumerate(names):
        setattr(row, name, bool(bits >> bit & 1))


def _fromQuery(row: OpenRow) -> bytes:
    bits = _bits(row, _QUERY_FLAGS)
    if row.queryType is not None:
        bits |= _PRESENT
    numbers = (row.stamp, row.identifier, row.opcode, bits, row.flags, row.queryClass or 0, row.queryType or 0)
    return _QUERY_HEAD.pack(*numbers) + text(row.query or b"")


def _fromReply(row: OpenRow) -> bytes:
    bits = _bits(row, _REPLY_FLAGS)
    if row.query is not None:
        bits |= _NAMED
    answers = row.answers or ()
    parts = [
        _REPLY_HEAD.pack(row.stamp, row.identifier, row.opcode, bits, row.code or 0),
        text(row.query or b""),
        _COUNT.pack(len(answers)),
    ]
    for lifetime, answer in zip(row.lifetimes or (), answers, strict=True):
        parts += (_LIFETIME.pack(lifetime), text(answer))
    return b"".join(parts)


def unpackWaiting(data: bytes, heaviest: int) -> Waiting:
    """
    The open rows whose bytes C{data} are.

    @param heaviest: what they may weigh.
    @raise OperationError: C{BAD_REQUEST}, these are no such bytes.
    """
    reader = Reader(data, "the open rows of dns.log")
    reader.check(reader.octet() == VERSION, "format")
    first = _toQuery(reader) if reader.present() else None
    queries = [_toQuery(reader) for _ in range(*reader.numbers(_COUNT))]
    replies = [_toReply(reader) for _ in range(*reader.numbers(_COUNT))]
    reader.end()
    for rows in (queries, replies):
        counts = Counter(row.identifier for row in rows)
        reader.check(len(counts) <= MOST_PENDING + 1, "number of numbers")
        reader.check(max(counts.values(), default=0) <= MOST_PENDING + 1, "number of rows")
    reader.check(first is not None or not queries, "first query")
    weight = sum(map(weigh, (*queries, *replies, *((first,) if first else ()))))
    reader.check(weight <= heaviest, "size")
    return Waiting(first, queries, replies, weight)


def _newRow(reader: Reader, stamp: int, identifier: int, opcode: int) -> OpenRow:
    reader.check(opcode in TRACKED, "opcode")
    row = OpenRow(stamp, identifier, False)
    row.opcode = opcode
    return row


def _toQuery(reader: Reader) -> OpenRow:
    stamp, identifier, opcode, bits, flags, group, kind = reader.numbers(_QUERY_HEAD)
    query, asked = reader.text(), bool(bits & _PRESENT)
    reader.check(bits < 2 * _PRESENT and flags <= 7, "flags")
    reader.check(asked or not (flags or group or kind or query or bits > 1), "question")
    reader.check(len(query) <= ROOM, "length of a name")
    row = _newRow(reader, stamp, identifier, opcode)
    _setBits(row, _QUERY_FLAGS, bits)
    if asked:
        row.flags, row.queryClass, row.queryType, row.query = flags, group, kind, query
    return row


def _toReply(reader: Reader) -> OpenRow:
    stamp, identifier, opcode, bits, code = reader.numbers(_REPLY_HEAD)
    query, named = reader.text(), bool(bits & _NAMED)
    reader.check(bits < 2 * _NAMED and code <= 15, "flags")
    reader.check(named or not query, "name")
    reader.check(len(query) <= ROOM, "length of a name")
    row = _newRow(reader, stamp, identifier, opcode)
    _setBits(row, _REPLY_FLAGS, bits)
    row.code, row.query = code, query if named else None
    answers = [(*reader.numbers(_LIFETIME), reader.text()) for _ in range(*reader.numbers(_COUNT))]
    if answers:
        reader.check(named and all(answer for _, answer in answers), "answer")
        row.lifetimes, row.answers = zip(*answers, strict=True)
    return row


def packHeld(held: Held) -> bytes:
    """The bytes that L{ANALYZER} declares."""
    bits = sum(getattr(held, name) << bit for bit, name in enumerate(_STATE_FLAGS))
    return _PAIR.pack(VERSION, bits) + text(held.first) + text(held.second)


def unpackHeld(data: bytes) -> Held:
    """
    The state whose bytes C{data} are.

    @raise OperationError: C{BAD_REQUEST}, these are no such bytes.
    """
    reader = Reader(data, "the state of a DNS analyser")
    version, bits = reader.numbers(_PAIR)
    first, second = reader.text(), reader.text()
    reader.end()
    reader.check(version == VERSION, "format")
    reader.check(bits < 1 << len(_STATE_FLAGS), "flags")
    held = Held(first, second, *(bool(bits >> bit & 1) for bit in range(len(_STATE_FLAGS))))
    for part, parsed in ((first, held.firstParsed), (second, held.secondParsed)):
        reader.check(len(part) < 2 or len(part) - 2 < int.from_bytes(part[:2], "big"), "unfinished message")
        reader.check(len(part) > 2 or not parsed, "part of a message")
    return held
