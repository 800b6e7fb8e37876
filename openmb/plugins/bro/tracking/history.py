"""Kernels that write the history of a connection: one letter for each kind of thing that happened, in order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth
from openmb.plugins.bro.tracking.states import HISTORY_LIMIT

LOWER = 32
FLIPPED = np.int64(ord("^"))


@njit(**INNER)
def addLetter(row: Any, code: Number) -> None:
    """Append C{code}; a full history stays as it is."""
    count = np.int64(row["letters"])
    if count < HISTORY_LIMIT:
        row["history"][count] = code
        row["letters"] = count + 1


@njit(**INNER)
def addSided(row: Any, code: Number, side: Number) -> None:
    """Append C{code}, in lower case for the responder (side 1)."""
    addLetter(row, code + LOWER * side)


@njit(**INNER)
def wasSeen(row: Any, bit: Number, side: Number) -> Truth:
    """Set the once-bit of this letter and side; was it set before?"""
    mask = np.int64(1) << (bit + 16 * side)
    seen = np.int64(row["seen"])
    row["seen"] = seen | mask
    return seen & mask != 0


@njit(**INNER)
def addOnce(row: Any, bit: Number, code: Number, side: Number) -> Truth:
    """Append C{code} unless this side's letter C{bit} has been written; had it been?"""
    if wasSeen(row, bit, side):
        return True
    addSided(row, code, side)
    return False


@njit(**INNER)
def addScaled(row: Any, counter: Number, code: Number, side: Number) -> None:
    """Count; append C{code} at the counts 1, 10, 100, ..."""
    place = counter * 2 + side
    count = np.int64(row["scaled"][place]) + 1
    if count > 0xFFFFFFFF:
        return
    row["scaled"][place] = count
    power = np.int64(1)
    while power < count:
        power *= 10
    if power == count:
        addSided(row, code, side)
