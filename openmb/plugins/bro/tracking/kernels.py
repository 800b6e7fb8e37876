"""
The kernel that tracks connections: packets in order against the table, everything common without Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.headers import Kind, Status
from openmb.plugins.bro.tracking.borrowed import borrow
from openmb.plugins.bro.tracking.datagrams import addSize, sentBytes, takeDatagram
from openmb.plugins.bro.tracking.endpoints import flipRoles
from openmb.plugins.bro.tracking.expiry import isExpired
from openmb.plugins.bro.tracking.history import addScaled
from openmb.plugins.bro.tracking.numbers import INNER, ORIGINATOR, RESPONDER, ZERO, Number, Truth
from openmb.plugins.bro.tracking.pieces import PIECE_BORN, PIECE_DATA, PIECE_ENDED, PIECE_REMOVED
from openmb.plugins.bro.tracking.ports import EXPECTED, LIKELY_TCP, LIKELY_UDP, SERVICE_MASK, SERVICE_TCP, SERVICE_UDP
from openmb.plugins.bro.tracking.reassembly import bothSizes
from openmb.plugins.bro.tracking.segments import isReuse, takeSegment
from openmb.plugins.bro.tracking.states import (
    ACK,
    NEVER,
    SCALED_CHECKSUM,
    SERVICE_DNS,
    SERVICE_FTP,
    SERVICE_SSH,
    SYN,
    TIMEOUT_DATAGRAM,
    TIMEOUT_HANDSHAKE,
)
from openmb.plugins.bro.tracking.urgency import (
    SHORT_CHUNK,
    URGENT_ANY,
    URGENT_LINES,
    URGENT_MESSAGES,
    URGENT_OWN,
    URGENT_PACKETS,
    areMessages,
    arePackets,
    isWhole,
    mayAgree,
)
from openmb.plugins.bro.tracking.weirds import BAD_HEADER_LENGTH, WEIRDS_PER_PACKET, addWeird
from openmb.plugins.bro.tracking.work import (
    FINISHED,
    FIRST_BYTE,
    PACKET,
    PIECES,
    PIECES_PER_PACKET,
    SLOT,
    STAMP,
    STOP,
    WAITING,
    WEIRDS,
    addPiece,
    dropRanges,
    hurry,
    isWaiting,
)
from openmb.state.flowkey import flowWords
from openmb.state.slots import findSlot, insertKey, removeSlot

_TCP, _UDP, _ICMP, _OTHER = int(Kind.TCP), int(Kind.UDP), int(Kind.ICMP), int(Kind.OTHER)
_BAD_CHECKSUM, _BAD_TRANSPORT = int(Status.BAD_CHECKSUM), int(Status.BAD_TRANSPORT)
_TUNNELLED, _SIX, _NO_LENGTH = int(Status.TUNNELLED), int(Status.IPV6), int(Status.NO_LENGTH)
_BROADCAST = 0x0000FFFFFFFFFFFF
_CHECKSUM = np.int64(ord("C"))
#: Bytes of a complete header by kind; a packet with fewer makes no record.
_TCP_HEADER, _OTHER_HEADER = 20, 8
_EXTENSION = 8


@njit(**INNER)
def _isSilent(header: Any) -> Truth:
    """
    Is this a protocol, none of TCP, UDP and ICMP, of which Zeek makes no connection?

    IGMP, which has a log of its own there; IP in IP, IPv6 in IP and GRE that could not be followed; "no next header";
    over IPv6 also ESP and Mobile IPv6's header, if they are not cut off.
    """
    protocol = header["protocol"]
    if protocol == 2 or protocol == 4 or protocol == 41 or protocol == 47 or protocol == 59:
        return True
    whole = np.int64(header["total"]) - (np.int64(header["transport"]) - np.int64(header["network"]))
    return header["status"] & _SIX != 0 and (protocol == 50 or protocol == 135) and whole >= _EXTENSION


@njit(**INNER)
def _makesNoRecord(header: Any, captured: Number) -> Truth:
    """Is this packet nothing that has a record: not IP, a fragment, a tunnel's outer packet, a header cut off?"""
    kind = header["kind"]
    if kind == _TCP:
        needed = _TCP_HEADER
    elif kind in (_UDP, _ICMP):
        needed = _OTHER_HEADER
    elif kind == _OTHER:
        return _isSilent(header)
    else:
        return True
    start = np.int64(header["transport"])
    whole = np.int64(header["total"]) - (start - np.int64(header["network"]))
    return whole < needed or captured - start < needed


@njit(**INNER)
def _isTurned(header: Any, portBits: NDArray[np.uint16]) -> Truth:
    """Do the ports say that the first packet came from the responder?"""
    source, destination = np.int64(header["source_port"]), np.int64(header["destination_port"])
    kind = header["kind"]
    if header["destination_high"] == 0 and header["destination_low"] == _BROADCAST:
        return False
    if kind == _UDP:
        return (portBits[source] & LIKELY_UDP) != 0 and (portBits[destination] & LIKELY_UDP) == 0
    if kind != _TCP:
        return False
    flags = header["flags"]
    if flags & SYN and not flags & ACK:
        return False
    if not portBits[source] & LIKELY_TCP:
        return False
    if not portBits[destination] & LIKELY_TCP:
        return True
    return not flags & SYN and source < destination


