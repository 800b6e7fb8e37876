"""
The kernel that looks at the first byte of each direction: can any signature match a stream that begins so?

Most connections to ports that stand for nothing are settled by it, without Python. What it lets pass,
L{openmb.plugins.bro.analyzers.signatures} decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.analyzers.signatures import ALONE_FIRST, MOST_BYTES, PAIRED_FIRST
from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth, constants
from openmb.plugins.bro.tracking.urgency import URGENT_ANY, URGENT_LINES, URGENT_PACKETS

#: What a direction's first byte may begin: a signature that counts alone; one that counts if the other direction,
#: whatever it begins with, has its like; the version line of SSH, which both must send. And that it was seen.
_ALONE, _PAIRED, _SSH, _SEEN = constants((1, 2, 4, 128))


def _table() -> Any:
    """The bits of every first byte: C{uint8[2, 256]}, the originator's first; without L{_SEEN}."""
    table = np.zeros((2, 256), np.uint8)
    for side in range(2):
        table[side, list(ALONE_FIRST[side])] |= np.uint8(_ALONE)
        table[side, list(b"sS")] |= np.uint8(_SSH)
    table[1, list(PAIRED_FIRST)] |= np.uint8(_PAIRED)
    return table


_TABLE = _table()


@njit(**INNER)
def noteFirst(row: Any, side: Number, byte: Number, length: Number) -> Truth:
    """
    The first C{length} bytes of a direction are being delivered: need anybody read this connection?

    @param byte: the first one; -1: it was lost, or lies with what was held.
    """
    bits = np.int64(_ALONE | _PAIRED | _SSH) if byte < 0 else np.int64(_TABLE[side, byte])
    row["first"][side] = bits | _SEEN
    other = np.int64(row["first"][1 - side])
    if side == 1 and bits & _PAIRED:
        # it may be FTP, which tells of connections
        row["urgent"] = URGENT_ANY if row["urgent"] == URGENT_ANY else URGENT_LINES
    elif bits & _SSH and not row["urgent"]:
        # SSH prolongs time-outs
        row["urgent"] = URGENT_PACKETS
    if row["analyzer"]:
        return True
    if not other:
        return length <= MOST_BYTES or bits & _ALONE != 0
    return bits & _ALONE or other & _ALONE or (bits | other) & _PAIRED or bits & other & _SSH
