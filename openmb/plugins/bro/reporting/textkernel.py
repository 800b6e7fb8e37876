"""
Kernels that write the fields of a row as text: numbers, times, addresses, names.

Each writes into C{out} from C{place} on and gives the place behind; the caller has made sure that there is room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.tracking.numbers import INNER, Number

#: Bytes that a 64-bit number, a time and an address take at most.
LONGEST_NUMBER, LONGEST_TIME, LONGEST_ADDRESS = 20, 21, 39

_TEN = np.uint64(10)
_MILLION = np.uint64(1_000_000)
_MAPPED = np.uint64(0xFFFF)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_DOT, _COLON, _MINUS = np.uint8(ord(".")), np.uint8(ord(":")), np.uint8(ord("-"))


def nameTable(names: Sequence[str]) -> NDArray[np.uint8]:
    """Names for L{putName}: C{uint8[n, w]}, each after its length."""
    table = np.zeros((len(names), 1 + max(map(len, names))), np.uint8)
    for row, name in zip(table, names, strict=True):
        row[0] = len(name)
        row[1 : 1 + len(name)] = np.frombuffer(name.encode("ascii"), np.uint8)
    return table


@njit(**INNER)
def putName(out: NDArray[np.uint8], place: Number, names: NDArray[np.uint8], which: Number) -> Number:
    """Write one name of a table."""
    length = np.int64(names[which, 0])
    for i in range(length):
        out[place + i] = names[which, 1 + i]
    return place + length


@njit(**INNER)
def _putDigits(out: NDArray[np.uint8], place: Number, number: Any, least: Number) -> Number:
    """Write C{number: uint64} in decimal, with zeros before it up to C{least} digits."""
    count, rest = np.int64(1), number // _TEN
    while rest != np.uint64(0):
        count += 1
        rest = rest // _TEN
    count = max(count, np.int64(least))
    for i in range(count):
        out[place + count - 1 - i] = np.uint8(np.uint64(48) + number % _TEN)
        number = number // _TEN
    return place + count


@njit(**INNER)
def putNumber(out: NDArray[np.uint8], place: Number, number: Any) -> Number:
    """Write C{number: uint64} in decimal."""
    return _putDigits(out, place, number, np.int64(1))


@njit(**INNER)
def putSeconds(out: NDArray[np.uint8], place: Number, microseconds: Any) -> Number:
    """Write C{microseconds: uint64} as seconds with six decimals."""
    place = _putDigits(out, place, microseconds // _MILLION, np.int64(1))
    out[place] = _DOT
    return _putDigits(out, place + 1, microseconds % _MILLION, np.int64(6))


@njit(**INNER)
def putTime(out: NDArray[np.uint8], place: Number, microseconds: Number) -> Number:
    """Write a time, C{int64}."""
    if microseconds < 0:
        out[place] = _MINUS
        return putSeconds(out, place + 1, np.uint64(0) - np.uint64(microseconds))
    return putSeconds(out, place, np.uint64(microseconds))


@njit(**INNER)
def _group(high: Any, low: Any, index: Number) -> Any:
    """One of the eight groups of an IPv6 address."""
    word = high if index < 4 else low
    return (word >> np.uint64(16 * (3 - index % 4))) & np.uint64(0xFFFF)


@njit(**INNER)
def _longestZeros(high: Any, low: Any) -> tuple[Number, Number]:
    """The first of the longest runs of groups that are zero: where it begins, and how long it is."""
    best, longest, run = np.int64(0), np.int64(0), np.int64(0)
    for index in range(8):
        if _group(high, low, index) == np.uint64(0):
            run += 1
            if run > longest:
                best, longest = index - run + 1, run
        else:
            run = np.int64(0)
    return best, longest


@njit(**INNER)
def _putGroup(out: NDArray[np.uint8], place: Number, value: Any) -> Number:
    """Write a group of an IPv6 address, without zeros before it."""
    shift = np.int64(12)
    while shift > 0 and value >> np.uint64(shift) == np.uint64(0):
        shift -= 4
    while shift >= 0:
        out[place] = _HEX[(value >> np.uint64(shift)) & np.uint64(15)]
        place += 1
        shift -= 4
    return place


@njit(**INNER)
def _putSix(out: NDArray[np.uint8], place: Number, high: Any, low: Any) -> Number:
    """Write an IPv6 address as RFC 5952 has it."""
    best, longest = _longestZeros(high, low)
    if longest < 2:
        best = np.int64(9)
    index = np.int64(0)
    while index < 8:
        if index == best:
            out[place] = _COLON
            out[place + 1] = _COLON
            place += 2
            index += longest
            continue
        if index > 0 and index != best + longest:
            out[place] = _COLON
            place += 1
        place = _putGroup(out, place, _group(high, low, index))
        index += 1
    return place


@njit(**INNER)
def putAddress(out: NDArray[np.uint8], place: Number, high: Any, low: Any) -> Number:
    """Write an address; a mapped one as IPv4."""
    if high != np.uint64(0) or low >> np.uint64(32) != _MAPPED:
        return _putSix(out, place, high, low)
    for shift in range(24, -1, -8):
        place = putNumber(out, place, (low >> np.uint64(shift)) & np.uint64(0xFF))
        if shift > 0:
            out[place] = _DOT
            place += 1
    return place
