"""
The state of one connection, declared once: from here come the bytes on the wire, the table's rows and the
documentation.

A row of the table is the supporting part followed by the reporting part. Pairs hold the originator's value first,
then the responder's. Relative sequence numbers count from 1, the first byte after the SYN.
"""

from __future__ import annotations

from construct import (
    Array,
    Bytes,
    Const,
    GreedyBytes,
    If,
    Int8ul,
    Int16ul,
    Int32sl,
    Int32ul,
    Int64sl,
    Int64ul,
    Prefixed,
    PrefixedArray,
    Struct,
    Terminated,
    this,
)

from openmb.plugins.bro.service import MOST_SERVICES
from openmb.plugins.bro.tracking.states import HISTORY_LIMIT
from openmb.state.layout import RecordLayout, rowType
from openmb.state.taxonomy import Cell

_Pair64 = Array(2, Int64sl)
_Pair32 = Array(2, Int32ul)
_Pair8 = Array(2, Int8ul)

ConnectionRecord = Struct(
    "delivered" / _Pair64 * "relative sequence number up to which data was delivered in order",
    "trimmed" / _Pair64 * "relative sequence number below which nothing is kept",
    "top" / _Pair64 * "end of the highest range that the reassembler holds or held",
    "held" / _Pair64 * "bytes held out of order",
    "skipUntil" / _Pair64 * "the application parser wants no byte below this relative sequence number",
    "finSequence" / _Pair64 * "relative sequence number after the last FIN",
    "lastSyn" / _Pair64 * "relative sequence number of the last SYN",
    "lastFin" / _Pair64 * "relative sequence number of the last FIN",
    "lastReset" / _Pair64 * "relative sequence number of the last RST",
    "deadline" / Int64sl * "when a closed connection is removed, microseconds; 2^62 for never",
    "partialClose" / Int64sl * "when the first side closed, microseconds; 2^62 for never",
    "attempt" / Int64sl * "when the originator's SYN began the wait for an answer, microseconds; 2^62 for never",
    "timeout" / Int64sl * "inactivity time-out, microseconds",
    "startSequence" / _Pair32 * "sequence number of the SYN, real or assumed",
    "lastSequence" / _Pair32 * "highest sequence number sent",
    "ackSequence" / _Pair32 * "highest sequence number that the other side acknowledged",
    "sequenceWraps" / _Pair32 * "how often lastSequence has passed zero",
    "ackWraps" / _Pair32 * "how often ackSequence has passed zero",
    "head" / Array(2, Int32sl) * "first range held out of order: a place in this process, always -1 when exported",
    "blocks" / Array(2, Int16ul) * "how many ranges are held out of order",
    "state" / _Pair8 * "endpoint state",
    "previous" / _Pair8 * "endpoint state before this one",
    "didClose" / _Pair8 * "this side's end was reported",
    "didEnd" / _Pair8 * "this side's end of data was reported",
    "gaveUp" / _Pair8 * "this side's reassembly has stopped",
    "finSeen" / _Pair8 * "a FIN of this side was seen",
    "swapped" / Int8ul * "the originator is endpoint b of the native key",
    "partial" / Int8ul * "the handshake was not seen",
    "packetSeen" / Int8ul * "whose first packet was seen: bit 0 originator, bit 1 responder",
    "deferred" / Int8ul * "a close waits for data",
    "deferredEvent" / Int8ul * "the waiting close is an orderly one",
    "finished" / Int8ul * "the end of the connection was reported",
    "analyzer" / Int8ul * "the service of the responder's port, 0 for none",
    "inspect" / Int8ul * "somebody reads this connection's data",
    "urgent" / Int8ul * "what is read may change how a packet that comes soon is counted: an Urgency",
    "first" / _Pair8 * "what a direction's first byte may be the beginning of; 0 before it",
    "messageSeen" / Int8ul * "the analyser has seen its first message",
    "tcp" / Int8ul * "1 for a TCP connection",
    "spare" / Array(3, Int8ul) * "zero: so that rows lie at addresses that are multiples of eight",
)

ConnectionReport = Struct(
    "start" / Int64sl * "time of the packet that began the connection, microseconds",
    "last" / Int64sl * "time of the last packet that counts, microseconds",
    "packets" / Array(2, Int64ul) * "packets accepted",
    "bytes" / Array(2, Int64ul) * "IP bytes of these packets",
    "size" / _Pair64 * "payload bytes of a connection that is not TCP; -1 before the first packet",
    "missed" / Int64ul * "bytes of TCP payload that were acknowledged but never seen",
    "scaled" / Array(8, Int32ul) * "bad checksums, retransmissions, zero windows, gaps; of each side",
    "seen" / Int32ul * "letters that were written, which are written once",
    "services" / Array(MOST_SERVICES, Int8ul) * "what is spoken, in the order in which that was found out; then zeros",
    "letters" / Int8ul * "length of the history",
    "tunnelled" / Int8ul * "1: packets of it came out of a tunnel",
    "login" / Int8ul * "how logging in went, of a connection that is over: 1 failed, 2 succeeded; else 0",
    "reserved" / Int8ul * "zero: a nameless gap would travel with whatever numpy left in it",
    "history" / Array(HISTORY_LIMIT, Int8ul) * "the letters",
)

HeldBytes = Struct("sequence" / Int64sl * "where they begin", "data" / Prefixed(Int32ul, GreedyBytes))

AnalyzerDump = Struct("service" / Int8ul, "state" / Prefixed(Int32ul, GreedyBytes) * "the analyser's own dump")

#: A connection that was agreed on; an originator of zeros stands for any.
AgreedConnection = Struct(
    "originator" / Bytes(16),
    "responder" / Bytes(16),
    "port" / Int16ul * "the responder's",
    "until" / Int64sl * "microseconds",
)

#: What follows a supporting record when the reassembler holds something or somebody reads the data.
ConnectionTail = Struct(
    "version" / Const(2, Int8ul),
    "ranges" / Array(2, PrefixedArray(Int16ul, Struct("low" / Int64sl, "high" / Int64sl))) * "held out of order",
    "conversation" / Int8ul * "0: nothing follows",
    "content"
    / If(
        this.conversation,
        Struct(
            "held" / Array(2, PrefixedArray(Int16ul, HeldBytes)) * "bytes held for analysers, in order of arrival",
            "position" / _Pair64 * "relative sequence number up to which they have been fed",
            "attached" / Int8ul * "analysers so far",
            "analyzers" / PrefixedArray(Int8ul, AnalyzerDump),
            "matcher" / Prefixed(Int32ul, GreedyBytes) * "first bytes, for signatures; empty when that is over",
            "requests" / Prefixed(Int32ul, GreedyBytes) * "open rows of http.log; empty for none",
            "queries" / Prefixed(Int32ul, GreedyBytes) * "open rows of dns.log; empty for none",
            "agreed" / PrefixedArray(Int8ul, AgreedConnection) * "data connections that may come",
        ),
    ),
    Terminated,
)

SUPPORTING = RecordLayout(Cell.SUPPORTING_PER_FLOW, 1, 2, "ConnectionRecord", ConnectionRecord, ConnectionTail)
REPORTING = RecordLayout(Cell.REPORTING_PER_FLOW, 2, 4, "ConnectionReport", ConnectionReport, None)


#: Both parts side by side.
ROW = rowType(SUPPORTING, REPORTING)
