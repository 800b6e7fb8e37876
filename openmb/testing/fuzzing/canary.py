"""
A kernel that reads outside its array: it must raise where kernels are said to be bounds-checked.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import load32, sourceOf


@njit(cache=True)
def _readBeyond(data: NDArray[np.uint8]) -> np.int64:
    return np.int64(load32(sourceOf(data), len(data) - 3))


def canaryRaises() -> bool:
    """Whether a load beyond the end of an array is noticed."""
    try:
        _readBeyond(np.zeros(8, np.uint8))
    except IndexError:
        return True
    return False
