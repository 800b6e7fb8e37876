"""
Frames of encoded packets and of announcements: the kernel that writes what an encoder sends on.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source, sourceOf
from openmb.plugins.smartre.format import (
    ANNOUNCE_HEAD_LENGTH,
    ANNOUNCED_ROW,
    CHECK_LENGTH,
    MAGIC,
    MOST_ANNOUNCED,
    PROTOCOL,
    SHIM_LENGTH,
    Flag,
    Kind,
)
from openmb.plugins.smartre.hashing import hashBytes
from openmb.plugins.smartre.heads import LONGEST_HEAD, putHead, putLittle
from openmb.plugins.smartre.planning import Fate, learn, looksRandom
from openmb.plugins.smartre.words import copyBytes, load64, minus

#: Packets that travelled as they are and are to be announced, of one cache.  C{since}: how many others were sent
#: since the oldest; C{stamp}: of the oldest; C{head}: link and IP header of the newest, C{size} bytes, the
#: IP header from C{network} on.
PENDING = np.dtype(
    [
        ("count", "<i8"),
        ("since", "<i8"),
        ("stamp", "<i8"),
        ("link", "<i8"),
        ("network", "<i8"),
        ("size", "<i8"),
        ("ids", "<u8", (MOST_ANNOUNCED,)),
        ("lengths", "<u2", (MOST_ANNOUNCED,)),
        ("hashes", "<u8", (MOST_ANNOUNCED,)),
        ("head", "u1", (LONGEST_HEAD,)),
    ]
)
#: What is announced at the latest when so much packet time, nanoseconds, or so many other packets have passed: a
#: decoder remembers twice as many packets.
LONGEST_WAIT = 5_000_000
MOST_SINCE = 512


class Tally(enum.IntEnum):
    """Places in what L{framePackets} counts."""

    ENCODED = 0  # packets
    RAW = 1  # packets stored, but sent as they are
    ESCAPED = 2
    TOO_LONG = 3  # would be longer than the path's MTU with a shim: dropped
    ANNOUNCEMENTS = 4
    SAVED = 5  # bytes by which packets got shorter
    MATCHES = 6
    OVERHEAD = 7  # bytes of announcements, and by which packets got longer


_ENCODE, _ESCAPE = int(Fate.ENCODE), int(Fate.ESCAPE)
_T_ENCODED, _T_RAW, _T_ESCAPED, _T_TOO_LONG, _T_ANNOUNCEMENTS, _T_SAVED, _T_MATCHES, _T_OVERHEAD = (
    int(place) for place in Tally
)
_NOT_STORED = int(Flag.NOT_STORED)
_KIND_ENCODED, _KIND_ANNOUNCE = int(Kind.ENCODED), int(Kind.ANNOUNCE)
_ROW = ANNOUNCED_ROW.itemsize
_AROUND = ANNOUNCE_HEAD_LENGTH + CHECK_LENGTH
_ROOM = LONGEST_HEAD + _AROUND


@njit(cache=True)
def _putShim(
    out: NDArray[np.uint8],
    at: Any,
    flags: Any,
    protocol: Any,
    header: Any,
    length: Any,
    cache: Any,
    matches: Any,
    epoch: Any,
    number: np.uint64,
    checksum: np.uint64,
) -> Any:
    putLittle(out, at, MAGIC, 2)
    out[at + 2], out[at + 3], out[at + 4], out[at + 5] = _KIND_ENCODED, flags, protocol, header
    putLittle(out, at + 6, length, 2)
    out[at + 8], out[at + 9] = cache, matches
    putLittle(out, at + 10, epoch, 2)
    putLittle(out, at + 12, number, 4)
    putLittle(out, at + 16, checksum, 4)
    return at + SHIM_LENGTH


@njit(cache=True)
def _putAnnouncement(
    out: NDArray[np.uint8],
    target: Source,
    at: Any,
    source: Source,
    base: Any,
    network: Any,
    header: Any,
    cache: Any,
    epoch: Any,
    pending: Any,
) -> Any:
    """Write the announcement of all of C{pending} behind the head that lies at C{base}, and empty it; where it ends."""
    count = pending["count"]
    size = ANNOUNCE_HEAD_LENGTH + count * _ROW
    body = putHead(out, target, at, source, base, network, header, PROTOCOL, size + CHECK_LENGTH)
    putLittle(out, body, MAGIC, 2)
    out[body + 2], out[body + 3] = _KIND_ANNOUNCE, cache
    putLittle(out, body + 4, epoch, 2)
    out[body + 6] = count
    for place in range(count):
        row = body + ANNOUNCE_HEAD_LENGTH + place * _ROW
        putLittle(out, row, pending["ids"][place], 4)
        putLittle(out, row + 4, pending["lengths"][place], 2)
        putLittle(out, row + 6, pending["hashes"][place], 8)
    putLittle(out, body + size, hashBytes(target, body, size, np.uint64(0)), CHECK_LENGTH)
    pending["count"] = 0
    pending["since"] = 0
    return body + size + CHECK_LENGTH


@njit(cache=True)
def _refersTo(bodies: Source, start: Any, matches: Any, number: np.uint64, pending: Any) -> Any:
    """Does a body refer to a packet that is to be announced yet?"""
    if pending["count"] == 0:
        return False
    oldest = minus(number, pending["ids"][0])
    for match in range(matches):
        delta = load64(bodies, start + 8 * match) >> np.uint64(33)
        if delta > oldest:
            continue
        for place in range(pending["count"]):
            if minus(number, pending["ids"][place]) == delta:
                return True
    return False


@njit(cache=True)
def _remember(
    source: Source, base: Any, row: Any, number: np.uint64, stamp: Any, link: Any, headSource: Any, pending: Any
) -> None:
    """A packet goes as it is, and is to be announced."""
    place = pending["count"]
    if place == 0:
        pending["stamp"], pending["since"] = stamp, 0
    pending["ids"][place] = number
    pending["lengths"][place] = row["length"]
    pending["hashes"][place] = hashBytes(source, row["start"], np.int64(row["length"]), np.uint64(0))
    pending["count"] = place + 1
    pending["link"], pending["network"] = link, row["network"]
    pending["size"] = np.int64(row["network"]) + np.int64(row["header"])
    for byte in range(pending["size"]):
        pending["head"][byte] = headSource[base + byte]


@njit(cache=True)
def _note(sent: NDArray[np.int64], place: Any, begin: Any, end: Any, wire: Any, index: Any) -> Any:
    """One more packet is sent; where it ends."""
    sent[place, 0], sent[place, 1], sent[place, 2], sent[place, 3] = begin, end - begin, wire, index
    return end


@njit(cache=True)
def framePackets(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    wire: NDArray[np.uint32],
    stamps: NDArray[np.int64],
    link: Any,
    mtu: Any,
    headers: NDArray[Any],
    plan: NDArray[Any],
    places: NDArray[np.int64],
    ids: NDArray[np.uint64],
    matches: NDArray[np.uint8],
    flags: NDArray[np.uint8],
    checksums: NDArray[np.uint32],
    bodyData: NDArray[np.uint8],
    bodyOffsets: NDArray[np.int64],
    bodyLengths: NDArray[np.int64],
    epochs: NDArray[np.int64],
    gated: bool,
    flows: NDArray[Any],
    pending: NDArray[Any],
    out: NDArray[np.uint8],
    sent: NDArray[np.int64],
    tally: NDArray[np.int64],
) -> Any:
    """
    Write what is sent on for a batch, in order, and learn which flows pay.

    @param places: for each packet its place in C{ids} and the like, if it was encoded.
    @param pending: C{PENDING[caches]}, kept from batch to batch.
    @param out: with room for all packets, a shim for each, and an announcement before each.
    @param sent: C{int64[m, 4]}, for what is sent: offset, length, bytes on the wire, the packet whose stamp it has.
    @return: how many packets are sent, and how many bytes of C{out} they fill.
    """
    source, target, bodies = sourceOf(data), sourceOf(out), sourceOf(bodyData)
    at: Any = 0
    count = 0
    for index in range(len(offsets)):
        row = plan[index]
        fate, base, length = row["fate"], offsets[index], np.int64(lengths[index])
        network, header = np.int64(row["network"]), np.int64(row["header"])
        if base < 0 or base > len(data) - length:
            continue
        if fate == _ENCODE:
            cache = np.int64(row["cache"])
            waiting = pending[cache]
            here, number = places[index], ids[places[index]]
            transport, size = np.int64(row["transport"]), bodyLengths[here]
            isShorter = SHIM_LENGTH + size < np.int64(row["length"])
            flow = flows[row["flow"]]
            if len(flows) > 1:
                isRandom = (not isShorter) and looksRandom(source, row["start"], np.int64(row["length"]))
                learn(flow, isShorter, isRandom)
            late = waiting["count"] > 0 and waiting["link"] != link
            if isShorter and not gated:
                late = late or _refersTo(bodies, bodyOffsets[here], np.int64(matches[here]), number, waiting)
            if late:
                after = _putAnnouncement(out, target, at, source, base, network, header, cache, epochs[cache], waiting)
                at = _note(sent, count, at, after, after - at, index)
                tally[_T_ANNOUNCEMENTS] += 1
                tally[_T_OVERHEAD] += sent[count, 1]
                count += 1
            began = at
            if isShorter:
                shim = putHead(out, target, at, source, base, network, header, PROTOCOL, SHIM_LENGTH + transport + size)
                at = _putShim(
                    out,
                    shim,
                    np.int64(flags[here]),
                    np.int64(headers[index]["protocol"]),
                    transport,
                    np.int64(row["length"]),
                    cache,
                    np.int64(matches[here]),
                    epochs[cache],
                    number,
                    np.uint64(checksums[here]),
                )
                copyBytes(target, at, source, base + network + header, transport)
                copyBytes(target, at + transport, bodies, bodyOffsets[here], size)
                at += transport + size
                tally[_T_ENCODED] += 1
                tally[_T_MATCHES] += matches[here]
                tally[_T_SAVED] += np.int64(row["length"]) - SHIM_LENGTH - size
            else:
                copyBytes(target, at, source, base, length)
                at += length
                tally[_T_RAW] += 1
                _remember(source, base, row, number, stamps[index], link, data, waiting)
            at = _note(sent, count, began, at, at - began, index)
            count += 1
            if waiting["count"] >= min(MOST_ANNOUNCED, (mtu - header - _AROUND) // _ROW):
                after = _putAnnouncement(out, target, at, source, base, network, header, cache, epochs[cache], waiting)
                at = _note(sent, count, at, after, after - at, index)
                tally[_T_ANNOUNCEMENTS] += 1
                tally[_T_OVERHEAD] += sent[count, 1]
                count += 1
        elif fate == _ESCAPE:
            size = np.int64(row["length"])
            if header + SHIM_LENGTH + size > mtu:
                tally[_T_TOO_LONG] += 1
                continue
            shim = putHead(out, target, at, source, base, network, header, PROTOCOL, SHIM_LENGTH + size)
            checksum = hashBytes(source, row["start"], size, np.uint64(0))
            after = _putShim(out, shim, _NOT_STORED, PROTOCOL, 0, size, 0, 0, 1, np.uint64(0), checksum)
            copyBytes(target, after, source, row["start"], size)
            at = _note(sent, count, at, after + size, after + size - at, index)
            count += 1
            tally[_T_ESCAPED] += 1
            tally[_T_OVERHEAD] += SHIM_LENGTH
        else:
            copyBytes(target, at, source, base, length)
            at = _note(sent, count, at, at + length, np.int64(wire[index]), index)
            count += 1
        for other in range(len(pending)):
            waiting = pending[other]
            if waiting["count"] == 0 or waiting["link"] != link:
                continue
            waiting["since"] += 1
            if waiting["since"] >= MOST_SINCE or stamps[index] - waiting["stamp"] > LONGEST_WAIT:
                head, begin = sourceOf(waiting["head"]), waiting["network"]
                rest = waiting["size"] - begin
                after = _putAnnouncement(out, target, at, head, 0, begin, rest, other, epochs[other], waiting)
                at = _note(sent, count, at, after, after - at, index)
                tally[_T_ANNOUNCEMENTS] += 1
                tally[_T_OVERHEAD] += sent[count, 1]
                count += 1
    return count, at


def roomFor(total: int, count: int, caches: int) -> int:
    """Bytes that L{framePackets} may write for C{count} packets of C{total} bytes."""
    announcements = count + caches
    return total + count * SHIM_LENGTH + announcements * _ROOM + (count + caches * MOST_ANNOUNCED) * _ROW
