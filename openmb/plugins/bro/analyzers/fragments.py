"""
Puts one handshake message of DTLS together from fragments.

As Zeek does it: by the sequence numbers of the records, not by the bytes that are there; one message at a time, at most
31 records, in any order.
"""

from __future__ import annotations

from typing import Any, Self

from construct import BytesInteger, Check, Flag, GreedyBytes, Int16ul, Int32ul, Prefixed, Struct, this

from openmb.plugins.bro.analyzers.datagrams import Malformed

_LONGEST = 16384
_MOST = 30
_WORD = 0xFFFFFFFF

#: The layout of L{Fragments}.
FRAGMENTS = Struct(
    "active" / Flag * "a message was begun",
    "first" / BytesInteger(6, swapped=True) * "smallest sequence number of its records",
    "beginSeen" / Flag * "the one with its first byte was seen",
    "last" / BytesInteger(6, swapped=True) * "the sequence number of the one with its last byte, 0: not seen",
    "number" / Int16ul * "of the message",
    "seen" / Int32ul * "bits: the sequence numbers from the first on that were seen",
    "buffer" / Prefixed(Int16ul, GreedyBytes) * "the message, as long as it says it is",
    Check(lambda context: len(context.buffer) <= _LONGEST),
    Check(this.active | (this.buffer == b"")),
)


class Fragments:
    """The message of one direction."""

    __slots__ = ("_active", "_beginSeen", "_buffer", "_first", "_last", "_number", "_seen")

    def __init__(self) -> None:
        self._active = self._beginSeen = False
        self._first = self._last = self._number = self._seen = 0
        self._buffer = bytearray()

    def add(self, sequence: int, number: int, length: int, offset: int, size: int, data: bytes) -> bytes | None:
        """
        A fragment came.

        @param sequence: of its record. C{number}: of its message. C{length}: of the message.
        @param offset: of the fragment, which says that it has C{size} bytes.
        @return: the message, if it is complete with this fragment.
        @raise Malformed: the fragment cannot be right.
        """
        if length > _LONGEST:
            raise Malformed
        if not self._active or self._number != number or len(self._buffer) != length:
            self._begin(sequence, number, length)
        if sequence < self._first:
            self._beginEarlier(sequence)
        self._beginSeen = self._beginSeen or offset == 0
        bit = 1 << ((sequence - self._first) & 31)
        if self._seen & bit:
            return None
        if len(data) != size or offset + size > length:
            raise Malformed
        self._seen |= bit
        self._buffer[offset : offset + size] = data
        if offset + size == length:
            self._last = sequence
        return bytes(self._buffer) if self._isComplete() else None

    def _begin(self, sequence: int, number: int, length: int) -> None:
        self._active, self._beginSeen = True, False
        self._first, self._last, self._number, self._seen = sequence, 0, number, 0
        self._buffer = bytearray(length)

    def _beginEarlier(self, sequence: int) -> None:
        if self._beginSeen:
            raise Malformed
        self._seen = self._seen << ((self._first - sequence) & 31) & _WORD
        self._first = sequence

    def _isComplete(self) -> bool:
        if not self._last or not self._beginSeen:
            return False
        total = self._last - self._first
        if not 0 <= total <= _MOST:
            raise Malformed
        needed = (2 << total) - 1
        return self._seen & needed == needed

    def values(self) -> dict[str, Any]:
        """What L{FRAGMENTS} builds."""
        return {
            "active": self._active,
            "first": self._first,
            "beginSeen": self._beginSeen,
            "last": self._last,
            "number": self._number,
            "seen": self._seen,
            "buffer": bytes(self._buffer),
        }

    @classmethod
    def of(cls, parsed: Any) -> Self:
        """The inverse of L{values}; C{parsed} by L{FRAGMENTS}."""
        fragments = cls()
        fragments._active, fragments._beginSeen = bool(parsed["active"]), bool(parsed["beginSeen"])
        fragments._first, fragments._last = int(parsed["first"]), int(parsed["last"])
        fragments._number, fragments._seen = int(parsed["number"]), int(parsed["seen"])
        fragments._buffer = bytearray(parsed["buffer"])
        return fragments
