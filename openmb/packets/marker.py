"""
Drain markers: the frame that a network sends down a path to tell a middlebox that nothing older is still under way.

The frame is an Ethernet frame of the local experimental type 0x88B5 (IEEE 802), so that any switch carries it.  Its
stamp is the one of the packet record that carries it.  Decoding recognises it as C{Kind.MARKER} by length, type and
magic, whatever the link type; who acts on it compares the token.
"""

from __future__ import annotations

from dataclasses import dataclass

from construct import Bytes, Const, ConstructError, Int8ub, Int16ub, Int32ub, Int64ub, Padding, Struct, Terminated

from openmb.errors import ProtocolError

MARKER_LENGTH = 64
#: Markers that follow the old route's return are numbered from here, those of the way forward from 1.
BACK_MARKERS = 1 << 31
MARKER_TYPE = 0x88B5
MARKER_MAGIC = b"OMBM"
MARKER_VERSION = 1
TOKEN_LENGTH = 16
_FINAL = 1

#: A locally administered multicast address: no host's own, and flooded by a switch that does not know it.
_DESTINATION = bytes.fromhex("034f4d424d00")

_FORMAT = Struct(
    "destination" / Const(_DESTINATION),
    "source" / Const(bytes(6)),
    "type" / Const(MARKER_TYPE, Int16ub),
    "magic" / Const(MARKER_MAGIC),
    "version" / Const(MARKER_VERSION, Int8ub),
    "flags" / Int8ub,
    "token" / Bytes(TOKEN_LENGTH),
    "operation" / Int64ub,
    "number" / Int32ub,
    Padding(16),
    Terminated,
).compile()


@dataclass(frozen=True, slots=True)
class Marker:
    """
    What a drain marker says.

    @ivar operation: the 64-bit operation id.
    @ivar token: 16 bytes that only the controller and the two middleboxes know.
    @ivar number: how many markers of this operation were sent before on this path.
    @ivar final: sent after the settling time: no packet takes the old path any more.
    """

    operation: int
    token: bytes
    number: int
    final: bool


def buildMarker(operation: int, token: bytes, number: int, final: bool) -> bytes:
    """The frame of one marker, L{MARKER_LENGTH} bytes; C{token} must have 16 bytes."""
    fields = {"flags": _FINAL if final else 0, "token": token, "operation": operation, "number": number}
    frame: bytes = _FORMAT.build(fields)
    return frame


def parseMarker(frame: bytes) -> Marker:
    """
    The marker in a frame.

    @raise ProtocolError: it is none, or of another version.
    """
    if len(frame) != MARKER_LENGTH:
        raise ProtocolError(f"a drain marker has {MARKER_LENGTH} bytes, not {len(frame)}")
    try:
        found = _FORMAT.parse(frame)
    except ConstructError as error:
        raise ProtocolError(f"not a drain marker: {error}") from error
    if found.flags & ~_FINAL:
        raise ProtocolError(f"unknown flags {found.flags:#x} in a drain marker")
    return Marker(found.operation, bytes(found.token), found.number, bool(found.flags & _FINAL))
