"""
What encoder and decoder say to each other: the shim of an encoded packet, and messages (docs/smartre.md, section 1).

All of it stands behind the IP header of packets of protocol L{PROTOCOL}.  The kernels read and write shims as rows of
C{SHIM_ROW}; messages are rare, and built and parsed one by one.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from construct import Bytes, Const, Construct, ConstructError, Int8ul, Int16ul, Int32ul, Struct, Terminated, this
from numpy.typing import NDArray

from openmb.errors import ProtocolError
from openmb.plugins.smartre.hashing import hashOf

#: For experiments (RFC 3692).
PROTOCOL = 253
#: "RE", little-endian.
MAGIC = 0x4552
#: Bytes of the check at the end of every message.
CHECK_LENGTH = 4
#: Packets in one announcement at most.
MOST_ANNOUNCED = 64
#: Bytes of C{Acknowledge.held}.
HELD_LENGTH = 64


class Kind(enum.IntEnum):
    """What stands behind the magic."""

    ENCODED = 1
    ANNOUNCE = 2
    ACKNOWLEDGE = 3
    REFUSE = 4
    ANSWER = 5
    FORK = 6
    FORKED = 7


class Flag(enum.IntFlag):
    """Of an encoded packet."""

    SECOND_STAGE = 1
    NOT_STORED = 2


class Reason(enum.IntEnum):
    """Why a decoder refuses a packet."""

    MISSING = 1
    BAD_CHECKSUM = 2
    STALE_EPOCH = 3


_HEAD = "magic" / Const(MAGIC, Int16ul), "kind" / Int8ul
SHIM = Struct(
    *_HEAD,
    "flags" / Int8ul * "of L{Flag}",
    "protocol" / Int8ul * "the IP header's own",
    "header" / Int8ul * "bytes of transport header that follow",
    "length" / Int16ul * "bytes of the original payload",
    "cache" / Int8ul * "which of the encoder's caches",
    "matches" / Int8ul * "how many references",
    "epoch" / Int16ul * "of the cache",
    "id" / Int32ul * "low half of the absolute id",
    "checksum" / Int32ul * "of the original payload",
)
#: The same for numpy.
SHIM_ROW = np.dtype(
    [
        ("magic", "<u2"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("protocol", "u1"),
        ("header", "u1"),
        ("length", "<u2"),
        ("cache", "u1"),
        ("matches", "u1"),
        ("epoch", "<u2"),
        ("id", "<u4"),
        ("checksum", "<u4"),
    ]
)
SHIM_LENGTH = SHIM_ROW.itemsize

#: One packet of an announcement.
ANNOUNCED_ROW = np.dtype([("id", "<u4"), ("length", "<u2"), ("hash", "<u8")])
#: What every message begins with, and the bytes of an announcement before its packets.
_CACHE = "cache" / Int8ul, "epoch" / Int16ul
ANNOUNCE_HEAD_LENGTH = 7
_ROW_LENGTH = ANNOUNCED_ROW.itemsize


@dataclass(frozen=True, slots=True)
class Announce:
    """
    Packets that travelled as they are, and the ids under which they are stored.

    @ivar packets: C{ANNOUNCED_ROW[n]}, 1 to L{MOST_ANNOUNCED}.
    """

    cache: int
    epoch: int
    packets: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """
    What a decoder holds.

    @ivar newest: low half of the newest id that it holds.
    @ivar held: 64 bytes; bit i, lowest first, says that C{newest - i} is held.
    """

    cache: int
    epoch: int
    newest: int
    held: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """
    A packet that cannot be decoded.

    @ivar id: low half of its id.
    @ivar missing: low half of the id of the first source that is not held; C{id} itself where none is known.
    """

    cache: int
    epoch: int
    reason: Reason
    id: int
    missing: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The payload of a refused packet."""

    cache: int
    epoch: int
    id: int
    checksum: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Fork:
    """From C{id} on C{cache} goes its own way; below it, it is what C{origin} held in C{originEpoch}."""

    cache: int
    epoch: int
    origin: int
    originEpoch: int
    id: int


@dataclass(frozen=True, slots=True)
class Forked:
    """
    The answer to L{Fork}.

    @ivar newest: low half of the newest id that C{origin} had reached by then; of one a whole ring below C{id}, if
        nothing of it was there.
    """

    cache: int
    epoch: int
    origin: int
    id: int
    newest: int


Message = Announce | Acknowledge | Refuse | Answer | Fork | Forked

