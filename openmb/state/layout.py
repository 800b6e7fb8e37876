"""
Record layouts: one construct declaration gives the bytes on the wire, the numpy dtype of a table, and its description.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import construct
import numpy as np
from numpy.typing import NDArray

from openmb.state.taxonomy import Cell


class UnsupportedConstruct(TypeError):
    """A declaration uses what has no fixed place in a table."""


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """
    One kind of record.

    @ivar cell: the cell its records belong to.
    @ivar identifier: unique within the kind of middlebox; travels with every batch.
    @ivar version: raised with every change of the declaration.
    @ivar name: for people.
    @ivar struct: the fixed-size part: little-endian integers and floats, bytes, arrays, nested structs, padding.
    @ivar tail: the variable part of each record, None if there is none.
    @ivar dtype: the fixed-size part for numpy: packed, the same bytes.
    """

    cell: Cell
    identifier: int
    version: int
    name: str
    struct: construct.Struct
    tail: construct.Construct | None = None
    dtype: np.dtype[Any] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", _structType(self.struct))

    @property
    def names(self) -> tuple[Cell, int, int]:
        """Cell, identifier and version: what a batch of such records says of itself."""
        return self.cell, self.identifier, self.version

    @property
    def size(self) -> int:
        """Bytes of the fixed-size part."""
        return int(self.dtype.itemsize)

    def rows(self, octets: NDArray[np.uint8]) -> NDArray[Any]:
        """
        C{uint8[n, size]} as C{dtype[n]}.

        @raise ValueError: the records are of another size.
        """
        if octets.ndim != 2 or octets.shape[1] != self.size:
            raise ValueError(f"{self.name}: records of shape {octets.shape} where n x {self.size} is due")
        return np.ascontiguousarray(octets).view(self.dtype).reshape(len(octets))

    def document(self) -> str:
        """A markdown table: offset, size, type, name and meaning of each field."""
        lines = ["| offset | size | type | name | meaning |", "|---:|---:|---|---|---|"]
        for offset, part, name, meaning in _walk(self.struct, 0, ""):
            lines.append(f"| {offset} | {part.sizeof()} | {_typeText(part)} | {name} | {meaning} |")
        if self.tail is not None:
            lines.append(f"| {self.size} | varies | tail | | {_oneLine(self.tail.docs)} |")
        return "\n".join(lines) + "\n"


def _bare(part: Any) -> Any:
    """The construct below its names."""
    while isinstance(part, construct.Renamed):
        part = part.subcon
    return part


def _isPadding(part: Any) -> bool:
    return isinstance(part, construct.Padded) and isinstance(part.subcon, type(construct.Pass))


def _type(part: Any) -> Any:
    """What C{np.dtype} takes for one construct."""
    part = _bare(part)
    if isinstance(part, construct.FormatField):
        return _formatType(part)
    if isinstance(part, construct.Struct):
        return _structType(part)
    if isinstance(part, construct.Bytes) or _isPadding(part):
        return np.dtype((np.uint8, (_fixed(part.length),)))
    if isinstance(part, construct.Array):
        return np.dtype((_type(part.subcon), (_fixed(part.count),)))
    raise UnsupportedConstruct(f"{part} has no fixed place in a table")


def rowType(*layouts: RecordLayout) -> np.dtype[Any]:
    """The fixed parts of several layouts side by side, unaligned, as their bytes lie: one row of a table."""
    names: list[str] = []
    formats: list[Any] = []
    offsets: list[int] = []
    base = 0
    for layout in layouts:
        for name, place in (layout.dtype.fields or {}).items():
            names.append(name)
            formats.append(place[0])
            offsets.append(base + int(place[1]))
        base += layout.size
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": base})


def _formatType(part: Any) -> np.dtype[Any]:
    if part.fmtstr[0] != "<" and part.length > 1:
        raise UnsupportedConstruct(f"{part}: numbers are little-endian (Int32ul, Float64l)")
    made: np.dtype[Any] = np.dtype("<" + part.fmtstr[1:].translate(_NUMPY_CODES))
    return made


#: struct's codes for 4-byte integers are numpy's for 8-byte ones, where longs are long.
_NUMPY_CODES = {ord("L"): "I", ord("l"): "i"}


def _fixed(number: Any) -> int:
    if not isinstance(number, int):
        raise UnsupportedConstruct("a length that depends on other fields has no fixed place in a table")
    return number


def _structType(struct: construct.Struct) -> np.dtype[Any]:
    """The packed dtype with the fields of C{struct}; nameless padding leaves a gap."""
    names, formats, offsets, offset = [], [], [], 0
    for part in struct.subcons:
        if part.name is not None:
            names.append(part.name)
            formats.append(_type(part))
            offsets.append(offset)
        elif not _isPadding(_bare(part)):
            raise UnsupportedConstruct(f"a nameless {_typeText(part)} in a record")
        offset += part.sizeof()
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": offset})


def _walk(struct: Any, offset: int, prefix: str) -> Iterator[tuple[int, Any, str, str]]:
    """Offset, construct, full name and meaning of every field; those of structs in arrays as in their first element."""
    for part in struct.subcons:
        name = f"{prefix}{part.name}" if part.name else "(padding)"
        yield offset, part, name, _oneLine(part.docs)
        inner = _bare(part)
        while isinstance(inner, construct.Array):
            inner, name = _bare(inner.subcon), f"{name}[]"
        if isinstance(inner, construct.Struct):
            yield from _walk(inner, offset, f"{name}.")
        offset += part.sizeof()


def _oneLine(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _typeText(part: Any) -> str:
    """A type for people: C{uint32}, C{bytes}, C{uint16 x 3}."""
    part = _bare(part)
    if isinstance(part, construct.FormatField):
        return str(_formatType(part).name)
    if isinstance(part, construct.Array):
        return f"{_typeText(part.subcon)} x {part.count}"
    if _isPadding(part):
        return "padding"
    return type(part).__name__.lower()
