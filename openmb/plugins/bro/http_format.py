"""
The bytes of a parser on its way to another middlebox: the tail of a connection's record.

Version 1, integers little-endian, texts and lists with their length before them.  What comes from outside is checked in
full: a dump that is accepted cannot make the parser fail, whatever bytes it is fed afterwards.
"""

from __future__ import annotations

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

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro import http_side
from openmb.plugins.bro.http_rows import MOST_PENDING, OpenRow, Pairing
from openmb.plugins.bro.http_side import Content, Expected, Mode, Progress, Side

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


def pack(state: ParserState) -> bytes:
    """The bytes of C{state}."""
    progress, pairing = state.progress, state.pairing
    built: bytes = PARSER.build(
        {
            "flags": {name: getattr(progress, name) for name in Progress.FLAGS},
            "requestVersion": progress.requestVersion,
            "replyVersion": progress.replyVersion,
            "code": progress.code,
            "unanswered": bytes(progress.unanswered),
            "request": pairing.request,
            "response": pairing.response,
            "depth": pairing.depth,
            "client": _fromSide(state.client),
            "server": _fromSide(state.server),
            "rows": [_fromRow(number, row) for number, row in pairing.pending.items()],
        }
    )
    return built


def _fromSide(side: Side) -> dict[str, Any]:
    names = ("mode", "expected", "content", "unfinished", "remaining", "length", "announced", "range", "boundary")
    values = {name: getattr(side, name) for name in names}
    values["flags"] = {name: getattr(side, name) for name in _SIDE_FLAGS}
    values["held"] = bytes(side.held)
    values["header"] = None if side.header is None else bytes(side.header)
    return values


def _fromRow(number: int, row: OpenRow) -> dict[str, Any]:
    names = ("stamp", "depth", "status", "infoCode", "requestLength", "responseLength", "proxied")
    values = {name: getattr(row, name) for name in names}
    values["number"] = number
    values["texts"] = [getattr(row, name) for name in _ROW_TEXTS]
    return values


def unpack(data: bytes) -> ParserState:
    """
    The state whose bytes C{data} are.

    @raise OperationError: C{BAD_REQUEST}, these are no such bytes.
    """
    try:
        parsed = PARSER.parse(data)
    except ConstructError as error:
        raise OperationError(Refusal.BAD_REQUEST, f"not the state of an HTTP parser: {error}") from error
    state = ParserState(_toSide(parsed.client), _toSide(parsed.server), _toProgress(parsed), _toPairing(parsed))
    # only the server answers in HTTP/0.9
    _check(state.client.mode != Mode.RAW_REPLY, "mode of the client")
    return state


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise OperationError(Refusal.BAD_REQUEST, f"not the state of an HTTP parser: {what} out of range")


def _toSide(parsed: Any) -> Side:
    _check(parsed.mode in Mode.__members__.values(), "mode")
    _check(parsed.expected in Expected.__members__.values(), "expectation")
    _check(parsed.content in Content.__members__.values(), "kind of content")
    _check(parsed.announced >= -1, "announced length")
    _check(max(parsed.unfinished, parsed.length, parsed.range) < _MOST_COUNTED, "number of bytes")
    texts = (parsed.held, parsed.header or b"", parsed.boundary or b"")
    _check(all(len(text) <= _MOST_BYTES for text in texts), "length of a text")
    side = Side()
    for name in ("mode", "expected", "content", "unfinished", "remaining", "length", "announced", "range"):
        setattr(side, name, int(parsed[name]))
    for name in _SIDE_FLAGS:
        setattr(side, name, bool(parsed.flags[name]))
    side.held, side.header, side.boundary = bytearray(parsed.held), parsed.header, parsed.boundary
    _check((side.remaining > 0) == (side.mode in (Mode.BODY, Mode.CHUNK)), "rest of a body")
    _check(side.boundary is not None or side.mode not in (Mode.PREAMBLE, Mode.PART_HEADERS, Mode.PART), "boundary")
    _check(side.mode != Mode.PART or len(side.held) <= len(side.boundary or b"") + 2, "beginning of a line")
    return side


def _toProgress(parsed: Any) -> Progress:
    _check(parsed.requestVersion <= 99 and parsed.replyVersion <= 99, "version")
    _check(parsed.code <= 999, "status")
    _check(len(parsed.unanswered) <= http_side.MOST_UNANSWERED, "number of requests")
    _check(not parsed.unanswered.strip(b"\0\1"), "mark of a request")
    progress = Progress()
    for name in Progress.FLAGS:
        setattr(progress, name, bool(parsed.flags[name]))
    progress.requestVersion, progress.replyVersion = int(parsed.requestVersion), int(parsed.replyVersion)
    progress.code, progress.unanswered = int(parsed.code), bytearray(parsed.unanswered)
    return progress


def _toPairing(parsed: Any) -> Pairing:
    _check(len(parsed.rows) <= 2 * MOST_PENDING, "number of rows")
    _check(max(parsed.request, parsed.response, parsed.depth) < _MOST_COUNTED, "number of a row")
    pairing = Pairing()
    pairing.request, pairing.response, pairing.depth = parsed.request, parsed.response, parsed.depth
    for row in parsed.rows:
        _check(row.number not in pairing.pending, "number of a row")
        _check(all(code is None or code <= 999 for code in (row.status, row.infoCode)), "status")
        pairing.pending[row.number] = _toRow(row)
    return pairing


def _toRow(parsed: Any) -> OpenRow:
    _check(all(text is None or len(text) <= _MOST_BYTES for text in parsed.texts), "length of a text")
    row = OpenRow(parsed.stamp, parsed.depth)
    row.status, row.infoCode = parsed.status, parsed.infoCode
    row.requestLength, row.responseLength = parsed.requestLength, parsed.responseLength
    row.proxied = None if parsed.proxied is None else tuple(parsed.proxied)
    for name, text in zip(_ROW_TEXTS, parsed.texts, strict=True):
        setattr(row, name, text)
    return row
