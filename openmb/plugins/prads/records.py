"""
The state of PRADS, declared once: connections, hosts, and what is counted of all of them.

A row of the table of connections is the supporting part, then the reporting part.
"""

from __future__ import annotations

from construct import (
    Array,
    Bytes,
    GreedyBytes,
    Int8ul,
    Int16ul,
    Int32sl,
    Int64sl,
    Int64ul,
    Prefixed,
    PrefixedArray,
    Struct,
    Terminated,
)

from openmb.plugins.prads.statistics import SHOWN
from openmb.state.layout import RecordLayout, rowType
from openmb.state.taxonomy import Cell

ConnectionRecord = Struct(
    "swapped" / Int8ul * "the client is endpoint b of the native key",
    "check" / Int8ul * "4: the server's payload matched; 8: the client's; 16 and 32: their ports were looked up",
    "pending" / Int8ul * "as C{check}: payload is being searched; zero between batches",
    "spare" / Array(5, Int8ul) * "zero: so that rows lie at addresses that are multiples of eight",
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

#: The last second that has a date of four digits.
LATEST = 253402300799
#: Bytes of the name of a service.
NAME = 255

#: A host: its native key is its address.
HostRecord = Struct(
    "first" / Int64sl * "when it was seen first, seconds",
    "last" / Int64sl * "when it was seen last, seconds",
    "vlan" / Int16ul * "VLAN tag of the packet that was seen last",
    "card" / Bytes(6) * "address of its network card, zeros if unknown",
)
_TEXT = Prefixed(Int16ul, GreedyBytes)
#: What hangs on it.
HostTail = Struct(
    "vendor" / PrefixedArray(Int8ul, _TEXT) * "who made the card: one or none",
    "systems"
    / PrefixedArray(
        Int16ul, Struct("check" / Int8ul * "a Check", "line" / Int32sl * "line of a signature, -1 for none of them")
    )
    * "fingerprints it has shown",
    "services"
    / PrefixedArray(
        Int16ul,
        Struct(
            "port" / Int16ul,
            "protocol" / Int8ul * "6 TCP, 17 UDP",
            "role" / Int8ul * "2 server; 1, 0 client",
            "ttl" / Int8ul * "of the packet that told of it first",
            "attempts" / Int16ul * "how often something else was seen since",
            "first" / Int64sl * "seconds",
            "last" / Int64sl * "seconds",
            "name" / _TEXT,
            "application" / _TEXT,
        ),
    ),
    Terminated,
)

#: What was counted by one instance in one of its epochs.
CounterRecord = Struct(
    "origin" / Bytes(16) * "which instance counted: a hash of its name and incarnation",
    "epoch" / Int64ul * "how often it has handed its counters over before",
    "counters" / Array(SHOWN, Int64ul) * "in the order of C{Counter}",
)
#: The connection id that was given last.
NumberRecord = Struct("number" / Int64ul)

SUPPORTING = RecordLayout(Cell.SUPPORTING_PER_FLOW, 1, 1, "ConnectionRecord", ConnectionRecord)
REPORTING = RecordLayout(Cell.REPORTING_PER_FLOW, 2, 1, "ConnectionReport", ConnectionReport)
HOST = RecordLayout(Cell.SUPPORTING_PER_FLOW, 3, 1, "HostRecord", HostRecord, HostTail)
COUNTERS = RecordLayout(Cell.REPORTING_SHARED, 4, 1, "CounterRecord", CounterRecord)
NUMBER = RecordLayout(Cell.SUPPORTING_SHARED, 5, 1, "NumberRecord", NumberRecord)
LAYOUTS = (SUPPORTING, REPORTING, HOST, COUNTERS, NUMBER)

#: Both parts side by side.
ROW = rowType(SUPPORTING, REPORTING)
#: A row of the table of hosts; their cards stand with what hangs on them.
HostRow = HOST.dtype
