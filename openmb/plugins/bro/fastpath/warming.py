"""
Compiles the kernels of the fast path.
"""

from __future__ import annotations

import numpy as np

from openmb.plugins.bro.fastpath.lanes import compact, cover, makeLanes
from openmb.plugins.bro.fastpath.pool import forgetSlots, freeRows, giveBack, takeLaneOf
from openmb.plugins.bro.fastpath.reader import octetsOf, readPieces
from openmb.plugins.bro.fastpath.text import linesOf
from openmb.plugins.bro.records import ROW
from openmb.plugins.bro.tracking.pieces import PIECE


def warmUp() -> None:
    """Call each of them with nothing to do."""
    lanes, rows = cover(makeLanes(1), 1), np.zeros(1, ROW)
    none = np.zeros(0, np.int64)
    # the bytes and offsets of a batch are read-only
    octets, offsets = np.frombuffer(b"", np.uint8), np.frombuffer(b"", np.int64)
    readPieces(lanes, np.zeros(1, PIECE), 0, 0, octets, offsets, rows, rows, True)
    octetsOf(np.zeros(1, PIECE)[0])
    giveBack(lanes, takeLaneOf(lanes, 0))
    forgetSlots(lanes, none)
    freeRows(lanes, 0)
    compact(lanes, np.zeros(len(lanes.heap), np.uint8))
    linesOf(lanes, np.zeros(0, np.int32), np.zeros(24, np.uint64), np.zeros(66, np.uint64))
