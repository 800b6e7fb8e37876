"""
The building blocks of the message formats.

They are constructs of our own for two reasons: construct's compiled C{Bytes} and C{Prefixed} do not notice that the
input ended, and its C{Enum} lets unknown values pass.  Each carries a C{notation} for the byte tables.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from construct import (
    Bytes,
    Const,
    Construct,
    Float64l,
    FormatField,
    Int8ul,
    Int16ul,
    Int64sl,
    Renamed,
    Struct,
    ValidationError,
    stream_read,
    stream_write,
)

from openmb.state.announcements import TEXT_LIMIT, Datum

#: Names of middleboxes, controllers and kinds.  The first character keeps C{..} and the like out of file names.
NAME_PATTERN = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]*")
NAME_LIMIT = 64
KIND_LIMIT = 32
FLOWS_LIMIT = 1024
REASON_LIMIT = 1024


class Exact(Bytes):
    """So many bytes, no fewer (compiled construct would take fewer)."""

    @property
    def notation(self) -> str:
        return f"bytes[{self.length}]"

    def _emitparse(self, code: Any) -> str:
        raise NotImplementedError  # construct's own way to say: call _parse, which checks the length

    def _emitbuild(self, code: Any) -> str:
        raise NotImplementedError  # likewise

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        if len(obj) != self.length:
            raise ValidationError(f"{len(obj)} bytes where {self.length} are needed", path)
        return super()._build(obj, stream, context, path)


class Text(Construct):
    """UTF-8 behind its length in bytes; at most C{limit} bytes.  With C{clip} the sender cuts longer texts."""

    def __init__(
        self, count: FormatField, limit: int, pattern: re.Pattern[str] | None = None, clip: bool = False
    ) -> None:
        super().__init__()
        self._count, self._limit, self._pattern, self._clip = count, limit, pattern, clip
        self.notation = f"{notationOf(count)} length ≤ {limit}, UTF-8"

    def _parse(self, stream: Any, context: Any, path: str) -> str:
        length = self._count._parse(stream, context, path)
        if length > self._limit:
            raise ValidationError(f"text of {length} bytes where {self._limit} are allowed", path)
        return self._checked(stream_read(stream, length, path).decode("utf-8"), path)

    def _build(self, obj: str, stream: Any, context: Any, path: str) -> str:
        data = self._checked(obj, path).encode("utf-8")
        if self._clip:
            data = data[: self._limit].decode("utf-8", "ignore").encode("utf-8")
        if len(data) > self._limit:
            raise ValidationError(f"text of {len(data)} bytes where {self._limit} are allowed", path)
        self._count._build(len(data), stream, context, path)
        stream_write(stream, data, len(data), path)
        return obj

    def _checked(self, text: str, path: str) -> str:
        if self._pattern is not None and not self._pattern.fullmatch(text):
            raise ValidationError(f"{text!r} is not a name", path)
        return text


class Checked(Construct):
    """An integer of which only some values are legal."""

    def __init__(self, count: FormatField) -> None:
        super().__init__()
        self._count = count

    def _legal(self, value: int) -> Any:
        """@raise ValueError: C{value} is not legal."""
        return value

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        return self._legal(self._count._parse(stream, context, path))

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self._count._build(int(self._legal(obj)), stream, context, path)
        return obj

    def _sizeof(self, context: Any, path: str) -> int:
        return int(self._count.sizeof())


class OneOf(Checked):
    """A member of an enumeration; other numbers are errors."""

    def __init__(self, count: FormatField, members: type[enum.IntEnum]) -> None:
        super().__init__(count)
        self._members = {int(member): member for member in members}
        self.notation = f"{notationOf(count)}, {members.__name__}"

    def _legal(self, value: int) -> enum.IntEnum:
        if value not in self._members:
            raise ValueError(f"{value} is not one of the values of {self.notation}")
        return self._members[value]


class Truth(Checked):
    """0 or 1."""

    notation = "u8, 0 or 1"

    def _legal(self, value: int) -> bool:
        if value not in (0, 1):
            raise ValueError(f"{value} is neither 0 nor 1")
        return bool(value)


class Finite(Construct):
    """A number with a fraction; neither infinite nor undefined."""

    notation = "f64, finite"

    def __init__(self, number: FormatField) -> None:
        super().__init__()
        self._number = number

    def _checked(self, value: float, path: str) -> float:
        if not math.isfinite(value):
            raise ValidationError(f"{value} is not finite", path)
        return value

    def _parse(self, stream: Any, context: Any, path: str) -> float:
        return self._checked(self._number._parse(stream, context, path), path)

    def _build(self, obj: float, stream: Any, context: Any, path: str) -> float:
        self._number._build(self._checked(obj, path), stream, context, path)
        return obj


class FrameNumber(Checked):
    """The number of a stream frame, or -1 for none."""

    notation = "i64, -1 for none"

    def _legal(self, value: int) -> int:
        if value < -1:
            raise ValueError(f"{value} is not the number of a frame")
        return value


class Value(Construct):
    """One frozen dataclass; its fields in the order of the struct."""

    def __init__(self, message: type[Any], struct: Struct) -> None:
        super().__init__()
        self.message, self.struct = message, struct
        self.notation = message.__name__
        self._compiled = struct.compile()
        self._names = tuple(field.name for field in fields(message))

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        parsed = self._compiled._parse(stream, context, path)
        return self.message(*(parsed[name] for name in self._names))

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self._compiled._build({name: getattr(obj, name) for name in self._names}, stream, context, path)
        return obj

    def _sizeof(self, context: Any, path: str) -> int:
        return int(self.struct.sizeof())


class Many(Construct):
    """A tuple of items behind their count; at most C{limit} of them."""

    def __init__(self, count: FormatField, item: Construct, limit: int | None = None) -> None:
        super().__init__()
        self._count, self.item, self._limit = count, item, limit
        self.notation = f"{notationOf(count)} count{'' if limit is None else f' ≤ {limit}'}, {notationOf(item)} each"

    def _check(self, count: int, path: str) -> None:
        if self._limit is not None and count > self._limit:
            raise ValidationError(f"{count} items where {self._limit} are allowed", path)

    def _parse(self, stream: Any, context: Any, path: str) -> tuple[Any, ...]:
        count = self._count._parse(stream, context, path)
        self._check(count, path)
        return tuple(self.item._parse(stream, context, path) for _ in range(count))

    def _build(self, obj: Sequence[Any], stream: Any, context: Any, path: str) -> Sequence[Any]:
        self._check(len(obj), path)
        self._count._build(len(obj), stream, context, path)
        for item in obj:
            self.item._build(item, stream, context, path)
        return obj


class AnyDatum(Construct):
    """
    A value of an introspection event behind a byte that says its type.

    0: unset, 1: i64, 2: f64 (finite), 3: u8 (0 or 1), 4: UTF-8 behind its length in a u16.
    """

    notation = "Datum"

    def __init__(self) -> None:
        super().__init__()
        self._forms: dict[type, tuple[int, Construct]] = {
            int: (1, Int64sl),
            float: (2, Finite(Float64l)),
            bool: (3, Truth(Int8ul)),
            str: (4, Text(Int16ul, TEXT_LIMIT, clip=True)),
        }
        self._types: dict[int, Construct] = dict(self._forms.values())

    def _parse(self, stream: Any, context: Any, path: str) -> Datum:
        tag = Int8ul._parse(stream, context, path)
        if tag == 0:
            return None
        if tag not in self._types:
            raise ValidationError(f"{tag} is not the type of a value", path)
        value: Datum = self._types[tag]._parse(stream, context, path)
        return value

    def _build(self, obj: Datum, stream: Any, context: Any, path: str) -> Datum:
        if obj is None:
            Int8ul._build(0, stream, context, path)
            return obj
        if type(obj) not in self._forms:
            raise ValidationError(f"{obj!r} is no value of an event", path)
        tag, form = self._forms[type(obj)]
        Int8ul._build(tag, stream, context, path)
        form._build(obj, stream, context, path)
        return obj


_SCALARS = {"B": "u8", "H": "u16", "L": "u32", "Q": "u64", "q": "i64"}


def notationOf(field: Construct) -> str:
    """How a table of the protocol's page names the type of C{field}."""
    while isinstance(field, Renamed | Const):
        field = field.subcon
    if isinstance(field, FormatField):
        return _SCALARS[field.fmtstr[-1]]
    return str(getattr(field, "notation", "bytes"))
