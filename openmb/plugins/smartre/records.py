"""
The shared state of an encoder or a decoder, declared once.
"""

from __future__ import annotations

from construct import Array, Bytes, GreedyBytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from openmb.plugins.smartre.statistics import STATISTICS
from openmb.state.layout import RecordLayout
from openmb.state.taxonomy import Cell

#: Counters of one end.
COUNTS = STATISTICS.itemsize // 8
#: Packets of one record: with the longest payloads still less than what is sealed together.
PACKED = 16

PackRecord = Struct(
    "next" / Int64ul * "the absolute id that comes next in this cache",
    "slots" / Int32ul * "of the cache: what its ids are counted round",
    "size" / Int32ul * "bytes of the payloads",
    "epoch" / Int16ul * "of the packets; 0: none has come yet",
    "slotBytes" / Int16ul * "the longest payload that the cache takes",
    "count" / Int16ul * "packets",
    "cache" / Int8ul * "which cache",
    "spare" / Int8ul * "zero",
)
CountersRecord = Struct(
    "origin" / Bytes(16) * "hash of the instance that counted",
    "counts" / Array(COUNTS, Int64ul) * "as the end counts them",
    "epoch" / Int32ul * "how often its counters had been taken away before",
    "spare" / Int32ul * "zero",
)

PACK = RecordLayout(
    Cell.SUPPORTING_SHARED,
    1,
    1,
    "Pack",
    PackRecord,
    GreedyBytes * "zstd: ids, 8 bytes each; lengths, 2 bytes each; the payloads, one after the other",
)
COUNTERS = RecordLayout(Cell.REPORTING_SHARED, 2, 2, "Counters", CountersRecord)
SHARED = (PACK, COUNTERS)
