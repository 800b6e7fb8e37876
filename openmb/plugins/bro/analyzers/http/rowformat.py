"""
The bytes of open rows on their way to another middlebox.

Version 1, integers little-endian, texts and lists with their length before them. What comes from outside is checked in
full.
"""

from __future__ import annotations

import struct
from typing import Any

from construct import (
    Adapter,
    Array,
    Byte,
    Const,
    ConstructError,
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

from openmb.plugins.bro.analyzers.http.openrow import OpenRow
from openmb.plugins.bro.reading import Reader, maybeText, text

#: First byte of a dump.
VERSION = 1

#: Rows, header fields of one row that tell of a proxy, and bytes of one text, at most.
MOST_ROWS, MOST_PROXIED, MOST_BYTES = 200, 64, (64 << 10) + 64
#: Numbers stay below.
MOST_COUNTED = 1 << 62

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


class Maybe(Adapter):
    """A value that may be missing: a list of none or one."""

    def _decode(self, value: Any, context: Any, path: Any) -> Any:
        if len(value) > 1:
            raise ConstructError(f"{len(value)} values where at most one can be")
        return value[0] if value else None

    def _encode(self, value: Any, context: Any, path: Any) -> Any:
        return [] if value is None else [value]


TEXT = Prefixed(Int32ul, GreedyBytes)
MAYBE_TEXT = Maybe(PrefixedArray(Byte, TEXT))

ROW = Struct(
    "number" / Int64ul,  # in the table of open rows
    "stamp" / Int64sl,
    "depth" / Int64ul,
    "status" / Maybe(PrefixedArray(Byte, Int16ul)),
    "infoCode" / Maybe(PrefixedArray(Byte, Int16ul)),
    "requestLength" / Int64ul,
    "responseLength" / Int64ul,
    "proxied" / Maybe(PrefixedArray(Byte, PrefixedArray(Byte, TEXT))),
    "texts" / Array(len(_ROW_TEXTS), MAYBE_TEXT),
)

PAIRING = Struct(
    "format" / Const(VERSION, Int8ul),
    "request" / Int64ul * "number of the request in progress or last",
    "response" / Int64ul * "the same of the reply",
    "depth" / Int64ul * "how many rows were begun",
    "rows" / PrefixedArray(Byte, ROW),
    Terminated,
)

_COUNTS = struct.Struct("<BQQQB")
_ROW_HEAD, _ROW_SIZES, _CODE = struct.Struct("<QqQ"), struct.Struct("<QQ"), struct.Struct("<H")


def packRows(counts: tuple[int, int, int], rows: dict[int, OpenRow]) -> bytes:
    """The bytes of open rows by number, and numbers of request, reply and depth (by hand: there are thousands)."""
    parts = [_COUNTS.pack(VERSION, *counts, len(rows))]
    for number, row in rows.items():
        _fromRow(number, row, parts)
    return b"".join(parts)


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


def unpackRows(data: bytes) -> tuple[tuple[int, int, int], dict[int, OpenRow]]:
    """
    The inverse of L{packRows}.

    @raise OperationError: C{BAD_REQUEST}, these are no such bytes.
    """
    reader, rows = Reader(data, "the open rows of http.log"), dict[int, OpenRow]()
    version, request, response, depth, count = reader.numbers(_COUNTS)
    reader.check(version == VERSION, "format")
    reader.check(max(request, response, depth) < MOST_COUNTED, "number of a row")
    reader.check(count <= MOST_ROWS, "number of rows")
    for _ in range(count):
        number, stamp, begun = reader.numbers(_ROW_HEAD)
        reader.check(number not in rows and max(number, begun) < MOST_COUNTED, "number of a row")
        rows[number] = _toRow(reader, OpenRow(stamp, begun))
    reader.end()
    return (request, response, depth), rows


def _toRow(reader: Reader, row: OpenRow) -> OpenRow:
    row.status, row.infoCode = _toCode(reader), _toCode(reader)
    row.requestLength, row.responseLength = reader.numbers(_ROW_SIZES)
    if reader.present():
        count = reader.octet()
        reader.check(count <= MOST_PROXIED, "number of header fields")
        row.proxied = tuple(reader.text() for _ in range(count))
    for name in _ROW_TEXTS:
        value = reader.maybeText()
        reader.check(value is None or len(value) <= MOST_BYTES, "length of a text")
        setattr(row, name, value)
    return row


def _toCode(reader: Reader) -> int | None:
    if not reader.present():
        return None
    (code,) = reader.numbers(_CODE)
    reader.check(code <= 999, "status")
    return int(code)
