"""
Batches of records on their way between two tables: the unit that an adapter exports and imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.state.taxonomy import Cell


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """
    C{n} records of one cell and one layout.

    @ivar cell: which of the five cells they belong to.
    @ivar layout: the layout's identifier, unique within the kind.
    @ivar version: the layout's version; both sides must have the same.
    @ivar keys: C{uint8[n, k]}, the native key of each record; travels in clear, authenticated.  For shared state all
        zeros (C{k} as for per-flow state, or 0): whatever tells its records apart is in the records.
    @ivar records: C{uint8[n, itemsize]}, the fixed-size parts.
    @ivar tailLengths: C{uint32[n]}, bytes of each record's variable tail, or None when the layout has no tail.
    @ivar tails: C{uint8[sum(tailLengths)]}, the tails one after the other.
    """

    cell: Cell
    layout: int
    version: int
    keys: NDArray[np.uint8]
    records: NDArray[np.uint8]
    tailLengths: NDArray[np.uint32] | None = None
    tails: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.records)

    def as_(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The fixed-size parts seen as C{dtype[n]}; C{dtype.itemsize} must be the records' size."""
        return np.ascontiguousarray(self.records).view(dtype).reshape(len(self.records))


def recordBytes(rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Structured C{rows[n]} as C{uint8[n, itemsize]}."""
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), rows.dtype.itemsize)
