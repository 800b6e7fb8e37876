"""
Connection ids by kernel: what L{openmb.plugins.bro.reporting.uid.ConnectionIDs} makes, straight into a row's bytes.

BLAKE2b with a key, RFC 7693. The key is the first block, the same for all ids of a deployment, so that one call of the
compression function is left for each id: a native key and a start time are less than a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.tracking.numbers import INNER, Number

#: Bytes of a digest, and of a block.
DIGEST, BLOCK = 12, 128
#: Bytes that an id takes at most: C{C}, 32 bits and 64 bits in base 62.
LONGEST_ID = 1 + 6 + 11
_HASHED = 48

_START = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_ORDER = np.array(
    [
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
        (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
        (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
        (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
        (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
        (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
        (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
        (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
        (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
    ],
    np.uint8,
)
#: The four words that each of the eight steps of a round mixes: columns, then diagonals.
_LANES = np.array(
    [
        (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
        (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
    ],
    np.uint8,
)  # fmt: skip
_ROUNDS = 12
_DIGITS = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
_RADIX = np.uint64(62)
_LOW = np.uint64(0xFFFFFFFF)
_WIDTH = np.uint64(64)
_TURN32, _TURN24, _TURN16, _TURN63 = (np.uint64(bits) for bits in (32, 24, 16, 63))
_C = np.uint8(ord("C"))
#: Of the compression function: bytes with the last block, and whether it is the last.
_COUNTS = np.array([(BLOCK, 0), (BLOCK + _HASHED, (1 << 64) - 1)], np.uint64)


@njit(**INNER)
def _turned(word: Any, bits: Any) -> Any:
    """C{word} rotated to the right."""
    return (word >> bits) | (word << (_WIDTH - bits))


@njit(**INNER)
def compress(state: NDArray[np.uint64], block: NDArray[np.uint64], count: Any, last: Any) -> None:
    """
    The compression function F.

    @param state: C{uint64[24]}: the chain value, then room for the work vector.
    @param block: C{uint64[16]}.
    @param count: C{uint64}, bytes so far, with those of this block.
    @param last: C{uint64}, all ones for the last block, else 0.
    """
    for i in range(8):
        state[8 + i] = state[i]
        state[16 + i] = _START[i]
    state[20] ^= count
    state[22] ^= last
    for turn in range(_ROUNDS):
        order = _ORDER[turn % 10]
        for step in range(8):
            lane = _LANES[step]
            at, bt, ct, dt = 8 + lane[0], 8 + lane[1], 8 + lane[2], 8 + lane[3]
            a, b, c, d = state[at], state[bt], state[ct], state[dt]
            a = a + b + block[order[2 * step]]
            d = _turned(d ^ a, _TURN32)
            c = c + d
            b = _turned(b ^ c, _TURN24)
            a = a + b + block[order[2 * step + 1]]
            d = _turned(d ^ a, _TURN16)
            c = c + d
            b = _turned(b ^ c, _TURN63)
            state[at], state[bt], state[ct], state[dt] = a, b, c, d
    for i in range(8):
        state[i] ^= state[8 + i] ^ state[16 + i]


def seedOf(key: bytes, person: bytes) -> NDArray[np.uint64]:
    """What L{keyState} begins with: C{uint64[24]}, the first chain value and the block of the key."""
    parameters = bytes((DIGEST, len(key), 1, 1)) + bytes(44) + person.ljust(16, b"\0")
    return np.concatenate(
        [_START ^ np.frombuffer(parameters, np.uint64), np.frombuffer(key.ljust(BLOCK, b"\0"), np.uint64)]
    )


@njit(**INNER)
def keyState(seed: NDArray[np.uint64], keyed: NDArray[np.uint64]) -> None:
    """Fill C{keyed: uint64[24]} with the chain value after the block of the key."""
    for i in range(8):
        keyed[i] = seed[i]
    compress(keyed, seed[8:], _COUNTS[0, 0], _COUNTS[0, 1])


@njit(**INNER)
def _swapped(word: Any) -> Any:
    """The four bytes of a 32-bit number in the other order."""
    return (
        (word >> np.uint64(24))
        | ((word >> np.uint64(8)) & np.uint64(0xFF00))
        | ((word << np.uint64(8)) & np.uint64(0xFF0000))
        | ((word << np.uint64(24)) & np.uint64(0xFF000000))
    )


@njit(**INNER)
def _putBase62(out: NDArray[np.uint8], place: Number, number: Any) -> Number:
    """Write digits, least significant first; where they end."""
    while True:
        out[place] = _DIGITS[number % _RADIX]
        number = number // _RADIX
        place += 1
        if number == np.uint64(0):
            return place


@njit(**INNER)
def putID(
    out: NDArray[np.uint8],
    place: Number,
    keyed: NDArray[np.uint64],
    key: NDArray[np.uint64],
    start: Number,
    state: NDArray[np.uint64],
    block: NDArray[np.uint64],
) -> Number:
    """
    Write the id of a connection; where it ends.

    @param keyed: what L{keyState} has filled.
    @param state: C{uint64[24]}, to work in; C{block}: C{uint64[16]}, likewise.
    """
    for i in range(8):
        state[i] = keyed[i]
    for i in range(5):
        block[i] = key[i]
    block[5] = np.uint64(start)
    for i in range(6, 16):
        block[i] = np.uint64(0)
    compress(state, block, _COUNTS[1, 0], _COUNTS[1, 1])
    half = np.uint64(32)
    out[place] = _C
    place = _putBase62(out, place + 1, _swapped(state[0] & _LOW))
    return _putBase62(out, place, (_swapped(state[0] >> half) << half) | _swapped(state[1] & _LOW))
