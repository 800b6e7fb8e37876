"""
What kernels know of single letters.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from openmb.plugins.bro.tracking.numbers import INNER, Number

#: Each byte, upper case made lower.
LOWER = np.arange(256, dtype=np.uint8)
LOWER[65:91] += 32


@njit(**INNER)
def hexDigit(byte: Number) -> Number:
    """The value of a hexadecimal digit, C{int64}; -1 for any other byte."""
    if 48 <= byte <= 57:
        return byte - 48
    lower = byte | 32
    return lower - 87 if 97 <= lower <= 102 else np.int64(-1)
