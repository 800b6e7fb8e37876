"""
What the frames of an operation's stream hold: their clear parts and, before sealing, their plain parts.

C{RECORDS} are packed by C{openmb.state.packing}.  Every function that unpacks raises L{OperationError} (C{BAD_REQUEST})
on anything that does not fit to the last byte: the seal proves who made a frame, not that its maker is free of faults.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from construct import ConstructError, Int16ul, Int32ul, Int64sl, Int64ul, Struct, Terminated
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.packets.batch import PacketBatch
from openmb.wire.fields import Exact
from openmb.wire.messages import Side, StreamType

SALT_SIZE = 32
#: Stream types whose plain part is a batch of packets.
PACKET_TYPES = frozenset({StreamType.REPROCESS, StreamType.REDIRECT, StreamType.RETURNED})
#: Bytes of the plain part for each packet, beside the packet itself: stamp, length on the wire, captured length.
PACKET_OVERHEAD = 16


@dataclass(frozen=True, slots=True)
class Opened:
    """Clear part of OPENED: which key, and the salt of the transfer."""

    keyID: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class GetDone:
    """Plain part of GET_DONE: records exported, their bytes, and packets sent as events so far."""

    records: int
    bytes: int
    events: int


@dataclass(frozen=True, slots=True)
class Marked:
    """Plain part of MARKED: the stamp of the drain marker, in nanoseconds."""

    stamp: int


@dataclass(frozen=True, slots=True)
class Drained:
    """Plain part of DRAINED: the stamp of the first final marker, and packets re-directed before it."""

    stamp: int
    redirected: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Plain part of FINISHED: packets sent as events, and records sent after GET_DONE."""

    events: int
    changes: int


@dataclass(frozen=True, slots=True)
class ReturnDone:
    """Plain part of RETURN_DONE: packets returned."""

    returned: int


OPENED = Struct(
    "keyID" / Int32ul * "which key of the kind's keyring", "salt" / Exact(SALT_SIZE) * "salt of the transfer"
)
GET_DONE = Struct(
    "records" / Int64ul * "records exported",
    "bytes" / Int64ul * "their size",
    "events" / Int64ul * "packets sent as re-process events before this frame",
)
MARKED = Struct("stamp" / Int64sl * "stamp of the marker, nanoseconds")
DRAINED = Struct(
    "stamp" / Int64sl * "stamp of the first final marker, nanoseconds",
    "redirected" / Int64ul * "packets sent as re-direct events before this frame",
)
FINISHED = Struct(
    "events" / Int64ul * "packets sent as re-process events",
    "changes" / Int64ul * "records sent after GET_DONE",
)
RETURN_DONE = Struct("returned" / Int64ul * "packets returned")
#: Clear part of REPROCESS, REDIRECT and RETURNED.
EVENTS = Struct("count" / Int32ul * "packets", "link" / Int16ul * "link type (LINKTYPE_*)")
#: What C{openmb.state.sealing} binds to a sealed part, followed by the clear part.
ASSOCIATED = Struct(
    "operation" / Int64ul * "operation id",
    "number" / Int64ul * "number of the frame",
    "side" / Int16ul * "side",
    "type" / Int16ul * "stream type",
)

_EVENTS = struct.Struct("<LH")
_ASSOCIATED = struct.Struct("<QQHH")
_FAULTS = (ConstructError, struct.error, ValueError, TypeError)
_CODECS: Mapping[type[Any], Any] = {
    Opened: Struct(*OPENED.subcons, Terminated).compile(),
    GetDone: Struct(*GET_DONE.subcons, Terminated).compile(),
    Marked: Struct(*MARKED.subcons, Terminated).compile(),
    Drained: Struct(*DRAINED.subcons, Terminated).compile(),
    Finished: Struct(*FINISHED.subcons, Terminated).compile(),
    ReturnDone: Struct(*RETURN_DONE.subcons, Terminated).compile(),
}

Part = TypeVar("Part", Opened, GetDone, Marked, Drained, Finished, ReturnDone)


