"""
The codes of deflate streams (RFC 1951, section 3.2): tables that tell what the next bits mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Bits that a table takes at once; longer codes are looked up bit by bit.
WIDE, NARROW, TINY = 10, 8, 7
#: Where in the array of canonical codes each of the three codes begins: 16 counts, then symbols.
OF_LITERALS, OF_DISTANCES, OF_SMALL, _NEXT_CODE, _NEXT_PLACE, CANON = 0, 304, 352, 387, 403, 419

# What symbols mean: bits 4-7 extra bits, 8-23 base, 24 up: 0 a literal or distance, 1 a length, 2 end, 3 nothing
_MEANS_LENGTH, _MEANS_END, _MEANS_NOTHING = 1 << 24, 2 << 24, 3 << 24


def _literalMeanings() -> NDArray[np.int64]:
    meanings = np.zeros(288, np.int64)
    meanings[256], meanings[285], meanings[286:] = _MEANS_END, _MEANS_LENGTH | 258 << 8, _MEANS_NOTHING
    base = 3
    for symbol in range(257, 285):
        extra = max((symbol - 261) // 4, 0)
        meanings[symbol] = _MEANS_LENGTH | base << 8 | extra << 4
        base += 1 << extra
    return meanings


def _distanceMeanings() -> NDArray[np.int64]:
    meanings = np.full(32, _MEANS_NOTHING, np.int64)
    base = 1
    for symbol in range(30):
        extra = max(symbol // 2 - 1, 0)
        meanings[symbol] = base << 8 | extra << 4
        base += 1 << extra
    return meanings


OF_LITERAL, OF_DISTANCE = _literalMeanings(), _distanceMeanings()
OF_TINY = np.arange(19, dtype=np.int64) << 8


@njit(cache=True)
def build(lengths: Any, start: int, number: int, table: Any, width: int, canon: Any, at: int, meanings: Any) -> int:
    """Tables of one code; returns its longest code, -1: the lengths are those of no code."""
    for place in range(16):
        canon[at + place] = 0
    for symbol in range(number):
        canon[at + np.int64(lengths[start + symbol] & 15)] += 1
    canon[at] = 0
    left, longest = 1, 0
    for size in range(1, 16):
        left = (left << 1) - canon[at + size]
        if left < 0:
            return -1
        if canon[at + size] > 0:
            longest = size
    if left > 0 and longest > 1:
        return -1
    table[: 1 << width] = 0
    code, place = 0, at + 16
    for size in range(1, 16):
        code <<= 1
        canon[_NEXT_CODE + size], canon[_NEXT_PLACE + size] = code, place
        code += canon[at + size]
        place += canon[at + size]
    for symbol in range(number):
        length = np.int64(lengths[start + symbol] & 15)
        if length == 0:
            continue
        code = canon[_NEXT_CODE + length]
        canon[_NEXT_CODE + length] += 1
        canon[canon[_NEXT_PLACE + length]] = symbol
        canon[_NEXT_PLACE + length] += 1
        if length <= width:
            turned = 0
            for _ in range(length):
                turned = turned << 1 | code & 1
                code >>= 1
            for entry in range(turned, 1 << width, 1 << length):
                table[entry] = meanings[symbol] | length
    return longest


@njit(cache=True)
def look(bits: int, count: int, canon: Any, at: int) -> int:
    """The symbol whose code comes next, shifted by 4, and its length; -1: more bits are needed; -2: no such code."""
    code, first, place = 0, 0, at + 16
    for size in range(1, 16):
        if size > count:
            return -1
        code |= bits & 1
        bits >>= 1
        number = canon[at + size]
        if code - number < first:
            return int((canon[place + code - first] << 4) | size)
        place += number
        first = (first + number) << 1
        code <<= 1
    return -2
