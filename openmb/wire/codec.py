"""
Messages to frames and back.
"""

from __future__ import annotations

import struct
from typing import Any, cast

from construct import ConstructError

from openmb.errors import FrameTooLarge, ProtocolError
from openmb.wire.formats import BY_CLASS, CATALOGUE, Carries, Entry
from openmb.wire.framing import BODY_LIMIT, Deframer, Frame, Header, packHeader
from openmb.wire.messages import Message, MessageType, Side, StreamFrame, StreamType

#: C{openmb.wire.formats.STREAM_BODY} for the struct module: side, stream type, length of the clear part.
STREAM_STRUCT = struct.Struct("<BBL")
#: Numbers of stream frames are below this, so that they are signed 64-bit numbers elsewhere.
_NUMBER_LIMIT = 1 << 63
_SIDES = {int(member): member for member in Side}
_STREAM_TYPES = {int(member): member for member in StreamType}
#: What constructs raise, beside their own errors, on values and bytes that do not fit.
_FAULTS = (ConstructError, struct.error, ValueError, TypeError, AttributeError, OverflowError)


def encode(message: Message, limit: int = BODY_LIMIT) -> bytes:
    """
    The frame of C{message}; a stream frame that was received whole goes out as the very bytes that came in.

    @raise ProtocolError: a value does not fit its field, or the body exceeds C{limit} bytes.
    """
    if isinstance(message, StreamFrame):
        return message.frame or _encodeStream(message, limit)
    entry = BY_CLASS[type(message)]
    operation = 0 if entry.carries is Carries.NOTHING else getattr(message, "operation")  # noqa: B009
    _checkOperation(entry, operation)
    body = _build(entry, message)
    if len(body) > limit:
        raise FrameTooLarge(len(body), limit)
    return packHeader(Header(entry.type, len(body), operation, 0)) + body


def decode(header: Header, body: bytes | memoryview) -> Message:
    """
    The message of a frame whose header passed its checks.

    @raise ProtocolError: the body is not one of this type, or the header's numbers do not fit the type.
    """
    if len(body) != header.length:
        raise ProtocolError(f"{header.type.name} announces {header.length} bytes and has {len(body)}")
    entry = CATALOGUE[header.type]
    if header.type is MessageType.STREAM:
        return _decodeStream(header, body, b"")
    _checkOperation(entry, header.operation)
    if header.sequence:
        raise ProtocolError(f"{header.type.name} with sequence number {header.sequence}")
    return _parse(entry, header.operation, body)


def decodeFrame(frame: Frame, keep: bool = False) -> Message:
    """
    The message in C{frame}.

    @param keep: a stream frame remembers its bytes, so that L{encode} passes them on without another copy (for relays).
    @raise ProtocolError: as for L{decode}.
    """
    if keep and frame.header.type is MessageType.STREAM:
        return _decodeStream(frame.header, frame.body, frame.data)
    return decode(frame.header, frame.body)


def decodeAll(data: bytes, limit: int = BODY_LIMIT) -> list[Message]:
    """
    The messages of whole frames side by side.

    @raise ProtocolError: as for L{decode}, or C{data} ends within a frame.
    """
    frames = list(Deframer(limit).feed(data))
    if sum(len(frame.data) for frame in frames) != len(data):
        raise ProtocolError("the last frame is cut off")
    return [decodeFrame(frame) for frame in frames]


def _checkOperation(entry: Entry, operation: int) -> None:
    if entry.carries is Carries.NOTHING and operation:
        raise ProtocolError(f"{entry.type.name} concerns no operation but names {operation}")
    if entry.carries is Carries.OPERATION and not operation:
        raise ProtocolError(f"{entry.type.name} names no operation")


def _build(entry: Entry, message: Message) -> bytes:
    if not entry.body:
        return b""
    try:
        return cast(bytes, entry.codec.build({name: getattr(message, name) for name in entry.names}))
    except _FAULTS as error:
        raise ProtocolError(f"{entry.type.name} cannot be encoded: {error}") from error


def _parse(entry: Entry, operation: int, body: bytes | memoryview) -> Message:
    if entry.body:
        try:
            values: dict[str, Any] = entry.codec.parse(body)
        except _FAULTS as error:
            raise ProtocolError(f"bad {entry.type.name}: {error}") from error
        return cast(Message, entry.message(*(operation if n == "operation" else values[n] for n in entry.names)))
    if len(body):
        raise ProtocolError(f"bad {entry.type.name}: {len(body)} bytes where none belong")
    return cast(Message, entry.message(operation))


def _encodeStream(frame: StreamFrame, limit: int) -> bytes:
    length = STREAM_STRUCT.size + len(frame.clear) + len(frame.sealed)
    if length > limit:
        raise FrameTooLarge(length, limit)
    if not 0 <= frame.number < _NUMBER_LIMIT:
        raise ProtocolError(f"{frame.number} is not the number of a frame")
    _checkOperation(CATALOGUE[MessageType.STREAM], frame.operation)
    header = packHeader(Header(MessageType.STREAM, length, frame.operation, frame.number))
    return b"".join((header, STREAM_STRUCT.pack(frame.side, frame.type, len(frame.clear)), frame.clear, frame.sealed))


def _decodeStream(header: Header, body: bytes | memoryview, whole: bytes) -> StreamFrame:
    _checkOperation(CATALOGUE[MessageType.STREAM], header.operation)
    if header.sequence >= _NUMBER_LIMIT:
        raise ProtocolError(f"{header.sequence} is not the number of a frame")
    if len(body) < STREAM_STRUCT.size:
        raise ProtocolError(f"bad STREAM: {len(body)} bytes")
    side, kind, clear = STREAM_STRUCT.unpack_from(body)
    if side not in _SIDES or kind not in _STREAM_TYPES:
        raise ProtocolError(f"bad STREAM: side {side}, type {kind}")
    middle = STREAM_STRUCT.size + clear
    if middle > len(body):
        raise ProtocolError(f"bad STREAM: clear part of {clear} bytes in a body of {len(body)}")
    return StreamFrame(
        *(header.operation, _SIDES[side], header.sequence, _STREAM_TYPES[kind]),
        clear=bytes(body[STREAM_STRUCT.size : middle]),
        sealed=bytes(body[middle:]),
        frame=whole,
    )