@njit(**INNER)
def _beginRow(row: Any, header: Any, now: Number, isA: Truth, portBits: NDArray[np.uint16]) -> Truth:
    """A new record for the connection that this packet begins; may it be one that was agreed on?"""
    for side in range(2):
        row["delivered"][side] = 1
        row["trimmed"][side] = 1
        row["head"][side] = -1
        row["size"][side] = -1
    row["deadline"] = NEVER
    row["partialClose"] = NEVER
    row["attempt"] = NEVER
    row["start"] = now
    row["last"] = now
    row["swapped"] = 0 if isA else 1
    row["tcp"] = 1 if header["kind"] == _TCP else 0
    row["timeout"] = TIMEOUT_HANDSHAKE if row["tcp"] else TIMEOUT_DATAGRAM
    responder = np.int64(header["destination_port"])
    if _isTurned(header, portBits):
        flipRoles(row)
        responder = np.int64(header["source_port"])
    bits = np.int64(portBits[responder])
    if row["tcp"]:
        service = (bits >> SERVICE_TCP) & SERVICE_MASK
        row["inspect"] = 1
        # what these say may change time-outs, roles, or the service of a connection that is about to begin
        if service == SERVICE_FTP:
            row["urgent"] = URGENT_LINES
        elif service == SERVICE_SSH:
            row["urgent"] = URGENT_PACKETS
        elif service == SERVICE_DNS:
            row["urgent"] = URGENT_MESSAGES
    elif header["kind"] == _UDP:
        service = (bits >> SERVICE_UDP) & SERVICE_MASK
        row["inspect"] = 1 if service else 0
    else:
        service = np.int64(0)
    row["analyzer"] = service
    return row["tcp"] and (bits & EXPECTED) != 0


@njit(**INNER)
def _sizeOf(row: Any) -> Number:
    """Payload bytes of both sides."""
    if row["tcp"]:
        return bothSizes(row)
    return sentBytes(row)


@njit(**INNER)
def finishSlot(work: Any, table: Any, rows: Any, slot: Number) -> None:
    """The connection in C{slot} has ended: hand its row out, free the slot."""
    row = rows[slot]
    cursors = work.cursors
    place = cursors[FINISHED]
    cursors[SLOT] = slot
    cursors[STAMP] = np.int64(row["last"]) * 1000
    dropRanges(work, row, ORIGINATOR)
    dropRanges(work, row, RESPONDER)
    if row["inspect"]:
        row["urgent"] = 0
        addPiece(work, row, table.keys, PIECE_REMOVED, ORIGINATOR, place, ZERO, ZERO, _sizeOf(row))
    for word in range(5):
        work.keys[place, word] = table.keys[slot, word]
    work.rows[place] = rows[slot]
    cursors[FINISHED] = place + 1
    removeSlot(table, slot)


@njit(cache=True)
def finishSlots(work: Any, table: Any, rows: Any, slots: NDArray[np.int64]) -> Number:
    """L{finishSlot} for as many of C{slots} as there is room for; how many."""
    room = min(len(work.rows) - work.cursors[FINISHED], len(work.pieces) - work.cursors[PIECES])
    count = min(len(slots), room)
    for i in range(count):
        finishSlot(work, table, rows, slots[i])
    return count


@njit(**INNER)
def _update(
    work: Any,
    table: Any,
    row: Any,
    header: Any,
    side: Number,
    now: Number,
    data: NDArray[np.uint8],
    begin: Number,
    captured: Number,
) -> Number:
    """Apply a packet to its record: the side to count it for, -1 if it is not accepted."""
    kind = header["kind"]
    status = header["status"]
    if kind == _TCP:
        if status & _BAD_TRANSPORT:
            addWeird(work, row, table.keys, BAD_HEADER_LENGTH)
            return -1
        if status & _BAD_CHECKSUM:
            addScaled(row, SCALED_CHECKSUM, _CHECKSUM, side)
            return -1
        payload = np.int64(header["payload"])
        work.cursors[FIRST_BYTE] = np.int64(data[begin + payload]) if payload < captured else np.int64(-1)
        ports = np.int64(table.keys[work.cursors[SLOT], 4] & np.uint64(0xFFFFFFFF))
        isWhole = header["captured"] >= header["length"]
        return takeSegment(work, row, table.keys, side, header, now, ports, isWhole)
    if status & _BAD_CHECKSUM:
        if kind == _UDP:
            addScaled(row, SCALED_CHECKSUM, _CHECKSUM, side)
        return -1
    if kind == _UDP:
        place = np.int64(header["payload"])
        takeDatagram(work, row, table.keys, side, header, now, data, begin + place, captured - place)
    elif kind == _ICMP:
        addSize(row, side, now, np.int64(header["length"]))
    else:
        addSize(row, side, now, ZERO)
    return side


