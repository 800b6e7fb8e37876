"""
The bytes of a parser on its way to another middlebox: the tail of a connection's record.

Version 1, integers little-endian, texts and lists with their length before them.  What comes from outside is checked in
full: a dump that is accepted cannot make the parser fail, whatever bytes it is fed afterwards.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from construct import (
    Adapter,
    Array,
    Byte,
    Const,
    ConstructError,
    FlagsEnum,
    GreedyBytes,
    Int8ul,
    Int16ul,
    Int32ul,
    Int64sl,
    Int64ul,
    Prefixed,
    PrefixedArray,
    Struct,
    Terminated,
)

from openmb.plugins.bro.analyzers.http import side as http_side
from openmb.plugins.bro.analyzers.http.rows import MOST_PENDING, OpenRow, Pairing
from openmb.plugins.bro.analyzers.http.side import Content, Expected, Mode, Progress, Side
from openmb.plugins.bro.reading import Reader, maybeText, text

#: First byte of a dump.
VERSION = 1

_MOST_BYTES = http_side.LONGEST_LINE + 64
_MOST_COUNTED = 1 << 62
_SIDE_FLAGS = ("carriage", "ended", "withheld", "chunked", "compressed")
_ROW_TEXTS = (
    "method",
    "host",
    "uri",
    "referrer",
    "version",
    "userAgent",
    "origin",
    "statusMessage",
    "infoMessage",
    "username",
)


class _Maybe(Adapter):
    """A value that may be missing: a list of none or one."""

    def _decode(self, value: Any, context: Any, path: Any) -> Any:
        if len(value) > 1:
            raise ConstructError(f"{len(value)} values where at most one can be")
        return value[0] if value else None

    def _encode(self, value: Any, context: Any, path: Any) -> Any:
        return [] if value is None else [value]


_TEXT = Prefixed(Int32ul, GreedyBytes)
_MAYBE_TEXT = _Maybe(PrefixedArray(Byte, _TEXT))

SIDE = Struct(
    "mode" / Int8ul,  # Mode
    "flags" / FlagsEnum(Int8ul, **{name: 1 << bit for bit, name in enumerate(_SIDE_FLAGS)}),
    "expected" / Int8ul,  # Expected
    "content" / Int8ul,  # Content
    "held" / _TEXT,  # the unfinished line
    "unfinished" / Int64ul,
    "remaining" / Int64ul,
    "length" / Int64ul,
    "announced" / Int64sl,  # -1: no Content-Length
    "range" / Int64ul,
    "header" / _MAYBE_TEXT,
    "boundary" / _MAYBE_TEXT,
)

ROW = Struct(
    "number" / Int64ul,  # in the table of open rows
    "stamp" / Int64sl,
    "depth" / Int64ul,
    "status" / _Maybe(PrefixedArray(Byte, Int16ul)),
    "infoCode" / _Maybe(PrefixedArray(Byte, Int16ul)),
    "requestLength" / Int64ul,
    "responseLength" / Int64ul,
    "proxied" / _Maybe(PrefixedArray(Byte, PrefixedArray(Byte, _TEXT))),
    "texts" / Array(len(_ROW_TEXTS), _MAYBE_TEXT),
)

PARSER = Struct(
    "format" / Const(VERSION, Int8ul),
    "flags" / FlagsEnum(Int16ul, **{name: 1 << bit for bit, name in enumerate(Progress.FLAGS)}),
    "requestVersion" / Int8ul,  # 10 * major + minor
    "replyVersion" / Int8ul,
    "code" / Int16ul,
    "unanswered" / _TEXT,  # one byte a request, oldest first: 1 for HEAD
    "request" / Int64ul,
    "response" / Int64ul,
    "depth" / Int64ul,
    "client" / SIDE,
    "server" / SIDE,
    "rows" / PrefixedArray(Byte, ROW),
    Terminated,
)


@dataclass(frozen=True, slots=True)
class ParserState:
    """Everything a parser knows."""

    client: Side
    server: Side
    progress: Progress
    pairing: Pairing


_HEAD, _COUNTS = struct.Struct("<BHBBH"), struct.Struct("<QQQ")
_SIDE_HEAD, _SIDE_COUNTS = struct.Struct("<BBBB"), struct.Struct("<QQQqQ")
_ROW_HEAD, _ROW_SIZES, _CODE = struct.Struct("<QqQ"), struct.Struct("<QQ"), struct.Struct("<H")
_MODES, _EXPECTED, _CONTENTS = (frozenset(map(int, each)) for each in (Mode, Expected, Content))


def pack(state: ParserState) -> bytes:
    """The bytes of C{state}, as L{PARSER} declares them (built by hand: a move has thousands of them)."""
    progress, pairing = state.progress, state.pairing
    flags = _bits(progress, Progress.FLAGS)
    parts = [
        _HEAD.pack(VERSION, flags, progress.requestVersion, progress.replyVersion, progress.code),
        text(progress.unanswered),
        _COUNTS.pack(pairing.request, pairing.response, pairing.depth),
    ]
    _fromSide(state.client, parts)
    _fromSide(state.server, parts)
    parts.append(bytes((len(pairing.pending),)))
    for number, row in pairing.pending.items():
        _fromRow(number, row, parts)
    return b"".join(parts)


def _bits(owner: Any, names: tuple[str, ...]) -> int:
    bits = 0
    for bit, name in enumerate(names):
        if getattr(owner, name):
            bits |= 1 << bit
    return bits


def _fromSide(side: Side, parts: list[bytes]) -> None:
    parts += (
        _SIDE_HEAD.pack(side.mode, _bits(side, _SIDE_FLAGS), side.expected, side.content),
        text(side.held),
        _SIDE_COUNTS.pack(side.unfinished, side.remaining, side.length, side.announced, side.range),
        maybeText(side.header),
        maybeText(side.boundary),
    )


def _fromRow(number: int, row: OpenRow, parts: list[bytes]) -> None:
    parts += (_ROW_HEAD.pack(number, row.stamp, row.depth), _maybeCode(row.status), _maybeCode(row.infoCode))
    parts.append(_ROW_SIZES.pack(row.requestLength, row.responseLength))
    if row.proxied is None:
        parts.append(b"\0")
    else:
        parts += (bytes((1, len(row.proxied))), *map(text, row.proxied))
    parts += [maybeText(getattr(row, name)) for name in _ROW_TEXTS]


def _maybeCode(code: int | None) -> bytes:
    return b"\0" if code is None else b"\1" + _CODE.pack(code)


def unpack(data: bytes) -> ParserState:
    """
    The state whose bytes C{data} are.

    @raise OperationError: C{BAD_REQUEST}, these are no such bytes.
    """
    reader = Reader(data, "the state of an HTTP parser")
    progress, pairing = Progress(), Pairing()
    _toProgress(reader, progress)
    pairing.request, pairing.response, pairing.depth = reader.numbers(_COUNTS)
    reader.check(max(pairing.request, pairing.response, pairing.depth) < _MOST_COUNTED, "number of a row")
    state = ParserState(_toSide(reader), _toSide(reader), progress, pairing)
    _toRows(reader, pairing)
    reader.end()
    # only the server answers in HTTP/0.9
    reader.check(state.client.mode != Mode.RAW_REPLY, "mode of the client")
    return state


def _toSide(reader: Reader) -> Side:
    check = reader.check
    side = Side()
    side.mode, flags, side.expected, side.content = reader.numbers(_SIDE_HEAD)
    check(side.mode in _MODES, "mode")
    check(side.expected in _EXPECTED, "expectation")
    check(side.content in _CONTENTS, "kind of content")
    held = reader.text()
    counts = reader.numbers(_SIDE_COUNTS)
    side.unfinished, side.remaining, side.length, side.announced, side.range = counts
    side.header, side.boundary = reader.maybeText(), reader.maybeText()
    check(side.announced >= -1, "announced length")
    check(max(side.unfinished, side.length, side.range) < _MOST_COUNTED, "number of bytes")
    texts = (held, side.header or b"", side.boundary or b"")
    check(max(map(len, texts)) <= _MOST_BYTES, "length of a text")
    for bit, name in enumerate(_SIDE_FLAGS):
        setattr(side, name, bool(flags >> bit & 1))
    side.held = bytearray(held)
    check((side.remaining > 0) == (side.mode in (Mode.BODY, Mode.CHUNK)), "rest of a body")
    check(side.boundary is not None or side.mode not in (Mode.PREAMBLE, Mode.PART_HEADERS, Mode.PART), "boundary")
    check(side.mode != Mode.PART or len(held) <= len(side.boundary or b"") + 2, "beginning of a line")
    return side


def _toProgress(reader: Reader, progress: Progress) -> None:
    version, flags, progress.requestVersion, progress.replyVersion, progress.code = reader.numbers(_HEAD)
    progress.unanswered = bytearray(reader.text())
    reader.check(version == VERSION, "format")
    reader.check(progress.requestVersion <= 99 and progress.replyVersion <= 99, "version")
    reader.check(progress.code <= 999, "status")
    reader.check(len(progress.unanswered) <= http_side.MOST_UNANSWERED, "number of requests")
    reader.check(not progress.unanswered.strip(b"\0\1"), "mark of a request")
    for bit, name in enumerate(Progress.FLAGS):
        setattr(progress, name, bool(flags >> bit & 1))


def _toRows(reader: Reader, pairing: Pairing) -> None:
    count = reader.octet()
    reader.check(count <= 2 * MOST_PENDING, "number of rows")
    for _ in range(count):
        number, stamp, depth = reader.numbers(_ROW_HEAD)
        reader.check(number not in pairing.pending, "number of a row")
        pairing.pending[number] = _toRow(reader, OpenRow(stamp, depth))


def _toRow(reader: Reader, row: OpenRow) -> OpenRow:
    row.status, row.infoCode = _toCode(reader), _toCode(reader)
    row.requestLength, row.responseLength = reader.numbers(_ROW_SIZES)
    row.proxied = tuple(reader.text() for _ in range(reader.octet())) if reader.present() else None
    for name in _ROW_TEXTS:
        value = reader.maybeText()
        reader.check(value is None or len(value) <= _MOST_BYTES, "length of a text")
        setattr(row, name, value)
    return row


def _toCode(reader: Reader) -> int | None:
    if not reader.present():
        return None
    (code,) = reader.numbers(_CODE)
    reader.check(code <= 999, "status")
    return int(code)
