"""
Rows of conn.log by kernel: the text of many finished records at once, without an object for any of them.

What it writes is what L{openmb.plugins.bro.reporting.connections.connectionRows} and the tab-separated format make of
the same records, to the byte. It refuses a record with values that this engine never makes; such ones take that way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.reporting.textkernel import (
    LONGEST_ADDRESS,
    LONGEST_NUMBER,
    LONGEST_TIME,
    nameTable,
    putAddress,
    putName,
    putNumber,
    putSeconds,
    putTime,
)
from openmb.plugins.bro.reporting.uidkernel import LONGEST_ID, keyState, putID
from openmb.plugins.bro.service import MOST_SERVICES, Service
from openmb.plugins.bro.tracking.borrowed import borrow
from openmb.plugins.bro.tracking.endpoints import endpointSize
from openmb.plugins.bro.tracking.numbers import INNER, ORIGINATOR, RESPONDER, Number, Truth, constants
from openmb.plugins.bro.tracking.states import (
    CLOSED,
    ESTABLISHED,
    HISTORY_LIMIT,
    INACTIVE,
    PARTIAL,
    RESET,
    SYN_ACK_SENT,
    SYN_SENT,
)

_NAMED = ("OTH", "S0", "S1", "S2", "S3", "SF", "SH", "SHR", "REJ", "RSTO", "RSTR", "RSTOS0", "RSTRH")
_STATES = nameTable(_NAMED)
(_OTH, _S0, _S1, _S2, _S3, _SF, _SH, _SHR, _REJ, _RSTO, _RSTR, _RSTOS0, _RSTRH) = constants(range(len(_NAMED)))
_TRANSPORTS = nameTable(("unknown_transport", "icmp", "tcp", "udp"))
_SERVICES = nameTable([service.text for service in Service])

_TAB, _COMMA, _UNSET, _END, _TRUE, _FALSE = constants(b"\t,-\nTF")
_CARET, _S, _R = constants(b"^SR")
_UDP = 17
_NOTHING = np.uint64(0)
#: Letters before the reset of a RSTOS0 that speak against it.
_MORE = np.isin(np.arange(256), list(b"HAFGIQ"))
#: What stands in a history as it is.
_LETTERS = np.isin(np.arange(256), [*range(65, 91), *range(97, 123), ord("^")])

#: Bytes of a row at most.
LONGEST_ROW = (
    LONGEST_ID
    + HISTORY_LIMIT
    + 2 * (LONGEST_TIME + LONGEST_ADDRESS)
    + 10 * LONGEST_NUMBER
    + MOST_SERVICES * (_SERVICES.shape[1])
    + _TRANSPORTS.shape[1]
    + _STATES.shape[1]
    + 32
)


@njit(**INNER)
def _isHalfOpen(row: Any) -> Truth:
    """Does the history begin with a SYN that nothing but a RST followed?"""
    count = np.int64(row["letters"])
    place = np.int64(1) if count > 0 and row["history"][0] == _CARET else np.int64(0)
    if place >= count or row["history"][place] != _S:
        return False
    while place < count:
        letter = row["history"][place]
        if letter == _R:
            return True
        if _MORE[letter]:
            return False
        place += 1
    return False


@njit(**INNER)
def _resetState(row: Any, first: Number, second: Number, isEmpty: Truth) -> Number:
    """The state of a connection one of whose ends has sent a RST."""
    if second == RESET:
        if first in (SYN_SENT, SYN_ACK_SENT) or (first == RESET and isEmpty):
            return _REJ
        return _RSTRH if first in (INACTIVE, PARTIAL) else _RSTR
    if second != INACTIVE and second != PARTIAL:
        return _RSTO
    return _RSTOS0 if _isHalfOpen(row) else _OTH


@njit(**INNER)
def _tcpState(row: Any, isEmpty: Truth) -> Number:
    """See L{openmb.plugins.bro.reporting.connections.tcpState}."""
    first, second = np.int64(row["state"][0]), np.int64(row["state"][1])
    if first == RESET or second == RESET:
        return _resetState(row, first, second, isEmpty)
    if first == CLOSED:
        if second == CLOSED:
            return _SF
        return _SH if second in (INACTIVE, PARTIAL) else _S2
    if second == CLOSED:
        return _SHR if first in (INACTIVE, PARTIAL) else _S3
    if first == SYN_SENT and second == INACTIVE:
        return _S0
    return _S1 if first == ESTABLISHED and second == ESTABLISHED else _OTH


@njit(**INNER)
def _udpState(row: Any) -> Number:
    """The same of UDP."""
    if row["size"][0] >= 0:
        return _SF if row["size"][1] >= 0 else _S0
    return _SHR if row["size"][1] >= 0 else _OTH


@njit(**INNER)
def _isOrdinary(row: Any) -> Truth:
    """Does the record hold nothing that would have to be escaped?"""
    count = np.int64(row["letters"])
    odd = count > HISTORY_LIMIT
    for i in range(min(count, np.int64(HISTORY_LIMIT))):
        odd |= not _LETTERS[row["history"][i]]
    for i in range(MOST_SERVICES):
        odd |= row["services"][i] >= len(_SERVICES)
    return not odd


@njit(**INNER)
def _putServices(out: NDArray[np.uint8], place: Number, row: Any) -> Number:
    """The names of the services, in order."""
    begin = place
    for i in range(MOST_SERVICES):
        service = np.int64(row["services"][i])
        if service != 0:
            if place > begin:
                out[place] = _COMMA
                place += 1
            place = putName(out, place, _SERVICES, service)
    if place == begin:
        out[place] = _UNSET
        place += 1
    return place


@njit(**INNER)
def _putLocality(out: NDArray[np.uint8], place: Number, networks: NDArray[np.uint64], high: Any, low: Any) -> Number:
    """Is this address in one of the networks, each two words of a prefix and two of its mask? And a tab."""
    out[place] = _FALSE if len(networks) else _UNSET
    for i in range(len(networks)):
        if high & networks[i, 2] == networks[i, 0] and low & networks[i, 3] == networks[i, 1]:
            out[place] = _TRUE
            break
    out[place + 1] = _TAB
    return place + 2


@njit(**INNER)
def _putCount(out: NDArray[np.uint8], place: Number, number: Any) -> Number:
    """A number and a tab."""
    place = putNumber(out, place, number)
    out[place] = _TAB
    return place + 1


@njit(**INNER)
def putEnds(out: NDArray[np.uint8], place: Number, key: Any, first: Number) -> Number:
    """Addresses and ports, a tab after each; C{first}: the key's endpoint that is the originator."""
    for turn in range(2):
        which = first ^ turn
        place = putAddress(out, place, key[2 * which], key[2 * which + 1])
        out[place] = _TAB
        place = _putCount(out, place + 1, (key[4] >> np.uint64(16 * which)) & np.uint64(0xFFFF))
    return place