_ANNOUNCE = Struct(*_HEAD, *_CACHE, "count" / Int8ul, "packets" / Bytes(this.count * _ROW_LENGTH), Terminated).compile()
_ACKNOWLEDGE = Struct(*_HEAD, *_CACHE, "newest" / Int32ul, "held" / Bytes(HELD_LENGTH), Terminated).compile()
_REFUSE = Struct(*_HEAD, *_CACHE, "reason" / Int8ul, "id" / Int32ul, "missing" / Int32ul, Terminated).compile()
_ANSWER = Struct(
    *_HEAD,
    *_CACHE,
    "id" / Int32ul,
    "length" / Int16ul,
    "checksum" / Int32ul,
    "payload" / Bytes(this.length),
    Terminated,
).compile()
_FORK = Struct(*_HEAD, *_CACHE, "origin" / Int8ul, "originEpoch" / Int16ul, "id" / Int32ul, Terminated).compile()
_FORKED = Struct(*_HEAD, *_CACHE, "origin" / Int8ul, "id" / Int32ul, "newest" / Int32ul, Terminated).compile()
_FORMATS: dict[int, tuple[type, Construct]] = {
    Kind.ANNOUNCE: (Announce, _ANNOUNCE),
    Kind.ACKNOWLEDGE: (Acknowledge, _ACKNOWLEDGE),
    Kind.REFUSE: (Refuse, _REFUSE),
    Kind.ANSWER: (Answer, _ANSWER),
    Kind.FORK: (Fork, _FORK),
    Kind.FORKED: (Forked, _FORKED),
}
_KINDS = {type_: kind for kind, (type_, _) in _FORMATS.items()}


def buildMessage(message: Message) -> bytes:
    """
    The bytes of a message, from the magic to the check.

    @raise ProtocolError: a field does not fit.
    """
    fields: dict[str, Any] = {name: getattr(message, name) for name in message.__slots__}
    if isinstance(message, Announce):
        fields |= {"count": len(message.packets), "packets": message.packets.astype(ANNOUNCED_ROW).tobytes()}
    elif isinstance(message, Answer):
        fields["length"] = len(message.payload)
    kind = _KINDS[type(message)]
    _check(message)
    try:
        body: bytes = _FORMATS[kind][1].build({"kind": kind, **fields})
    except (ConstructError, struct.error) as error:
        raise ProtocolError(f"{type(message).__name__} cannot be built: {error}") from error
    return body + checkOf(body)


def checkOf(body: bytes) -> bytes:
    """The check of a message without it."""
    return (hashOf(body) & 0xFFFFFFFF).to_bytes(CHECK_LENGTH, "little")


def parseMessage(data: bytes) -> Message:
    """
    The message in C{data}, what stands behind an IP header.

    @raise ProtocolError: there is none: it is not ours, or damaged.
    """
    body, check = data[:-CHECK_LENGTH], data[-CHECK_LENGTH:]
    if len(body) < 3 or int.from_bytes(body[:2], "little") != MAGIC or body[2] not in _FORMATS:
        raise ProtocolError(f"no message begins with {data[:3].hex(' ')}")
    if checkOf(body) != check:
        raise ProtocolError("the check of a message is wrong")
    type_, format_ = _FORMATS[body[2]]
    try:
        found = format_.parse(body)
    except (ConstructError, struct.error) as error:
        raise ProtocolError(f"a malformed {type_.__name__}: {error}") from error
    # compiled formats take what is left for bytes, however little
    sizes = {"held": HELD_LENGTH, "payload": found.get("length"), "packets": found.get("count", 0) * _ROW_LENGTH}
    if any(name in found and len(found[name]) != size for name, size in sizes.items()):
        raise ProtocolError(f"a {type_.__name__} is cut off")
    message: Message = type_(**{name: _value(name, found[name]) for name in type_.__slots__})  # type: ignore[attr-defined]
    _check(message)
    return message


def _value(name: str, value: Any) -> Any:
    if name == "packets":
        return np.frombuffer(value, ANNOUNCED_ROW)
    if name == "reason":
        try:
            return Reason(value)
        except ValueError as error:
            raise ProtocolError(f"no reason {value} to refuse a packet") from error
    return value


def _check(message: Message) -> None:
    """@raise ProtocolError: an epoch, a count or a fork that cannot be."""
    if not 1 <= message.epoch <= 0xFFFF:
        raise ProtocolError(f"no epoch {message.epoch}")
    if isinstance(message, Fork) and (not 1 <= message.originEpoch <= 0xFFFF or message.cache == message.origin):
        raise ProtocolError(f"a fork of cache {message.origin} in epoch {message.originEpoch}")
    if isinstance(message, Announce) and not 1 <= len(message.packets) <= MOST_ANNOUNCED:
        raise ProtocolError(f"an announcement of {len(message.packets)} packets")


def nearest(low: int, newest: int) -> int:
    """The absolute id whose low half is C{low} and that is nearest to C{newest}."""
    ahead = (low - newest) & 0xFFFFFFFF
    return (newest + ahead - ((ahead >> 31) << 32)) % (1 << 64)


def isNewer(epoch: int, other: int) -> bool:
    """Is C{epoch} later than C{other}, by serial arithmetic (RFC 1982)?"""
    return 0 < (epoch - other) & 0xFFFF < 0x8000


def nextEpoch(epoch: int) -> int:
    """The one after C{epoch}: 1 follows 65,535."""
    return epoch % 0xFFFF + 1
