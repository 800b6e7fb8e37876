"""
Batches of records that no adapter may accept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell

#: Ways in which any batch can be wrong.
DAMAGE: tuple[Callable[[RecordBatch], RecordBatch], ...] = (
    lambda batch: replace(batch, version=batch.version + 1),
    lambda batch: replace(batch, layout=batch.layout + 1000),
    lambda batch: replace(batch, records=batch.records[:, 1:]),
    lambda batch: replace(batch, records=np.hstack([batch.records, batch.records[:, :1]])),
)
#: And one of per-flow records.
PER_FLOW_DAMAGE: tuple[Callable[[RecordBatch], RecordBatch], ...] = (
    *DAMAGE,
    lambda batch: replace(batch, cell=Cell.SUPPORTING_SHARED),
    lambda batch: replace(batch, keys=batch.keys[:, 1:]),
    lambda batch: replace(batch, keys=np.hstack([batch.keys, batch.keys[:, :1]])),
    lambda batch: replace(batch, keys=batch.keys[:-1]),
)
#: Ways in which shared records can be wrong.
SHARED_DAMAGE: tuple[Callable[[RecordBatch], RecordBatch], ...] = (
    *DAMAGE,
    lambda batch: replace(batch, cell=Cell.SUPPORTING_PER_FLOW),
)
