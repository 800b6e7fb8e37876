"""
The kernel that reads deflate streams (RFC 1950 to 1952): it can stop and go on at every byte.

Whatever the bytes, it never reaches beyond its arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.packets.loads import loadLittle64, sourceOf
from openmb.plugins.bro.analyzers.http.codes import (
    NARROW,
    OF_DISTANCE,
    OF_DISTANCES,
    OF_LITERAL,
    OF_LITERALS,
    OF_SMALL,
    OF_TINY,
    TINY,
    WIDE,
    build,
    look,
)

#: What comes next in a stream.
(
    _WRAPPER,
    _GZIP,
    _EXTRA_SIZE,
    _EXTRA,
    _NAME,
    _COMMENT,
    _CHECKSUM,
    _BLOCK,
    _STORED_SIZE,
    _STORED,
    _TABLE,
    SMALL,
    _LENGTHS,
    _CODES,
    OVER,
) = range(15)

#: The numbers of a stream's state, and their places.
NUMBERS = ("stage", "final", "flags", "count", "bits", "left", "total", "literals", "distances", "small", "filled")
STAGE, _FINAL, _FLAGS, _COUNT, _BITS, _LEFT, _TOTAL, _LITERALS, _DISTANCES, _SMALLS, _FILLED = range(len(NUMBERS))

#: Farther back no distance goes.
WINDOW = 32768

_ORDER = np.array((16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15), np.int64)


@njit(cache=True)
def countInflated(numbers: Any, lengths: Any, order: Any, wide: Any, narrow: Any, canon: Any, data: Any) -> int:
    """How many bytes C{data} unpack to; all of it is taken in, the rest of a symbol waits as bits."""
    stage, final, flags = numbers[STAGE], numbers[_FINAL], numbers[_FLAGS]
    count, bits, left, total = numbers[_COUNT], numbers[_BITS], numbers[_LEFT], numbers[_TOTAL]
    position, size, made = 0, len(data), 0
    source = sourceOf(data)
    ready = readySmall = False
    while stage != OVER:
        if position + 8 <= size:
            word = loadLittle64(source, position)
            taken = (62 - count) & 56
            bits |= (word & ((1 << taken) - 1)) << count
            position += taken >> 3
            count += taken
        else:
            while count <= 54 and position < size:
                bits |= np.int64(data[position]) << count
                position += 1
                count += 8
        if stage == _CODES:
            if not ready:
                literals, distances = numbers[_LITERALS], numbers[_DISTANCES]
                longest = build(lengths, 0, literals, wide, WIDE, canon, OF_LITERALS, OF_LITERAL)
                far = build(lengths, literals, distances, narrow, NARROW, canon, OF_DISTANCES, OF_DISTANCE)
                if longest <= 0 or far < 0:
                    stage = OVER
                    continue
                ready = True
            more = position < size
            stuck = False
            while True:
                meaning = wide[bits & 1023]
                used = meaning & 15
                if used == 0:
                    found = look(bits, count, canon, OF_LITERALS)
                    if found == -1:
                        stuck = True
                        break
                    if found < 0:
                        stage = OVER
                        break
                    used = found & 15
                    meaning = OF_LITERAL[found >> 4]
                if used > count:
                    stuck = True
                    break
                kind = meaning >> 24
                if kind == 0:
                    bits >>= used
                    count -= used
                    made += 1
                elif kind == 1:
                    rest = bits >> used
                    extra = (meaning >> 4) & 15
                    length = ((meaning >> 8) & 0xFFFF) + (rest & ((1 << extra) - 1))
                    rest >>= extra
                    used += extra
                    if used > count:
                        stuck = True
                        break
                    meaning = narrow[rest & 255]
                    far = meaning & 15
                    if far == 0:
                        found = look(rest, count - used, canon, OF_DISTANCES)
                        if found == -1:
                            stuck = True
                            break
                        if found < 0:
                            stage = OVER
                            break
                        far = found & 15
                        meaning = OF_DISTANCE[found >> 4]
                    rest >>= far
                    extra = (meaning >> 4) & 15
                    used += far + extra
                    if used > count:
                        stuck = True
                        break
                    distance = ((meaning >> 8) & 0xFFFF) + (rest & ((1 << extra) - 1))
                    if meaning >> 24 or distance > total + made:
                        stage = OVER
                        break
                    bits = rest >> extra
                    count -= used
                    made += length
                elif kind == 2:
                    bits >>= used
                    count -= used
                    stage = OVER if final else _BLOCK
                    break
                else:
                    stage = OVER
                    break
                if count < 48:
                    if position + 8 > size:
                        if more:
                            break
                        continue
                    word = loadLittle64(source, position)
                    taken = (62 - count) & 56
                    bits |= (word & ((1 << taken) - 1)) << count
                    position += taken >> 3
                    count += taken
            if stuck and position >= size:
                break
        elif stage == _STORED:
            taken = min(count >> 3, left)
            bits >>= taken << 3
            count -= taken << 3
            left -= taken
            made += taken
            if left > 0:
                taken = min(size - position, left)
                position += taken
                left -= taken
                made += taken
                if left > 0:
                    break
            stage = OVER if final else _BLOCK
        elif stage == _BLOCK:
            if count < 3:
                if position >= size:
                    break
                continue
            final = bits & 1
            kind = (bits >> 1) & 3
            bits >>= 3
            count -= 3
            ready = readySmall = False
            if kind == 0:
                bits >>= count & 7
                count -= count & 7
                stage = _STORED_SIZE
            elif kind == 1:
                lengths[:144] = 8
                lengths[144:256] = 9
                lengths[256:280] = 7
                lengths[280:288] = 8
                lengths[288:320] = 5
                numbers[_LITERALS], numbers[_DISTANCES] = 288, 32
                stage = _CODES
            else:
                stage = _TABLE if kind == 2 else OVER
        elif stage == _STORED_SIZE:
            if count < 32:
                if position >= size:
                    break
                continue
            left = bits & 0xFFFF
            stage = _STORED if (bits >> 16) & 0xFFFF == left ^ 0xFFFF else OVER
            bits >>= 32
            count -= 32
        elif stage == _TABLE:
            if count < 14:
                if position >= size:
                    break
                continue
            numbers[_LITERALS] = 257 + (bits & 31)
            numbers[_DISTANCES] = 1 + ((bits >> 5) & 31)
            numbers[_SMALLS] = 4 + ((bits >> 10) & 15)
            numbers[_FILLED] = 0
            bits >>= 14
            count -= 14
            order[:] = 0
            stage = OVER if numbers[_LITERALS] > 286 or numbers[_DISTANCES] > 30 else SMALL
        elif stage == SMALL:
            if numbers[_FILLED] >= numbers[_SMALLS]:
                numbers[_FILLED] = 0
                stage = _LENGTHS
            elif count >= 3:
                order[_ORDER[numbers[_FILLED]]] = bits & 7
                numbers[_FILLED] += 1
                bits >>= 3
                count -= 3
            elif position >= size:
                break
        elif stage == _LENGTHS:
            if not readySmall:
                if build(order, 0, 19, narrow, TINY, canon, OF_SMALL, OF_TINY) <= 0:
                    stage = OVER
                    continue
                # one code of one bit is not enough here
                if canon[OF_SMALL + 1] == 1 and canon[OF_SMALL + 2 : OF_SMALL + 8].sum() == 0:
                    stage = OVER
                    continue
                readySmall = True
            filled, wanted = numbers[_FILLED], numbers[_LITERALS] + numbers[_DISTANCES]
            if filled >= wanted:
                stage = _CODES if lengths[256] != 0 else OVER
                continue
            found = look(bits, count, canon, OF_SMALL)
            symbol, used = found >> 4, found & 15
            extra = 0
            if found >= 0 and symbol >= 16:
                extra = 2 if symbol == 16 else 3 if symbol == 17 else 7
            if found == -1 or (found >= 0 and used + extra > count):
                if position >= size:
                    break
                continue
            if found < 0:
                stage = OVER
                continue
            value, repeated = np.int64(symbol), 1
            if symbol >= 16:
                repeated = (11 if symbol == 18 else 3) + ((bits >> used) & ((1 << extra) - 1))
                value = np.int64(0)
                if symbol == 16:
                    if filled == 0:
                        stage = OVER
                        continue
                    value = np.int64(lengths[filled - 1])
            if filled + repeated > wanted:
                stage = OVER
                continue
            lengths[filled : filled + repeated] = value
            numbers[_FILLED] = filled + repeated
            bits >>= used + extra
            count -= used + extra
        elif stage == _WRAPPER:
            if count < 16:
                if position >= size:
                    break
                continue
            first, second = bits & 0xFF, (bits >> 8) & 0xFF
            stage = _BLOCK
            if first == 0x1F and second == 0x8B:
                stage = _GZIP
            elif (first << 8 | second) % 31 == 0 and first & 15 == 8 and first >> 4 <= 7:
                stage = OVER if second & 0x20 else _BLOCK
            else:
                continue
            bits >>= 16
            count -= 16
        elif stage == _GZIP:
            if count < 16:
                if position >= size:
                    break
                continue
            flags = (bits >> 8) & 0xFF
            stage = _EXTRA_SIZE if bits & 0xFF == 8 and not flags & 0xE0 else OVER
            bits >>= 16
            count -= 16
            left = 6  # the date, how hard was tried, and the system: passed over with the size of what is extra
        elif stage == _EXTRA_SIZE:
            wanted = 48 if left == 6 else 16
            if count < wanted:
                if position >= size:
                    break
                continue
            if left == 6:
                left = 0
                stage = _EXTRA_SIZE if flags & 4 else _NAME
            else:
                left = bits & 0xFFFF
                stage = _EXTRA
            bits >>= wanted
            count -= wanted
        elif stage == _EXTRA:
            taken = min(count >> 3, left)
            bits >>= taken << 3
            count -= taken << 3
            left -= taken
            if left == 0:
                stage = _NAME
            elif position >= size:
                break
        elif stage in (_NAME, _COMMENT):
            if flags & (8 if stage == _NAME else 16):
                while count >= 8 and bits & 0xFF != 0:
                    bits >>= 8
                    count -= 8
                if count < 8:
                    if position >= size:
                        break
                    continue
                bits >>= 8
                count -= 8
            stage = _COMMENT if stage == _NAME else _CHECKSUM
        else:
            if flags & 2:
                if count < 16:
                    if position >= size:
                        break
                    continue
                bits >>= 16
                count -= 16
            stage = _BLOCK
    if stage == OVER:
        bits = count = left = 0
    numbers[STAGE], numbers[_FINAL], numbers[_FLAGS] = stage, final, flags
    numbers[_COUNT], numbers[_BITS], numbers[_LEFT], numbers[_TOTAL] = count, bits, left, min(total + made, WINDOW)
    return made