@njit(**INNER)
def _weighPieces(work: Any, row: Any, first: Number, data: Any, begin: Number) -> None:
    """
    Of a connection that is between messages or packets: are the pieces from C{first} on whole ordinary ones too?  If
    not they must be looked at before its next packet.

    @param begin: where the packet begins that they lie in.
    """
    for place in range(first, work.cursors[PIECES]):
        piece = work.pieces[place]
        kind = piece["kind"]
        if kind == PIECE_DATA:
            start = begin + np.int64(piece["offset"])
            end = start + np.int64(piece["length"])
            if row["urgent"] == URGENT_MESSAGES:
                isOrdinary = areMessages(data, start, end, piece["side"])
            else:
                isOrdinary = arePackets(data, start, end, piece["sequence"] == 1)
        else:
            isOrdinary = kind in (PIECE_ENDED, PIECE_REMOVED)
        if not isOrdinary:
            row["urgent"] = URGENT_OWN
            hurry(work, URGENT_OWN, kind)
            return


@njit(cache=True)
def trackPackets(
    ownWork: Any,
    ownTable: Any,
    ownRows: Any,
    ownHeaders: Any,
    ownData: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    first: Number,
    births: NDArray[np.uint64],
    marks: NDArray[np.uint64],
    portBits: NDArray[np.uint16],
) -> Number:
    """
    Process packets from C{first} on, until the end or until the work arrays want emptying.

    Room for one record and one range per packet was reserved before.

    @param births: marks for new records, C{uint64[n]}, or empty for none.
    @param marks: filled with the mark of the record that each packet met.
    @return: the packet to go on with.
    """
    work, table = borrow(ownWork), borrow(ownTable)
    rows, headers, data = borrow(ownRows), borrow(ownHeaders), borrow(ownData)
    cursors = work.cursors
    key = work.key
    cursors[STOP] = cursors[WAITING] = 0
    for i in range(first, len(headers)):
        if cursors[FINISHED] >= len(work.rows) or cursors[PIECES] + PIECES_PER_PACKET > len(work.pieces):
            return i
        if cursors[WEIRDS] + WEIRDS_PER_PACKET > len(work.weirds):
            return i
        if cursors[STOP]:
            return i
        header = headers[i]
        captured = np.int64(lengths[i])
        if _makesNoRecord(header, captured):
            continue
        now = np.int64(header["stamp"]) // 1000
        # records end by network time, which never goes back, though stamps may
        clock = np.int64(header["clock"])
        key[0], key[1], key[2], key[3], key[4], isA = flowWords(
            header["source_high"],
            header["source_low"],
            header["destination_high"],
            header["destination_low"],
            header["source_port"],
            header["destination_port"],
            header["protocol"],
        )
        slot = findSlot(table, key)
        if slot >= 0:
            row = rows[slot]
            ended = isExpired(row, clock // 1000)
            hasTime = row["urgent"] == URGENT_LINES or row["urgent"] == URGENT_PACKETS
            if cursors[WAITING] and (ended or not hasTime) and isWaiting(work, slot):
                return i
            if not ended and header["kind"] == _TCP and not header["status"] & _BAD_TRANSPORT:
                ended = isReuse(row, np.int64(header["flags"]), np.int64(header["sequence"]))
            if ended:
                finishSlot(work, table, rows, slot)
                slot = np.int64(-1)
        if slot < 0:
            slot = insertKey(table, key)
            mayBeExpected = _beginRow(rows[slot], header, now, isA, portBits)
            if len(births) > 0:
                table.marks[slot] = births[i]
        else:
            mayBeExpected = False
        row = rows[slot]
        if header["status"] & _TUNNELLED:
            row["tunnelled"] = 1
        marks[i] = table.marks[slot]
        cursors[SLOT] = slot
        cursors[STAMP] = clock
        cursors[PACKET] = i
        if mayBeExpected:
            row["urgent"] = URGENT_ANY
            addPiece(work, row, table.keys, PIECE_BORN, ORIGINATOR, ZERO, ZERO, ZERO, ZERO)
        side = np.int64(row["swapped"])
        if not isA:
            side = 1 - side
        known = cursors[PIECES]
        side = np.int64(_update(work, table, row, header, side, now, data, offsets[i], captured))
        if row["urgent"] >= URGENT_MESSAGES:
            _weighPieces(work, row, known, data, offsets[i])
        elif row["urgent"] == URGENT_LINES and cursors[PIECES] > known and not cursors[STOP]:
            begin = offsets[i] + np.int64(header["payload"])
            end = begin + min(captured - np.int64(header["payload"]), np.int64(header["length"]))
            if mayAgree(data, begin, end):
                cursors[STOP] = 1
            elif end - begin > SHORT_CHUNK or not isWhole(data, begin, end):
                row["urgent"] = URGENT_OWN
        if side >= 0:
            row["packets"][side] += np.uint64(1)
            if not header["status"] & _NO_LENGTH:
                row["bytes"][side] += np.uint64(header["total"])
    return len(headers)
