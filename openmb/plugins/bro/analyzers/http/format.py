"""
The bytes of a parser on its way to another middlebox.

Version 2, integers little-endian, texts and lists with their length before them. The open rows travel by themselves:
see C{rowformat}. What comes from outside is checked in full: a dump that is accepted cannot make the parser fail,
whatever bytes it is fed afterwards.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from construct import Const, FlagsEnum, Int8ul, Int16ul, Int64sl, Int64ul, Struct, Terminated

from openmb.plugins.bro.analyzers.http import side as http_side
from openmb.plugins.bro.analyzers.http.inflate import Inflater
from openmb.plugins.bro.analyzers.http.rowformat import MAYBE_TEXT, MOST_BYTES, MOST_COUNTED, TEXT
from openmb.plugins.bro.analyzers.http.side import Content, Expected, Mode, Progress, Side
from openmb.plugins.bro.reading import Reader, maybeText, text

#: First byte of a dump.
VERSION = 2

#: Parsers inside of each other, in tunnels through tunnels, at most.
DEEPEST = 3

_SIDE_FLAGS = ("carriage", "ended", "withheld", "chunked", "compressed")

SIDE = Struct(
    "mode" / Int8ul,  # Mode
    "flags" / FlagsEnum(Int8ul, **{name: 1 << bit for bit, name in enumerate(_SIDE_FLAGS)}),
    "expected" / Int8ul,  # Expected
    "content" / Int8ul,  # Content
    "held" / TEXT,  # the unfinished line
    "unfinished" / Int64ul,
    "remaining" / Int64ul,
    "length" / Int64ul,
    "announced" / Int64sl,  # -1: no Content-Length
    "range" / Int64ul,
    "header" / MAYBE_TEXT,
    "boundary" / MAYBE_TEXT,
    "inflater" / MAYBE_TEXT,  # how far a compressed body is unpacked, see L{inflate.INFLATER}
)

PARSER = Struct(
    "format" / Const(VERSION, Int8ul),
    "flags" / FlagsEnum(Int16ul, **{name: 1 << bit for bit, name in enumerate(Progress.FLAGS)}),
    "requestVersion" / Int8ul,  # 10 * major + minor
    "replyVersion" / Int8ul,
    "code" / Int16ul,
    "unanswered" / TEXT,  # one byte a request, oldest first: 1 for HEAD
    "client" / SIDE,
    "server" / SIDE,
    "matcher" / MAYBE_TEXT,  # what looks for signatures inside a tunnel, see C{signatures}
    "inner" / MAYBE_TEXT,  # the parser inside a tunnel: as this
    Terminated,
)


@dataclass(frozen=True, slots=True)
class ParserState:
    """
    Everything a parser knows.

    @ivar matcher: what looks for signatures in a tunnel, as bytes.
    @ivar inner: the parser in a tunnel, as bytes.
    """

    client: Side
    server: Side
    progress: Progress
    matcher: bytes | None = None
    inner: bytes | None = None


_HEAD = struct.Struct("<BHBBH")
_SIDE_HEAD, _SIDE_COUNTS = struct.Struct("<BBBB"), struct.Struct("<QQQqQ")
_MODES, _EXPECTED, _CONTENTS = (frozenset(map(int, each)) for each in (Mode, Expected, Content))


def pack(state: ParserState) -> bytes:
    """The bytes of C{state}, as L{PARSER} declares them (built by hand: a move has thousands of them)."""
    progress = state.progress
    flags = _bits(progress, Progress.FLAGS)
    parts = [
        _HEAD.pack(VERSION, flags, progress.requestVersion, progress.replyVersion, progress.code),
        text(progress.unanswered),
    ]
    _fromSide(state.client, parts)
    _fromSide(state.server, parts)
    parts += (maybeText(state.matcher), maybeText(state.inner))
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
        maybeText(None if side.inflater is None else side.inflater.dump()),
    )


def unpack(data: bytes, depth: int = 1) -> ParserState:
    """
    The state whose bytes C{data} are.

    @param depth: tunnels around it, and one.

    @raise OperationError: C{BAD_REQUEST}, these are no such bytes.
    """
    reader, progress = Reader(data, "the state of an HTTP parser"), Progress()
    _toProgress(reader, progress)
    state = ParserState(_toSide(reader), _toSide(reader), progress, reader.maybeText(), reader.maybeText())
    reader.end()
    # only the server answers in HTTP/0.9
    reader.check(state.client.mode != Mode.RAW_REPLY, "mode of the client")
    reader.check(depth < DEEPEST or (state.matcher is None and state.inner is None), "depth")
    reader.check(progress.tunnel or (state.matcher is None and state.inner is None), "tunnel")
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
    side.header, side.boundary, inflater = reader.maybeText(), reader.maybeText(), reader.maybeText()
    side.inflater = None if inflater is None else Inflater.load(inflater)
    check(side.announced >= -1, "announced length")
    check(max(side.unfinished, side.length, side.range) < MOST_COUNTED, "number of bytes")
    check(len(held) + len(side.header or b"") <= MOST_BYTES, "length of a text")
    check(len(side.boundary or b"") <= http_side.LONGEST_BOUNDARY + 2, "length of a boundary")
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
