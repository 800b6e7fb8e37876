"""
The shared state of a Bro middlebox, declared once.
"""

from __future__ import annotations

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64sl, Int64ul, PrefixedArray, Struct, Terminated

from openmb.plugins.bro.policies.ledger import Counted
from openmb.state.layout import RecordLayout
from openmb.state.taxonomy import Cell

_Address = Array(2, Int64ul)
#: What one token takes: an address, and what tells connections apart.
TOKEN = 24

SuspicionRecord = Struct(
    "epoch" / Int64sl * "when the epoch of the attempts begins, microseconds",
    "first" / Int64sl * "time of the earliest attempt, microseconds",
    "last" / Int64sl * "time of the latest attempt, microseconds",
    "who" / _Address * "who is suspected: two words, an IPv4 address mapped",
    "victim" / _Address * "of a port scan; else zeros",
    "port" / Int16ul * "of an address scan; else 0",
    "sort" / Int8ul * "1 address scan, 2 port scan, 3 password guessing",
    "noticed" / Int8ul * "1: the notice is written, nothing more is counted",
    "length" / Int32ul * "of the epoch, seconds; it begins at a multiple of it",
)
SuspicionTail = Struct(
    "tokens"
    / PrefixedArray(Int16ul, Bytes(TOKEN))
    * "what is distinct: addresses, ports, connection ids; none when noticed",
    Terminated,
)
FactRecord = Struct(
    "stamp" / Int64sl * "time of the row that was written last, microseconds",
    "address" / _Address * "a host",
    "port" / Int16ul * "of a service on it; else 0",
    "protocol" / Int8ul * "6 or 17; 0: the host itself",
    "service" / Int8ul * "which was recognised; 0: none",
    "spare" / Int32ul * "zero",
)
QuietRecord = Struct(
    "until" / Int64sl * "until when the notice is not repeated, microseconds",
    "who" / _Address * "about whom",
    "note" / Int8ul * "1 address scan, 2 port scan, 3 password guessing",
    "spare" / Array(7, Int8ul) * "zero",
)
CountersRecord = Struct(
    "origin" / Bytes(16) * "hash of the instance that counted",
    "counts" / Array(len(Counted), Int64ul) * "in the order of the columns of stats.log",
    "latest" / Int64sl * "time of the latest packet that was counted, by whomever, microseconds",
    "epoch" / Int32ul * "how often its counters had been taken away before",
    "spare" / Int32ul * "zero",
)

SUSPICION = RecordLayout(Cell.SUPPORTING_SHARED, 3, 2, "Suspicion", SuspicionRecord, SuspicionTail)
FACT = RecordLayout(Cell.SUPPORTING_SHARED, 4, 1, "Fact", FactRecord)
QUIET = RecordLayout(Cell.SUPPORTING_SHARED, 5, 1, "Quiet", QuietRecord)
COUNTERS = RecordLayout(Cell.REPORTING_SHARED, 6, 2, "Counters", CountersRecord)
SHARED = (SUSPICION, FACT, QUIET, COUNTERS)