@njit(**INNER)
def _putSizes(out: NDArray[np.uint8], place: Number, row: Any, sizes: NDArray[np.uint64]) -> Number:
    """Duration and sizes, unset in a connection of one packet or none that counts."""
    if row["last"] > row["start"]:
        place = putSeconds(out, place, np.uint64(row["last"]) - np.uint64(row["start"]))
        out[place] = _TAB
        place += 1
        for side in range(2):
            place = _putCount(out, place, sizes[side])
        return place
    for _ in range(3):
        out[place] = _UNSET
        out[place + 1] = _TAB
        place += 2
    return place


@njit(**INNER)
def _putHistory(out: NDArray[np.uint8], place: Number, row: Any) -> Number:
    """The letters and a tab."""
    count = np.int64(row["letters"])
    for i in range(count):
        out[place + i] = row["history"][i]
    if count == 0:
        out[place] = _UNSET
        count = np.int64(1)
    out[place + count] = _TAB
    return place + count + 1


@njit(**INNER)
def _transportOf(protocol: Number) -> Number:
    """Which of the names of transports."""
    if protocol == 6:
        return np.int64(2)
    if protocol == 17:
        return np.int64(3)
    return np.int64(1) if protocol == 1 or protocol == 58 else np.int64(0)


@njit(**INNER)
def _stateOf(row: Any, protocol: Number, sizes: NDArray[np.uint64]) -> Number:
    """The state of a connection, and the bytes that each side has sent."""
    if row["tcp"]:
        for side in (ORIGINATOR, RESPONDER):
            sizes[side] = np.uint64(endpointSize(row, side))
        return _tcpState(row, sizes[0] == _NOTHING and sizes[1] == _NOTHING)
    for side in range(2):
        sizes[side] = np.uint64(row["size"][side]) if row["size"][side] > 0 else _NOTHING
    return _udpState(row) if protocol == _UDP else _OTH


