"""The kernels for what is not TCP: UDP, ICMP and all other protocols."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.tracking.endpoints import turnRoles
from openmb.plugins.bro.tracking.history import addLetter, addOnce, wasSeen
from openmb.plugins.bro.tracking.numbers import INNER, ORIGINATOR, ZERO, Number, Truth, constants
from openmb.plugins.bro.tracking.pieces import PIECE_DATAGRAM
from openmb.plugins.bro.tracking.states import LETTER_DATA, LETTER_LIMIT, NEVER, SERVICE_DNS, SERVICE_NTP
from openmb.plugins.bro.tracking.urgency import URGENT_OWN
from openmb.plugins.bro.tracking.work import addPiece

_D, _X = constants(b"DX")
_DNS_HEADER = 12
_NTP_LEAST = 48
_NTP_CLIENT, _NTP_SERVER = constants((3, 4))
_NETBIOS = 137

#: Signatures are looked for until both sides together have sent so many bytes.
SIGNED_UNTIL = 1024
_BIT32 = 1 << 32


@njit(**INNER)
def isMulticast(high: Any, low: Any) -> Truth:
    """224.0.0.0/4 or ff00::/8."""
    if high >> np.uint64(56) == np.uint64(0xFF):
        return True
    isMapped = high == np.uint64(0) and low >> np.uint64(32) == np.uint64(0xFFFF)
    return isMapped and (low >> np.uint64(28)) & np.uint64(15) == np.uint64(14)


@njit(**INNER)
def sentBytes(row: Any) -> Number:
    """Payload bytes of both sides of a connection that is not TCP."""
    first, second = np.int64(row["size"][0]), np.int64(row["size"][1])
    return (first if first > 0 else ZERO) + (second if second > 0 else ZERO)


@njit(**INNER)
def addSize(row: Any, side: Number, now: Number, length: Number) -> None:
    """Count payload of one side; -1 stands for none so far."""
    row["last"] = now
    size = np.int64(row["size"][side])
    row["size"][side] = length if size < 0 else size + length


@njit(**INNER)
def _readDNS(row: Any, side: Number, first: Number, second: Number, isToGroup: Truth, isNamed: Truth) -> None:
    """A DNS header's two bytes of flags: a reply as the first message turns the roles; an unknown opcode is noted."""
    if not row["messageSeen"]:
        row["messageSeen"] = 1
        if side == 0 and first & 0x80 and not isToGroup:
            turnRoles(row)
    opcode = (first >> 3) & 15
    if isNamed:
        return
    if opcode != 0 and opcode != 4 and opcode != 5 and not wasSeen(row, LETTER_LIMIT, ORIGINATOR):
        addLetter(row, _X)


@njit(**INNER)
def _mayTurn(side: Number, first: Number) -> Truth:
    """Is this the first byte of an NTP message that only the other side sends: then the roles may turn?"""
    return first & 7 == (_NTP_SERVER if side == 0 else _NTP_CLIENT)


@njit(**INNER)
def _isCookie(data: NDArray[np.uint8], at: Number) -> Truth:
    """Does DHCP's cookie lie there?"""
    return data[at] == 0x63 and data[at + 1] == 0x82 and data[at + 2] == 0x53 and data[at + 3] == 0x63


@njit(**INNER)
def _isSigned(data: NDArray[np.uint8], place: Number, present: Number) -> Truth:
    """Do the bytes look like DHCP's cookie, or like the ClientHello of DTLS?"""
    if present >= 240 and _isCookie(data, place + 236):
        return True
    if present < 28 or data[place] != 0x16 or data[place + 1] != 0xFE or data[place + 13] != 1:
        return False
    version, inner = data[place + 2], data[place + 26]
    if (version != 0xFF and version != 0xFD) or data[place + 25] != 0xFE or (inner != 0xFF and inner != 0xFD):
        return False
    zeros = np.int64(0)
    for at in range(3, 10):
        zeros |= np.int64(data[place + at])
    return zeros == 0


@njit(**INNER)
def _tell(
    work: Any,
    row: Any,
    keys: Any,
    side: Number,
    before: Number,
    data: NDArray[np.uint8],
    place: Number,
    offset: Number,
    present: Number,
) -> None:
    """Tell whoever reads this connection's data; C{before}: bytes that were sent before this packet."""
    if not row["inspect"]:
        if before > SIGNED_UNTIL or not _isSigned(data, place, present):
            return
        row["inspect"] = 1
    if row["skipUntil"][side] != NEVER:
        addPiece(work, row, keys, PIECE_DATAGRAM, side, ZERO, offset, present, sentBytes(row))


@njit(**INNER)
def takeDatagram(
    work: Any,
    row: Any,
    keys: Any,
    side: Number,
    header: Any,
    now: Number,
    data: NDArray[np.uint8],
    place: Number,
    captured: Number,
) -> None:
    """
    Process one UDP datagram of good checksum.

    @param place: where its payload begins in C{data}.
    @param captured: how many bytes of payload are there.
    """
    length = np.int64(header["window"]) - 8
    before = sentBytes(row)
    addOnce(row, LETTER_DATA, _D, side)
    addSize(row, side, now, length)
    present = min(captured, length)
    swapped = np.int64(row["swapped"])
    if row["analyzer"] == SERVICE_DNS:
        if present >= _DNS_HEADER:
            isToGroup = isMulticast(header["destination_high"], header["destination_low"])
            isNamed = header["source_port"] == _NETBIOS or header["destination_port"] == _NETBIOS
            _readDNS(row, side, np.int64(data[place + 2]), np.int64(data[place + 3]), isToGroup, isNamed)
    elif row["analyzer"] == SERVICE_NTP and present >= _NTP_LEAST and _mayTurn(side, np.int64(data[place])):
        # the analyser decides, and it must have done so before this connection's next packet is counted
        row["urgent"] = URGENT_OWN
    if present > 0:
        # what was sent by whom is counted as it stood before the roles turned
        talker = side if row["swapped"] == swapped else 1 - side
        _tell(work, row, keys, talker, before, data, place, np.int64(header["payload"]), present)