def packPart(part: Opened | GetDone | Marked | Drained | Finished | ReturnDone) -> bytes:
    """
    The bytes of C{part}: L{Opened} goes into a frame's clear part, the others are sealed.

    @raise OperationError: a value does not fit.
    """
    try:
        return cast(bytes, _CODECS[type(part)].build({name: getattr(part, name) for name in part.__slots__}))
    except _FAULTS as error:
        raise OperationError(Refusal.BAD_REQUEST, f"{part} cannot be packed: {error}") from error


def unpackPart(expected: type[Part], data: bytes) -> Part:
    """
    The inverse of L{packPart}.

    @raise OperationError: C{data} is not exactly one C{expected}.
    """
    try:
        values = _CODECS[expected].parse(data)
    except _FAULTS as error:
        raise OperationError(Refusal.BAD_REQUEST, f"bad {expected.__name__} on the stream: {error}") from error
    return expected(*(values[name] for name in expected.__slots__))


def associatedData(operation: int, side: Side, number: int, type: StreamType, clear: bytes) -> bytes:
    """What the seal of a stream frame authenticates beside the sealed part: the frame's place, and its clear part."""
    return _ASSOCIATED.pack(operation, number, side, type) + clear


def packEvents(batch: PacketBatch) -> tuple[bytes, bytes]:
    """
    The clear and the plain part of a batch of packets.

    @raise OperationError: the link type is no 16-bit number.
    """
    if not 0 <= batch.link <= 0xFFFF:
        raise OperationError(Refusal.BAD_REQUEST, f"link type {batch.link} cannot travel")
    plain = b"".join(
        (
            batch.stamps.astype("<i8", copy=False).tobytes(),
            batch.wire.astype("<u4", copy=False).tobytes(),
            batch.lengths.astype("<u4", copy=False).tobytes(),
            _sideBySide(batch).tobytes(),
        )
    )
    return _EVENTS.pack(len(batch), batch.link), plain


def countEvents(clear: bytes) -> int:
    """
    How many packets the frame with this clear part holds.

    @raise OperationError: it is no clear part of packets.
    """
    if len(clear) != _EVENTS.size:
        raise OperationError(Refusal.BAD_REQUEST, f"clear part of {len(clear)} bytes where {_EVENTS.size} belong")
    return int(_EVENTS.unpack(clear)[0])


def unpackEvents(clear: bytes, plain: bytes) -> PacketBatch:
    """
    The packets, in arrays of their own that may be written to.

    @raise OperationError: the parts do not fit together to the last byte, or a packet is longer than on the wire.
    """
    countEvents(clear)
    count, link = _EVENTS.unpack(clear)
    if count * PACKET_OVERHEAD > len(plain):
        raise OperationError(Refusal.BAD_REQUEST, f"{count} packets cannot lie in {len(plain)} bytes")
    lengths = np.frombuffer(plain, "<u4", count, 12 * count).astype(np.uint32)
    wire = np.frombuffer(plain, "<u4", count, 8 * count).astype(np.uint32)
    _checkLengths(lengths, wire, len(plain) - count * PACKET_OVERHEAD)
    return PacketBatch(
        np.frombuffer(plain, np.uint8, -1, count * PACKET_OVERHEAD).copy()
        if len(plain) > count * PACKET_OVERHEAD
        else np.zeros(0, np.uint8),
        np.cumsum(lengths, dtype=np.int64) - lengths,
        lengths,
        wire,
        np.frombuffer(plain, "<i8", count).astype(np.int64),
        link,
    )


def _checkLengths(lengths: NDArray[np.uint32], wire: NDArray[np.uint32], rest: int) -> None:
    if int(lengths.sum(dtype=np.uint64)) != rest:
        raise OperationError(Refusal.BAD_REQUEST, f"packet lengths do not add up to {rest} bytes")
    if bool((lengths > wire).any()):
        raise OperationError(Refusal.BAD_REQUEST, "a packet is longer than it was on the wire")


def _sideBySide(batch: PacketBatch) -> NDArray[np.uint8]:
    """The packets' bytes in order: a plain slice where they lie so already."""
    if not len(batch):
        return batch.data[:0]
    ends = batch.offsets + batch.lengths
    if bool((batch.offsets[1:] == ends[:-1]).all()):
        return batch.data[int(batch.offsets[0]) : int(ends[-1])]
    return batch.compact().data
