"""
What a decoder finds in a batch: a kernel that tells encoded packets, announcements and other packets apart, and
gathers the bodies that are to be decoded.

An announced packet becomes a body too, one without references, at its place among the others: so a cache gets all that
is stored in it in the order of the packets.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source, load8, load16, sourceOf
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
from openmb.plugins.smartre.planning import Fate, judge, planPayload
from openmb.plugins.smartre.words import copyBytes, load64

#: Plain packets that are remembered until they are announced.
REMEMBERED = 1024
#: Bytes of the longest payload.
LONGEST = 2048


class Found(enum.IntEnum):
    """What a packet is to a decoder."""

    PLAIN = 0  # forwarded as it is
    ENCODED = 1
    ESCAPED = 2  # of our protocol, and not ours
    ANNOUNCEMENT = 3
    MESSAGE = 4  # any other
    MALFORMED = 5  # ours, and makes no sense: dropped
    FOREIGN = 6  # of a cache that is not kept here: forwarded as it is


#: One packet: C{item} is its place among the items, if it is encoded; C{start} and C{length}: what stands behind the IP
#: header of a packet of our protocol; else C{length}: bytes of its payload over TCP or UDP.
FOUND = np.dtype(
    [
        ("found", "u1"),
        ("cache", "u1"),
        ("header", "u1"),
        ("spare", "u1"),
        ("network", "<u4"),
        ("start", "<i8"),
        ("length", "<i8"),
        ("item", "<i8"),
    ]
)
#: One body for a cache: of packet C{packet}, or announced by it.  C{start}, C{size}: where it lies among the bodies.
ITEM = np.dtype(
    [
        ("packet", "<i8"),
        ("start", "<i8"),
        ("size", "<i8"),
        ("announced", "u1"),
        ("flags", "u1"),
        ("cache", "u1"),
        ("matches", "u1"),
        ("epoch", "<u2"),
        ("length", "<u2"),
        ("id", "<u4"),
        ("checksum", "<u4"),
    ]
)


@dataclass(frozen=True, slots=True)
class Memory:
    """
    The plain packets that came last, until they are announced.

    @ivar payloads: C{uint8[REMEMBERED * LONGEST]}.
    @ivar hashes: C{uint64[REMEMBERED]}, of the payloads, seed 0.
    @ivar lengths: C{int64[REMEMBERED]}; 0: nothing yet.
    @ivar newest: C{int64[1]}, how many packets were remembered in all.
    """

    payloads: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    newest: NDArray[np.int64]

    @staticmethod
    def empty() -> Memory:
        """One that remembers nothing."""
        return Memory(
            np.zeros(REMEMBERED * LONGEST, np.uint8),
            np.zeros(REMEMBERED, np.uint64),
            np.zeros(REMEMBERED, np.int64),
            np.zeros(1, np.int64),
        )


_PLAIN, _ENCODED, _ESCAPED, _ANNOUNCEMENT, _MESSAGE, _MALFORMED, _FOREIGN = (int(found) for found in Found)
_ENCODE, _CONTROL, _SHORT, _LONG = int(Fate.ENCODE), int(Fate.CONTROL), int(Fate.SHORT), int(Fate.LONG)
_KIND_ENCODED, _KIND_ANNOUNCE, _KIND_LAST = int(Kind.ENCODED), int(Kind.ANNOUNCE), int(Kind.FORKED)
_NOT_STORED = int(Flag.NOT_STORED)
_MAGIC_AS_READ = int.from_bytes(MAGIC.to_bytes(2, "little"), "big")
_PROTOCOL = PROTOCOL
_ROW = ANNOUNCED_ROW.itemsize


@njit(cache=True)
def _little16(source: Source, at: Any) -> Any:
    return load8(source, at) | (load8(source, at + 1) << 8)


@njit(cache=True)
def _little32(source: Source, at: Any) -> Any:
    return _little16(source, at) | (_little16(source, at + 2) << 16)


@njit(cache=True)
def _remember(
    source: Source, start: Any, length: Any, payloads: Source, hashes: Any, lengths: Any, newest: Any
) -> None:
    place = newest[0] & (REMEMBERED - 1)
    copyBytes(payloads, place * LONGEST, source, start, length)
    hashes[place] = hashBytes(source, start, length, np.uint64(0))
    lengths[place] = length
    newest[0] += 1


@njit(cache=True)
def _recall(hashed: np.uint64, length: Any, hashes: Any, lengths: Any, newest: Any) -> Any:
    """Where among those remembered a packet is, the newest first; -1: it is not."""
    for back in range(1, REMEMBERED + 1):
        place = (newest[0] - back) & (REMEMBERED - 1)
        if lengths[place] == 0:
            break
        if hashes[place] == hashed and lengths[place] == length:
            return place
    return -1


@njit(cache=True)
def _findEncoded(source: Source, start: Any, length: Any, row: Any, item: Any) -> Any:
    """Read the shim at C{start}; which L{Found} it is."""
    if length < SHIM_LENGTH:
        return _MALFORMED
    header, size = load8(source, start + 5), _little16(source, start + 6)
    item["flags"], item["cache"], item["matches"] = (
        load8(source, start + 3),
        load8(source, start + 8),
        load8(source, start + 9),
    )
    item["length"], item["epoch"] = size, _little16(source, start + 10)
    item["id"], item["checksum"] = _little32(source, start + 12), _little32(source, start + 16)
    rest = length - SHIM_LENGTH
    if item["flags"] & _NOT_STORED:
        checksum = hashBytes(source, start + SHIM_LENGTH, rest, np.uint64(0)) & np.uint64(0xFFFFFFFF)
        right = rest == size and header == 0 and checksum == np.uint64(item["checksum"])
        return _ESCAPED if right else _MALFORMED
    if header > rest or size == 0 or size > LONGEST or item["epoch"] == 0 or item["flags"] > 1:
        return _MALFORMED
    row["cache"] = item["cache"]
    return _ENCODED


@njit(cache=True)
def _isMessage(source: Source, start: Any, length: Any) -> Any:
    size = length - CHECK_LENGTH
    if size < 3:
        return False
    check = hashBytes(source, start, size, np.uint64(0)) & np.uint64(0xFFFFFFFF)
    return bool(check == np.uint64(_little32(source, start + size)))


@njit(cache=True)
def _findOurs(source: Source, start: Any, length: Any, row: Any, item: Any) -> Any:
    """Which L{Found} it is that stands behind the IP header of a packet of our protocol."""
    if length < 3 or load16(source, start) != _MAGIC_AS_READ:
        return _PLAIN
    kind = load8(source, start + 2)
    if kind == _KIND_ENCODED:
        return _findEncoded(source, start, length, row, item)
    if kind < _KIND_ENCODED or kind > _KIND_LAST or not _isMessage(source, start, length):
        return _PLAIN
    if kind != _KIND_ANNOUNCE:
        return _MESSAGE
    rows = length - ANNOUNCE_HEAD_LENGTH - CHECK_LENGTH
    if rows <= 0 or rows != load8(source, start + 6) * _ROW or _little16(source, start + 4) == 0:
        return _MALFORMED
    row["cache"] = load8(source, start + 3)
    return _ANNOUNCEMENT if rows <= MOST_ANNOUNCED * _ROW else _MALFORMED


@njit(cache=True)
def findPackets(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    wire: NDArray[np.uint32],
    link: Any,
    headers: NDArray[Any],
    kept: NDArray[np.bool_],
    plan: NDArray[Any],
    payloads: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    newest: NDArray[np.int64],
    found: NDArray[Any],
    items: NDArray[Any],
    bodies: NDArray[np.uint8],
    tally: NDArray[np.int64],
) -> Any:
    """
    Fill C{found}, zeros at first, a L{FOUND} for each packet, and C{items} and C{bodies}, in order.

    @param kept: C{bool[256]}, the caches of this decoder.
    @param plan: C{PLAN[1]}, for what lies between.
    @param bodies: with room for all packets, and for as much again of what is remembered.
    @param tally: C{int64[2]}: announced packets that are remembered, and that are not.
    @return: how many items there are, and how many bytes of bodies.
    """
    source, memory, target = sourceOf(data), sourceOf(payloads), sourceOf(bodies)
    count, at = 0, 0
    for index in range(len(offsets)):
        record, row = headers[index], found[index]
        base, length = offsets[index], np.int64(lengths[index])
        if base < 0 or base > len(data) - length:
            row["found"] = _MALFORMED
            continue
        header = judge(source, base, length, np.int64(wire[index]), link, record)
        if header < 0:
            continue
        network = np.int64(record["network"])
        row["header"], row["network"] = header, network
        start = network + header
        if record["protocol"] != _PROTOCOL:
            fate = planPayload(source, base, length, record, LONGEST, plan[0])
            if fate in (_ENCODE, _CONTROL, _SHORT, _LONG):
                row["length"] = plan[0]["length"]
            if fate == _ENCODE:
                _remember(source, plan[0]["start"], np.int64(plan[0]["length"]), memory, hashes, sizes, newest)
            continue
        row["start"], row["length"] = base + start, length - start
        if count >= len(items):
            row["found"] = _MALFORMED
            continue
        item = items[count]
        what = _findOurs(source, base + start, length - start, row, item)
        if what in (_ENCODED, _ANNOUNCEMENT) and not kept[row["cache"]]:
            what = _FOREIGN
        row["found"] = what
        if what == _ENCODED:
            transport = np.int64(load8(source, base + start + 5))
            size = length - start - SHIM_LENGTH - transport
            copyBytes(target, at, source, base + start + SHIM_LENGTH + transport, size)
            item["packet"], item["start"], item["size"], item["announced"] = index, at, size, 0
            row["item"] = count
            at += size
            count += 1
        elif what == _ANNOUNCEMENT:
            epoch = _little16(source, base + start + 4)
            for entry in range(load8(source, base + start + 6)):
                place = base + start + ANNOUNCE_HEAD_LENGTH + entry * _ROW
                size = _little16(source, place + 4)
                where = _recall(load64(source, place + 6), size, hashes, sizes, newest)
                if where < 0 or count >= len(items) or size > len(bodies) - at:
                    tally[1] += 1
                    continue
                copyBytes(target, at, memory, where * LONGEST, size)
                item = items[count]
                item["packet"], item["start"], item["size"], item["announced"] = index, at, size, 1
                item["flags"], item["cache"], item["matches"] = 0, row["cache"], 0
                item["epoch"], item["length"], item["id"] = epoch, size, _little32(source, place)
                tally[0] += 1
                at += size
                count += 1
    return count, at
