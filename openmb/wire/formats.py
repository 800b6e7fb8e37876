"""
The bytes of every message: one construct per type, and who may send it.

A field's docstring (C{* "..."}) is its meaning in C{docs/protocol.md}.  The frame header carries the operation and, for
stream frames, the number; what a body struct lists is the rest of the message, under the names of the dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from construct import Bytes, Const, GreedyBytes, Int8ul, Int16ul, Int32ul, Int64sl, Int64ul, Struct, this

from openmb.errors import Refusal
from openmb.state.taxonomy import Cell
from openmb.wire import messages as m
from openmb.wire.entry import BOTH, DOWN, UP, entry, value
from openmb.wire.entry import Carries as Carries
from openmb.wire.entry import End as End
from openmb.wire.entry import Entry as Entry
from openmb.wire.fields import (
    FLOWS_LIMIT,
    KIND_LIMIT,
    NAME_LIMIT,
    NAME_PATTERN,
    REASON_LIMIT,
    Exact,
    FrameNumber,
    Many,
    OneOf,
    Text,
    Truth,
)
from openmb.wire.messages import MessageType
from openmb.wire.questionformats import NESTED_IN_QUESTIONS, QUESTIONS
from openmb.wire.session import LAYOUTS_LIMIT, OPERATIONS_LIMIT, SECRET_SIZE

MAGIC = b"OM"
FRAME_VERSION = 1
#: The protocol versions spoken by this code.
LOWEST_VERSION = HIGHEST_VERSION = 2


#: In front of every body.
HEADER = Struct(
    "magic" / Const(MAGIC) * 'the letters "OM"',
    "version" / Const(FRAME_VERSION, Int8ul) * "layout of this header: 1",
    "type" / Int8ul * "message type",
    "flags" / Const(0, Int16ul) * "0",
    "reserved" / Const(0, Int16ul) * "0",
    "length" / Int32ul * "bytes of the body that follows",
    "operation" / Int64ul * "operation id; 0 for messages that concern none",
    "sequence" / Int64ul * "STREAM: number of the frame; otherwise 0",
)

#: Body of a stream frame; C{openmb.wire.codec} packs and unpacks it by hand, to the same bytes.
STREAM_BODY = Struct(
    "side" / OneOf(Int8ul, m.Side) * "the end that made the frame",
    "type" / OneOf(Int8ul, m.StreamType) * "what it carries (below)",
    "clearLength" / Int32ul * "bytes of the clear part",
    "clear" / Bytes(this.clearLength) * "authenticated but readable part",
    "sealed" / GreedyBytes * "encrypted and authenticated part: the rest of the body",
)


_NAME = Text(Int8ul, NAME_LIMIT, NAME_PATTERN)
_KIND = Text(Int8ul, KIND_LIMIT, NAME_PATTERN)
_FLOWS = Text(Int16ul, FLOWS_LIMIT)
_REASON = Text(Int16ul, REASON_LIMIT, clip=True)
_CELL = OneOf(Int8ul, Cell)
_SIDE = OneOf(Int8ul, m.Side)
_PEER = value(m.Peer, "name" / _NAME * "middlebox", "incarnation" / Exact(16) * "its incarnation")
_LAYOUT = value(
    m.LayoutVersion,
    "cell" / _CELL * "cell",
    "layout" / Int16ul * "layout",
    "version" / Int16ul * "version of the layout",
)
_STATUS = value(
    m.OperationStatus,
    "operation" / Int64ul * "operation id",
    "side" / _SIDE * "which end of it the middlebox is",
    "state" / Text(Int8ul, KIND_LIMIT) * "state of its machine, in words",
    "received" / FrameNumber(Int64sl) * "last stream frame received from the other end",
    "sent" / FrameNumber(Int64sl) * "last stream frame made",
)
#: The values inside messages, in the order in which the page describes them.
NESTED = (_PEER, _LAYOUT, _STATUS, *NESTED_IN_QUESTIONS)


def _request() -> tuple[Any, ...]:
    return (
        "flows" / _FLOWS * "header field list",
        "cells" / Many(Int8ul, _CELL) * "which cells",
        "source" / _PEER * "source",
        "destination" / _PEER * "destination",
        "window" / Int32ul * "bytes of stream frames that may be unacknowledged",
        "lease" / Int32ul * "milliseconds without a controller after which this end gives the operation up",
    )


_SORT = "sort" / OneOf(Int8ul, m.Sort) * "what the operation does"


_T = MessageType
_TOKEN = "token" / Exact(16) * "carried by genuine drain markers"
_NONCE = "nonce" / Exact(16) * "random, the destination's; part of what the source's seals are bound to"
_ENTRIES = (
    entry(
        *(_T.HELLO, m.Hello, UP, "First message: who the middlebox is, what it speaks, what it remembers."),
        "lowest" / Int8ul * "lowest protocol version it speaks",
        "highest" / Int8ul * "highest protocol version it speaks",
        "name" / _NAME * "its name, as in its certificate",
        "kind" / _KIND * "its kind, as in its certificate",
        "incarnation" / Exact(16) * "random, new with every start of the process",
        "governing" / Exact(32) * "SHA-256 of the configuration that governs records",
        "layouts" / Many(Int16ul, _LAYOUT, LAYOUTS_LIMIT) * "record layouts it understands",
        "operations" / Many(Int16ul, _STATUS, OPERATIONS_LIMIT) * "operations it still knows",
        "secret" / Exact(SECRET_SIZE) * "what the last WELCOME of this incarnation said; zeros: there was none",
    ),
    entry(
        *(_T.WELCOME, m.Welcome, DOWN, "Answer to HELLO: the session exists from here on."),
        "version" / Int8ul * "protocol version of the session: the highest that both speak",
        "epoch" / Int64ul * "epoch of the controller; a middlebox refuses one lower than the highest it has seen",
        "keepAlive" / Int32ul * "milliseconds of silence after which an end sends PING; not 0",
        "secret" / Exact(SECRET_SIZE) * "what the next HELLO of this incarnation has to show",
    ),
    entry(
        *(_T.REFUSED, m.Refused, BOTH, "A request was refused, or an operation failed."),
        "request" / Int8ul * "message type of the request; 0: the operation failed by itself",
        "refusal" / OneOf(Int16ul, Refusal) * "why, in a number",
        "reason" / _REASON * "why, in words; the sender cuts longer texts",
    ),
    entry(_T.PING, m.Ping, BOTH, "Are you there?", "token" / Int64ul * "any number"),
    entry(_T.PONG, m.Pong, BOTH, "Answer to PING.", "token" / Int64ul * "the number of the PING"),
    entry(
        *(_T.GOODBYE, m.Goodbye, BOTH, "The sender closes the connection on purpose."),
        "reason" / _REASON * "why, in words; the sender cuts longer texts",
    ),
    entry(
        *(
            _T.PREPARE,
            m.Prepare,
            DOWN,
            "To the destination: records of this operation will come, provisional until COMMIT.",
        ),
        *_request(),
        _SORT,
    ),
    entry(_T.PREPARED, m.Prepared, UP, "Answer to PREPARE.", _NONCE),
    entry(
        *(_T.GET, m.Get, DOWN, "To the source: export and mark (copy, take), then raise re-process events."),
        *_request(),
        _NONCE,
        _SORT,
    ),
    entry(_T.GETTING, m.Getting, UP, "Answer to GET."),
    entry(
        *(_T.CREDIT, m.Credit, BOTH, "The receiver of a stream is done with all its frames up to a number."),
        "side" / _SIDE * "the end that makes the stream",
        "number" / FrameNumber(Int64sl) * "last frame that is done with",
    ),
    entry(
        *(_T.RESUME, m.Resume, DOWN, "Send unacknowledged stream frames again, in order."),
        "side" / _SIDE * "the end that makes the stream, which is the one that is told",
        "number" / FrameNumber(Int64sl) * "last frame that the other end has received; those after it are sent again",
    ),
    entry(
        *(_T.INSTALLED, m.Installed, UP, "From the destination: GET_DONE was met and its count is right."),
        "records" / Int64ul * "records put",
        "bytes" / Int64ul * "their size",
        "reprocessed" / Int64ul * "packets re-processed so far",
    ),
    entry(_T.HOLD, m.Hold, DOWN, "To the destination: direct packets of matching flows wait.", _TOKEN),
    entry(_T.HOLDING, m.Holding, UP, "Answer to HOLD."),
    entry(
        _T.DIVERT, m.Divert, DOWN, "To the source: stop processing matching packets, keep and re-direct each.", _TOKEN
    ),
    entry(
        *(
            _T.DIVERT_CONFIRMED,
            m.DivertConfirmed,
            UP,
            "From the destination: DIVERTED was met, no live record conflicts.",
        ),
        "reprocessed" / Int64ul * "packets re-processed in all",
    ),
    entry(_T.FINISH, m.Finish, DOWN, "To the source of a clone or merge: give the vote, end the stream."),
    entry(
        *(
            _T.FINISH_CONFIRMED,
            m.FinishConfirmed,
            UP,
            "From the destination: FINISHED was met and its counts are right.",
        ),
        "reprocessed" / Int64ul * "packets re-processed in all",
        "changed" / Int64ul * "records that came after GET_DONE",
    ),
    entry(_T.COMMIT, m.Commit, DOWN, "To the destination: it owns the records now."),
    entry(_T.COMMITTED, m.Committed, UP, "Answer to COMMIT.", "records" / Int64ul * "records committed"),
    entry(
        *(_T.MERGED, m.Merged, UP, "From the destination: DRAINED was met and nothing waits any more."),
        "redirected" / Int64ul * "re-directed packets processed",
        "held" / Int64ul * "direct packets that had waited",
        "late" / Int64ul * "packets that came after their place in the order",
        "longestHold" / Int64ul * "microseconds that the longest waiting packet waited",
        "lost" / Int64ul * "packets of these flows that could not be processed here",
    ),
    entry(
        *(_T.DELETE, m.Delete, DOWN, "To the source: drop records and copies in silence."),
        "window" / Int32ul * "milliseconds for which packets that still come are re-directed",
    ),
    entry(
        *(_T.DELETED, m.Deleted, UP, "Answer to DELETE."),
        "records" / Int64ul * "records dropped",
        "redirected" / Int64ul * "packets re-directed",
    ),
    entry(
        *(_T.WINDOW_CLOSED, m.WindowClosed, UP, "From the source: no more late packets will be re-directed."),
        "late" / Int64ul * "packets re-directed after DELETE",
        "lost" / Int64ul * "packets that could not be re-directed",
    ),
    entry(
        *(_T.UNMARK, m.Unmark, DOWN, "To the source, on abort: process what was kept and go on as if never asked."),
        "returned" / Truth(Int8ul) * "wait for RETURN_DONE on the destination's stream first",
    ),
    entry(
        *(_T.UNMARKED, m.Unmarked, UP, "Answer to UNMARK."),
        "replayed" / Int64ul * "kept packets processed",
        "lost" / Int64ul * "packets that were not kept since the copies' bound was reached",
    ),
    entry(
        *(_T.DISCARD, m.Discard, DOWN, "To the destination, on abort: drop provisional records."),
        "giveBack" / Truth(Int8ul) * "return the held packets of the source's flows",
    ),
    entry(_T.DISCARDED, m.Discarded, UP, "Answer to DISCARD.", "returned" / Int64ul * "packets returned"),
    entry(_T.CLOSE, m.Close, DOWN, "To both: forget the operation."),
    entry(
        _T.SOURCE_GONE, m.SourceGone, DOWN, "To the destination: the source died after its vote; its stream ends here."
    ),
    *QUESTIONS,
    entry(
        *(
            _T.STREAM,
            m.StreamFrame,
            BOTH,
            "One frame of an operation's ordered stream; the controller relays it unread.",
        ),
        *STREAM_BODY.subcons,
    ),
)

CATALOGUE: Mapping[MessageType, Entry] = {entry.type: entry for entry in _ENTRIES}
BY_CLASS: Mapping[Callable[..., Any], Entry] = {entry.message: entry for entry in _ENTRIES}
