"""One message of every type, with every field different from its default and its neighbours."""

from __future__ import annotations

from openmb.errors import Refusal
from openmb.state.taxonomy import Cell
from openmb.wire.messages import (
    CellStats,
    Close,
    Commit,
    Committed,
    Credit,
    Delete,
    Deleted,
    Discard,
    Discarded,
    Divert,
    DivertConfirmed,
    Get,
    Getting,
    Goodbye,
    Hello,
    Hold,
    Holding,
    Installed,
    LayoutVersion,
    Merged,
    Message,
    OperationStatus,
    Peer,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Refused,
    Resume,
    Side,
    SourceGone,
    Stats,
    StatsAnswer,
    StreamFrame,
    StreamType,
    Unmark,
    Unmarked,
    Welcome,
    WindowClosed,
)

OPERATION = 0x0102030405060708
TOKEN = bytes(range(16))
NONCE = bytes(range(16, 32))
_SOURCE = Peer("bro1", bytes([0xA1] * 16))
_DESTINATION = Peer("bro-2.x", bytes([0xB2] * 16))
_CELLS = (Cell.SUPPORTING_PER_FLOW, Cell.REPORTING_PER_FLOW)
_FLOWS = "tcp,nw_src=10.0.0.0/8,tp_dst=80"

SAMPLES: tuple[Message, ...] = (
    Hello(
        *(1, 3, "bro1", "bro", bytes([0xA1] * 16), bytes(range(32))),
        (LayoutVersion(Cell.SUPPORTING_PER_FLOW, 0x0201, 0x0403), LayoutVersion(Cell.REPORTING_SHARED, 5, 6)),
        (OperationStatus(OPERATION, Side.DESTINATION, "holding", 17, -1),),
    ),
    Welcome(1, 0x1122334455667788, 2500),
    Refused(OPERATION, 18, Refusal.FINER_THAN_NATIVE, "tp_dst is finer — too fine"),
    Ping(0xFFEEDDCCBBAA9988),
    Pong(0x0123456789ABCDEF),
    Goodbye("shutting down"),
    Prepare(OPERATION, _FLOWS, _CELLS, _SOURCE, _DESTINATION, 0x00400000, 60000),
    Prepared(OPERATION, NONCE),
    Get(OPERATION, _FLOWS, _CELLS, _SOURCE, _DESTINATION, 0x00200000, 90000, NONCE),
    Getting(OPERATION),
    Credit(OPERATION, Side.DESTINATION, 0x0A0B0C0D),
    Resume(OPERATION, Side.SOURCE, 0x0E0F1011),
    Installed(OPERATION, 1, 2, 3),
    Hold(OPERATION, TOKEN),
    Holding(OPERATION),
    Divert(OPERATION, TOKEN),
    DivertConfirmed(OPERATION, 4),
    Commit(OPERATION),
    Committed(OPERATION, 5),
    Merged(OPERATION, 6, 7, 8, 9, 19),
    Delete(OPERATION, 1500),
    Deleted(OPERATION, 10, 11),
    WindowClosed(OPERATION, 12, 13),
    Unmark(OPERATION, True),
    Unmarked(OPERATION, 14, 0),
    Discard(OPERATION, True),
    Discarded(OPERATION, 15),
    Close(OPERATION),
    SourceGone(OPERATION),
    Stats(OPERATION, "udp6"),
    StatsAnswer(OPERATION, (CellStats(Cell.SUPPORTING_SHARED, 16, 17, 18),)),
    StreamFrame(OPERATION, Side.SOURCE, 0x0102, StreamType.REPROCESS, b"clear", b"sealed part"),
)
