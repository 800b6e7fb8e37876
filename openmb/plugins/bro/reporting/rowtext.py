"""
Finished records as the rows of a tab-separated conn.log, and finished requests as those of http.log, made by kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.fastpath.lanes import Lanes
from openmb.plugins.bro.fastpath.text import linesOf
from openmb.plugins.bro.reporting.locality import PRIVATE, LocalNetworks
from openmb.plugins.bro.reporting.rowkernel import LONGEST_ROW, fillRows
from openmb.plugins.bro.reporting.uid import ConnectionIDs

#: Records that there is room for from the start: as many as a tracker hands out at one time.
_USUAL = 1024
#: Words that the kernel works in.
_ROOM = 66


class Rows(NamedTuple):
    """
    Rows as they stand in the log.

    @ivar block: all of them.
    @ivar ends: C{int64[n]}, the place behind each.
    """

    block: bytes
    ends: NDArray[np.int64]


class RowText:
    """
    Makes rows.

    @param ids: makes the connection ids.
    @param local: which addresses are local.
    """

    def __init__(self, ids: ConnectionIDs, local: LocalNetworks = PRIVATE) -> None:
        self._seed, self._networks = ids.seed, local.words
        self._room = np.zeros(_ROOM, np.uint64)
        self._out = np.empty(0, np.uint8)

    def format(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> Rows | None:
        """The rows of some finished records, C{uint64[n, 5]}, C{ROW[n]}; None: one needs more than the kernel does."""
        ends = np.empty(len(rows), np.int64)
        if len(self._out) < len(rows) * LONGEST_ROW:
            self._out = np.empty(max(len(rows), _USUAL) * LONGEST_ROW, np.uint8)
        with np.errstate(over="ignore"):  # without a compiler numpy warns of sums that hashing wants cut off
            length = fillRows(keys, rows, self._seed, self._networks, self._room, self._out, ends)
        return None if length < 0 else Rows(self._out[:length].tobytes(), ends)

    def requests(self, lanes: Lanes, nodes: NDArray[np.int32]) -> Rows | None:
        """The rows of finished requests of the fast path; None: something in them has to be escaped."""
        lines = linesOf(lanes, nodes, self._seed, self._room)
        return None if lines is None else Rows(*lines)
