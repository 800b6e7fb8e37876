"""
Log files as Zeek writes them: tab-separated values with a header, or one JSON object a line.

The formats; C{openmb.plugins.bro.reporting.logfile} is the file.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: Microseconds for time and interval; text as it is; bytes of unknown content are escaped; tuples for sets and vectors.
Scalar = int | str | bytes | bool | None
Value = Scalar | tuple[Scalar, ...]

_UNSET, _EMPTY = "-", "(empty)"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\\]")
#: What makes a JSON string be written byte by byte, and what never stands there as it is.
_UNFIT = re.compile("[\x80-\x9f\ue000-\uf8ff\ufff0-\uffff]")
_UNPRINTABLE = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")
#: Bytes that stand for themselves, and two values that must not.
_PLAIN, _SPECIAL = re.compile(rb"[ -\[\]-~]+"), (b"-", b"(empty)")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name and Zeek's type."""

    name: str
    type: str


def _hex(match: re.Match[str]) -> str:
    text = match.group()
    return "\\\\" if text == "\\" else f"\\x{ord(text):02x}"


def readable(data: bytes) -> str:
    """Bytes as text: valid UTF-8 without control characters as it is, otherwise every odd byte as C{\\xHH}."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if (data and not text) or _CONTROL.search(text):
        return "".join(_hexByte(byte) for byte in data)
    return text.replace("\\", "\\\\")


def jsonText(data: bytes) -> str:
    """
    Bytes as the text of a JSON string, before JSON's own escapes: backslashes and line ends are themselves.

    Valid UTF-8 without control characters, private and special ones as it is, otherwise every byte from 128 on as
    C{\\xHH}, as Zeek's formatter has it; ASCII control characters without an escape of their own in JSON always so.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if (data and not text) or _UNFIT.search(text):
        text = data.decode("ascii", "backslashreplace")
    return _UNPRINTABLE.sub(_hex, text)


def _hexByte(byte: int) -> str:
    if byte == 0x5C:
        return "\\\\"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def seconds(microseconds: int) -> str:
    """Fixed point with six decimals."""
    if microseconds < 0:
        return "-" + seconds(-microseconds)
    return f"{microseconds // _MILLION}.{microseconds % _MILLION:06d}"


def fieldText(value: Value, kind: str) -> str:
    """One field of a tab-separated row."""
    if value is None:
        return _UNSET
    if isinstance(value, tuple):
        inner = innerKind(kind)
        return ",".join(elementText(fieldText(each, inner)) for each in value) or _EMPTY
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int):
        return seconds(value) if kind in ("time", "interval") else str(value)
    text = readable(value) if isinstance(value, bytes) else _ESCAPED.sub(_hex, value)
    if text in (_UNSET, _EMPTY):
        return f"\\x{ord(text[0]):02x}{text[1:]}"
    return text or _EMPTY


def innerKind(kind: str) -> str:
    """The type of the elements of a C{set[...]} or C{vector[...]}."""
    return kind.partition("[")[2][:-1]


def elementText(text: str) -> str:
    """A field as an element of a set or vector: commas would end it."""
    return text.replace(",", "\\x2c")


def _severalText(kind: str) -> Callable[[Any], str]:
    """What makes the fields of a column of sets or vectors."""
    return lambda value: fieldText(value, kind) if value else _EMPTY


def _anyText(value: Any) -> str:
    """Text that may have to be escaped."""
    if isinstance(value, bytes):
        if _PLAIN.fullmatch(value) and value not in _SPECIAL:
            return value.decode("ascii")
    elif isinstance(value, str) and value.isalnum() and value.isascii():
        return value
    return fieldText(value, "string")


def _truthText(value: Any) -> str:
    return "T" if value else "F"


#: What makes the field, for columns whose values need no escaping; never called with None.
_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "time": seconds,
    "interval": seconds,
    "bool": _truthText,
    "count": str,
    "port": str,
    "addr": str,
    "enum": str,
}


class TSVFormat:
    """Zeek's default format."""

    def __init__(self, path: str, columns: tuple[Column, ...]) -> None:
        self._path, self._columns = path, columns
        self._texts = [
            _severalText(column.type) if "[" in column.type else _TEXTS.get(column.type, _anyText) for column in columns
        ]

    def header(self, now: float) -> str:
        """What stands before the rows."""
        lines = [
            "#separator \\x09",
            "#set_separator\t,",
            f"#empty_field\t{_EMPTY}",
            f"#unset_field\t{_UNSET}",
            f"#path\t{self._path}",
            f"#open\t{stampText(now)}",
            "#fields\t" + "\t".join(column.name for column in self._columns),
            "#types\t" + "\t".join(column.type for column in self._columns),
        ]
        return "\n".join(lines) + "\n"

    def row(self, values: list[Value]) -> str:
        """One row."""
        texts = self._texts
        fields = [_UNSET if value is None else text(value) for text, value in zip(texts, values, strict=True)]
        line = "\t".join(fields)
        return f"\\x23{line[1:]}\n" if line.startswith("#") else line + "\n"

    def footer(self, now: float) -> str:
        """What stands after the rows."""
        return f"#close\t{stampText(now)}\n"


class JSONFormat:
    """One object a line, unset fields left out."""

    def __init__(self, path: str, columns: tuple[Column, ...]) -> None:
        self._columns = columns

    def header(self, now: float) -> str:
        """Nothing."""
        return ""

    def row(self, values: list[Value]) -> str:
        """One row."""
        parts = [
            f"{json.dumps(column.name)}:{self._text(value, column.type)}"
            for value, column in zip(values, self._columns, strict=True)
            if value is not None
        ]
        return "{" + ",".join(parts) + "}\n"

    @classmethod
    def _text(cls, value: Value, kind: str) -> str:
        if isinstance(value, tuple):
            return "[" + ",".join(cls._text(each, innerKind(kind)) for each in value) + "]"
        if isinstance(value, int) and not isinstance(value, bool) and kind in ("time", "interval"):
            return seconds(value)
        return json.dumps(jsonText(value) if isinstance(value, bytes) else value, ensure_ascii=False)

    def footer(self, now: float) -> str:
        """Nothing."""
        return ""


def stampText(now: float) -> str:
    """Local time as it stands in headers and names."""
    return time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(now))
