"""
Reads and writes the small parts of dumps: what C{construct} declares, by hand where there are thousands a second.
"""

from __future__ import annotations

import struct
from typing import Any

from construct import ConstructError, Struct

from openmb.errors import OperationError, Refusal

_LENGTH = struct.Struct("<L")


class Reader:
    """
    Bytes from the first to the last.

    Every method raises L{OperationError} (C{BAD_REQUEST}) where the bytes end too early or make no sense.

    @param what: what the bytes should be, for errors.
    """

    __slots__ = ("_data", "_place", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._place, self._what = data, 0, what

    def check(self, holds: bool, what: str) -> None:
        """Refuse the bytes unless C{holds}."""
        if not holds:
            raise OperationError(Refusal.BAD_REQUEST, f"not {self._what}: {what} out of range")

    def numbers(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Fixed fields."""
        place = self._place
        self._place = place + layout.size
        self.check(self._place <= len(self._data), "length")
        return layout.unpack_from(self._data, place)

    def octet(self) -> int:
        """One byte."""
        place = self._place
        self.check(place < len(self._data), "length")
        self._place = place + 1
        return self._data[place]

    def text(self) -> bytes:
        """Bytes with their length before them."""
        (length,) = self.numbers(_LENGTH)
        place = self._place
        self._place = place + length
        self.check(self._place <= len(self._data), "length")
        return self._data[place : self._place]

    def present(self) -> bool:
        """Does a value follow, that may be missing?"""
        count = self.octet()
        self.check(count <= 1, "number of values")
        return bool(count)

    def maybeText(self) -> bytes | None:
        """A text or nothing."""
        return self.text() if self.present() else None

    def end(self) -> None:
        """Nothing may follow."""
        self.check(self._place == len(self._data), "length")


def text(value: bytes | bytearray) -> bytes:
    """The inverse of L{Reader.text}."""
    return _LENGTH.pack(len(value)) + value


def maybeText(value: bytes | bytearray | None) -> bytes:
    """The inverse of L{Reader.maybeText}."""
    return b"\0" if value is None else b"\1" + _LENGTH.pack(len(value)) + value


def parsed(layout: Struct[Any, Any], data: bytes, what: str) -> Any:
    """
    What C{data} says.

    @raise OperationError: C{BAD_REQUEST}, nothing of that layout.
    """
    try:
        return layout.parse(data)
    except ConstructError as error:
        raise OperationError(Refusal.BAD_REQUEST, f"not the state of {what}: {error}") from error


def check(holds: bool, what: str) -> None:
    """
    Refuse a dump.

    @raise OperationError: C{BAD_REQUEST}, unless C{holds}.
    """
    if not holds:
        raise OperationError(Refusal.BAD_REQUEST, f"not the state of {what}: a field is out of range")