@njit(**INNER)
def _putRow(
    out: NDArray[np.uint8],
    place: Number,
    key: Any,
    row: Any,
    networks: NDArray[np.uint64],
    sizes: NDArray[np.uint64],
) -> Number:
    """What follows the id."""
    first = np.int64(1) if row["swapped"] else np.int64(0)
    place = putEnds(out, place, key, first)
    protocol = np.int64((key[4] >> np.uint64(32)) & np.uint64(0xFF))
    place = putName(out, place, _TRANSPORTS, _transportOf(protocol))
    out[place] = _TAB
    place = _putServices(out, place + 1, row)
    out[place] = _TAB
    state = _stateOf(row, protocol, sizes)
    place = putName(out, _putSizes(out, place + 1, row, sizes), _STATES, state)
    out[place] = _TAB
    place += 1
    for turn in range(2):
        which = first ^ turn
        place = _putLocality(out, place, networks, key[2 * which], key[2 * which + 1])
    place = _putHistory(out, _putCount(out, place, row["missed"]), row)
    for side in range(2):
        place = _putCount(out, place, row["packets"][side])
        place = _putCount(out, place, row["bytes"][side])
    out[place] = _UNSET
    out[place + 1] = _TAB
    place = putNumber(out, place + 2, np.uint64(protocol))
    out[place] = _END
    return place + 1


@njit(cache=True)
def fillRows(
    ownKeys: Any,
    ownRows: Any,
    seed: NDArray[np.uint64],
    networks: NDArray[np.uint64],
    room: NDArray[np.uint64],
    ownOut: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> Number:
    """
    Write the rows of finished records.

    @param ownKeys: C{uint64[n, 5]}; C{ownRows}: C{ROW[n]}.
    @param seed: what L{openmb.plugins.bro.reporting.uidkernel.seedOf} gives.
    @param networks: C{uint64[m, 4]}, the local ones: a prefix, and its mask.
    @param room: C{uint64[66]}, to work in.
    @param ownOut: L{LONGEST_ROW} bytes for each record.
    @param ends: C{int64[n]}, filled with the place behind each row.
    @return: how many bytes; -1: one of the records is none of this engine's making.
    """
    keys, rows, out = borrow(ownKeys), borrow(ownRows), borrow(ownOut)
    keyed, state, block, sizes = room[:24], room[24:48], room[48:64], room[64:]
    keyState(seed, keyed)
    place = np.int64(0)
    for i in range(len(rows)):
        row = rows[i]
        if not _isOrdinary(row):
            return np.int64(-1)
        start = np.int64(row["start"])
        place = putTime(out, place, start)
        out[place] = _TAB
        place = putID(out, place + 1, keyed, keys[i], start, state, block)
        out[place] = _TAB
        place = _putRow(out, place + 1, keys[i], row, networks, sizes)
        ends[i] = place
    return place
