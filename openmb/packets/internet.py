"""
Kernels for the network layer: IPv4 and IPv6 headers, with IPv6's extension headers.

They judge as Zeek does: a packet whose total length exceeds the bytes on the wire, or whose headers are cut off or
impossible, is malformed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.checksum import onesSum
from openmb.packets.headers import Kind, Status
from openmb.packets.loads import load16, load32, load64

#: Instead of the transport header's position.
BAD_HEADER = -1
BAD_HEADER_CHECKSUM = -2
NO_SUCH_VERSION = -3

_FRAGMENT = int(Kind.FRAGMENT)
_SIX = int(Status.IPV6)
_MAPPED = 0xFFFF00000000

_HOP_BY_HOP = 0
_ROUTING = 43
_FRAGMENT_HEADER = 44
_AUTHENTICATION = 51
_DESTINATION_OPTIONS = 60


@njit(cache=True)
def _decodeFour(
    data: NDArray[np.uint8], start: np.int64, end: np.int64, wireEnd: np.int64, checksums: bool, record: Any
) -> np.int64:
    if end - start < 20:
        return np.int64(BAD_HEADER)
    total = load16(data, start + 2)
    if total == 0 and not checksums:
        total = end - start  # segmentation offload: the card would have filled it in
    header = (np.int64(data[start]) & 15) << 2
    if header < 20 or header > total or header > end - start or total > wireEnd - start:
        return np.int64(BAD_HEADER)
    if checksums and onesSum(data, start, header) != 0xFFFF:
        return np.int64(BAD_HEADER_CHECKSUM)
    record["total"] = total
    record["source_low"] = np.uint64(_MAPPED) | np.uint64(load32(data, start + 12))
    record["destination_low"] = np.uint64(_MAPPED) | np.uint64(load32(data, start + 16))
    record["protocol"] = data[start + 9]
    place = load16(data, start + 6) & 0x3FFF
    if place != 0:
        record["kind"] = _FRAGMENT
        record["fragment_id"] = load16(data, start + 4)
        record["fragment_offset"] = (place & 0x1FFF) << 3
        record["more_fragments"] = place >> 13
    return start + header


@njit(cache=True)
def _takeFinalDestination(data: NDArray[np.uint8], place: np.int64, size: np.int64, record: Any) -> None:
    """From a routing header with segments left: types 0 and 2 end with the final destination, type 4 begins with it."""
    if data[place + 3] == 0 or size < 24:
        return
    kind = data[place + 2]
    if kind == 4:
        final = place + 8
    elif (kind == 0 and size & 15 == 8) or (kind == 2 and size == 24):
        final = place + size - 16
    else:
        return
    record["destination_high"] = load64(data, final)
    record["destination_low"] = load64(data, final + 8)


@njit(cache=True)
def _walkExtensions(data: NDArray[np.uint8], start: np.int64, end: np.int64, record: Any) -> np.int64:
    """Over the extension headers of the IPv6 packet in C{data[start:end]}, up to a fragment header at most."""
    protocol = np.int64(data[start + 6])
    place = start + 40
    while (
        protocol == _HOP_BY_HOP
        or protocol == _ROUTING
        or protocol == _FRAGMENT_HEADER
        or protocol == _AUTHENTICATION
        or protocol == _DESTINATION_OPTIONS
    ):
        if place + 8 > end:
            return np.int64(BAD_HEADER)
        following = np.int64(data[place])
        if protocol == _FRAGMENT_HEADER:
            record["kind"] = _FRAGMENT
            record["fragment_id"] = load32(data, place + 4)
            record["fragment_offset"] = load16(data, place + 2) & 0xFFF8
            record["more_fragments"] = data[place + 3] & 1
            record["protocol"] = following
            return place + 8
        words = np.int64(data[place + 1])
        size = (words + 2) << 2 if protocol == _AUTHENTICATION else (words + 1) << 3
        if place + size > end:
            return np.int64(BAD_HEADER)
        if protocol == _ROUTING:
            _takeFinalDestination(data, place, size, record)
        protocol = following
        place += size
    record["protocol"] = protocol
    return place


@njit(cache=True)
def _decodeSix(data: NDArray[np.uint8], start: np.int64, end: np.int64, wireEnd: np.int64, record: Any) -> np.int64:
    if end - start < 40:
        return np.int64(BAD_HEADER)
    total = load16(data, start + 4) + 40
    if total > wireEnd - start:
        return np.int64(BAD_HEADER)
    record["total"] = total
    record["status"] = _SIX
    record["source_high"] = load64(data, start + 8)
    record["source_low"] = load64(data, start + 16)
    record["destination_high"] = load64(data, start + 24)
    record["destination_low"] = load64(data, start + 32)
    return _walkExtensions(data, start, min(end, start + total), record)


@njit(cache=True)
def decodeInternet(
    data: NDArray[np.uint8], start: np.int64, end: np.int64, wireEnd: np.int64, checksums: bool, record: Any
) -> np.int64:
    """
    Decode the IP header in C{data[start:end]} and say where the transport header begins, or else one of L{BAD_HEADER},
    L{BAD_HEADER_CHECKSUM}, L{NO_SUCH_VERSION}.  C{wireEnd}: where the frame would end had all of it been captured.
    """
    if start >= end:
        return np.int64(BAD_HEADER)
    version = data[start] >> 4
    if version == 4:
        return _decodeFour(data, start, end, wireEnd, checksums, record)
    if version == 6:
        return _decodeSix(data, start, end, wireEnd, record)
    return np.int64(NO_SUCH_VERSION)
