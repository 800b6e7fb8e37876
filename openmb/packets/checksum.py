"""
The Internet checksum (RFC 1071) over packets, as kernels.

Sums run over little-endian 32-bit words, which vectorises; a ones' complement sum is the same whatever the byte order,
up to a swap of its two bytes at the end.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from openmb.packets.loads import Source, load8, loadLittle32


@njit(cache=True)
def foldSum(total: np.int64) -> np.int64:
    """The ones' complement sum of 16-bit words whose plain sum is C{total}."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@njit(cache=True)
def onesSum(source: Source, start: np.int64, length: np.int64) -> np.int64:
    """The ones' complement sum of C{length} bytes from C{start}, as big-endian 16-bit words; the bytes must exist."""
    total = np.int64(0)
    words = length >> 2
    for word in range(words):
        total += loadLittle32(source, start + (word << 2))
    for place in range(words << 2, length):
        total += load8(source, start + place) << ((place & 1) << 3)
    folded = foldSum(total)
    return ((folded & 0xFF) << 8) | (folded >> 8)


@njit(cache=True)
def pseudoSum(high: np.uint64, low: np.uint64, isSix: bool) -> np.int64:
    """What one address adds to the sum of a pseudo header (not folded)."""
    total = np.int64(low & np.uint64(0xFFFFFFFF))
    if isSix:
        total += np.int64(low >> np.uint64(32))
        total += np.int64(high & np.uint64(0xFFFFFFFF)) + np.int64(high >> np.uint64(32))
    return total
