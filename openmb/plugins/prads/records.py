"""
The state of one connection of PRADS, declared once; a row of the table is the supporting part, then the reporting part.
"""

from __future__ import annotations

from construct import Array, Int8ul, Int64sl, Int64ul, Struct

from openmb.state.layout import RecordLayout, rowType
from openmb.state.taxonomy import Cell

ConnectionRecord = Struct(
    "swapped" / Int8ul * "the client is endpoint b of the native key",
    "check" / Int8ul * "4: the server's payload matched; 8: the client's; 16 and 32: their ports were looked up",
    "spare" / Array(6, Int8ul) * "zero: so that rows lie at addresses that are multiples of eight",
)

ConnectionReport = Struct(
    "number" / Int64ul * "the connection id: how many connections there were with it",
    "start" / Int64sl * "time of the first packet, seconds",
    "last" / Int64sl * "time of the last packet, seconds",
    "packets" / Array(2, Int64ul) * "packets from the client, from the server",
    "bytes" / Array(2, Int64ul) * "their IP payload bytes, by the IP header",
    "flags" / Array(2, Int8ul) * "all TCP flags they had",
    "spare2" / Array(6, Int8ul) * "zero",
)

SUPPORTING = RecordLayout(Cell.SUPPORTING_PER_FLOW, 1, 1, "ConnectionRecord", ConnectionRecord)
REPORTING = RecordLayout(Cell.REPORTING_PER_FLOW, 2, 1, "ConnectionReport", ConnectionReport)

#: Both parts side by side.
ROW = rowType(SUPPORTING, REPORTING)
