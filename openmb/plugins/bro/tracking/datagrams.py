"""The kernels for what is not TCP: UDP, ICMP and all other protocols."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.tracking.endpoints import turnRoles
from openmb.plugins.bro.tracking.history import addLetter, addOnce, wasSeen
from openmb.plugins.bro.tracking.numbers import INNER, ORIGINATOR, Number, Truth, constants
from openmb.plugins.bro.tracking.states import ANALYZER_DNS, ANALYZER_NTP, LETTER_DATA, LETTER_LIMIT

_D, _X = constants(b"DX")
_DNS_HEADER = 12
_NTP_LEAST = 48
_BIT32 = 1 << 32


@njit(**INNER)
def isMulticast(high: Any, low: Any) -> Truth:
    """224.0.0.0/4 or ff00::/8."""
    if high >> np.uint64(56) == np.uint64(0xFF):
        return True
    isMapped = high == np.uint64(0) and low >> np.uint64(32) == np.uint64(0xFFFF)
    return isMapped and (low >> np.uint64(28)) & np.uint64(15) == np.uint64(14)


@njit(**INNER)
def addSize(row: Any, side: Number, now: Number, length: Number) -> None:
    """Count payload of one side; -1 stands for none so far."""
    row["last"] = now
    size = np.int64(row["size"][side])
    row["size"][side] = length if size < 0 else size + length


@njit(**INNER)
def _readDNS(row: Any, side: Number, first: Number, second: Number, isToGroup: Truth) -> None:
    """A DNS header's two bytes of flags: a reply as the first message turns the roles; an unknown opcode is noted."""
    if not row["messageSeen"]:
        row["messageSeen"] = 1
        if side == 0 and first & 0x80 and not isToGroup:
            turnRoles(row)
    opcode = (first >> 3) & 15
    if opcode != 0 and opcode != 4 and opcode != 5 and not wasSeen(row, LETTER_LIMIT, ORIGINATOR):
        addLetter(row, _X)


@njit(**INNER)
def _readNTP(row: Any, side: Number, first: Number) -> None:
    """The first byte of an NTP message: one that only a server sends turns the roles when it comes first."""
    if row["messageSeen"]:
        return
    row["messageSeen"] = 1
    mode = first & 7
    if side == 0 and (mode == 2 or mode == 4 or mode == 5):
        turnRoles(row)


@njit(**INNER)
def takeDatagram(
    row: Any, side: Number, header: Any, now: Number, data: NDArray[np.uint8], place: Number, captured: Number
) -> None:
    """
    Process one UDP datagram of good checksum.

    @param place: where its payload begins in C{data}.
    @param captured: how many bytes of payload are there.
    """
    length = np.int64(header["window"]) - 8
    addOnce(row, LETTER_DATA, _D, side)
    addSize(row, side, now, length)
    present = min(captured, length)
    if row["analyzer"] == ANALYZER_DNS:
        if present >= _DNS_HEADER:
            isToGroup = isMulticast(header["destination_high"], header["destination_low"])
            _readDNS(row, side, np.int64(data[place + 2]), np.int64(data[place + 3]), isToGroup)
    elif row["analyzer"] == ANALYZER_NTP and present >= _NTP_LEAST:
        _readNTP(row, side, np.int64(data[place]))
