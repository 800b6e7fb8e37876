"""
Compiles the kernels of the kind C{prads}.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from openmb.packets.batch import packetBatch
from openmb.packets.loads import plainArrays
from openmb.plugins.prads import decoding
from openmb.plugins.prads.records import ROW
from openmb.plugins.prads.statistics import Counter
from openmb.state.table import FlowTable

_track: Any = decoding.track


def warmUp() -> None:
    """Track the packets of an empty batch."""
    table, counters = FlowTable(ROW, capacity=1), np.zeros(len(Counter), np.int64)
    _track(*plainArrays(packetBatch([], [])), counters, table.arrays, table.rows, np.zeros(0, decoding.FOUND))
