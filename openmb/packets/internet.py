"""
Kernels for the network layer: IPv4 and IPv6 headers, with IPv6's extension headers.

They judge as Zeek does: a packet whose total length exceeds the bytes on the wire, or whose headers are cut off or
impossible, is malformed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.packets.checksum import onesSum
from openmb.packets.headers import Kind, Status
from openmb.packets.loads import Source, load8, load16, load32, load64

#: Instead of the transport header's position.
BAD_HEADER = -1
BAD_HEADER_CHECKSUM = -2
NO_SUCH_VERSION = -3

_FRAGMENT = int(Kind.FRAGMENT)
_SIX = int(Status.IPV6)
_NO_LENGTH = int(Status.NO_LENGTH)
_MAPPED = 0xFFFF00000000

_HOP_BY_HOP = 0
_ROUTING = 43
_FRAGMENT_HEADER = 44
_AUTHENTICATION = 51
_DESTINATION_OPTIONS = 60
PROTOCOL_ESP = 50
PROTOCOL_MOBILITY = 135

_PADDING, _HOME_ADDRESS = 0, 201


@njit(cache=True)
def _decodeFour(
    source: Source, start: np.int64, end: np.int64, wireEnd: np.int64, checksums: bool, record: Any
) -> np.int64:
    if end - start < 20:
        return np.int64(BAD_HEADER)
    total = load16(source, start + 2)
    if total == 0 and not checksums:
        total = end - start  # segmentation offload: the card would have filled it in
        record["status"] = _NO_LENGTH
    header = (load8(source, start) & 15) << 2
    if header < 20 or header > total or header > end - start or total > wireEnd - start:
        return np.int64(BAD_HEADER)
    if checksums and onesSum(source, start, header) != 0xFFFF:
        return np.int64(BAD_HEADER_CHECKSUM)
    record["total"] = total
    record["source_low"] = np.uint64(_MAPPED) | np.uint64(load32(source, start + 12))
    record["destination_low"] = np.uint64(_MAPPED) | np.uint64(load32(source, start + 16))
    record["protocol"] = load8(source, start + 9)
    place = load16(source, start + 6) & 0x3FFF
    if place != 0:
        record["kind"] = _FRAGMENT
        record["fragment_id"] = load16(source, start + 4)
        record["fragment_offset"] = (place & 0x1FFF) << 3
        record["more_fragments"] = place >> 13
    return np.int64(start + header)


@njit(cache=True)
def _takeHomeAddress(source: Source, place: np.int64, size: np.int64, record: Any) -> bool:
    """From destination options: Mobile IPv6's home address is the sender (RFC 6275, section 6.3); is there one?"""
    end = place + size
    place += 2
    while place < end:
        kind = load8(source, place)
        if kind == _PADDING:
            place += 1
            continue
        if place + 2 > end or place + 2 + load8(source, place + 1) > end:
            return False
        length = load8(source, place + 1)
        if kind == _HOME_ADDRESS and length == 16:
            record["source_high"] = load64(source, place + 2)
            record["source_low"] = load64(source, place + 10)
            return True
        place += 2 + length
    return False


@njit(cache=True)
def _takeFinalDestination(source: Source, place: np.int64, size: np.int64, record: Any) -> bool:
    """
    From a routing header with segments left: types 0 and 2 end with the final destination, type 4 begins with it; is
    there one?
    """
    if load8(source, place + 3) == 0 or size < 24:
        return False
    kind = load8(source, place + 2)
    if kind == 4:
        final = place + 8
    elif (kind == 0 and size & 15 == 8) or (kind == 2 and size == 24):
        final = place + size - 16
    else:
        return False
    record["destination_high"] = load64(source, final)
    record["destination_low"] = load64(source, final + 8)
    return True


@njit(cache=True)
def _isExtension(protocol: np.int64) -> bool:
    return protocol in (_HOP_BY_HOP, _ROUTING, _FRAGMENT_HEADER, _AUTHENTICATION, _DESTINATION_OPTIONS)


@njit(cache=True)
def _extensionLength(source: Source, place: np.int64, protocol: np.int64) -> np.int64:
    """Bytes of the extension header at C{place}, of which two are there."""
    if protocol == _FRAGMENT_HEADER:
        return np.int64(8)
    words = load8(source, place + 1)
    return np.int64((words + 2) << 2 if protocol == _AUTHENTICATION else (words + 1) << 3)


@njit(cache=True)
def _walkExtensions(source: Source, start: np.int64, end: np.int64, record: Any) -> np.int64:
    """
    Over the extension headers of the IPv6 packet in C{source[start:end]}, up to a fragment header at most.

    One that is cut off or longer than the packet is not gone over: the packet is one of its protocol, which nobody
    speaks.  The first home address and the first final destination count.
    """
    protocol = load8(source, start + 6)
    place = start + 40
    atHome = isRouted = False
    while _isExtension(protocol) and place + 2 <= end:
        size = _extensionLength(source, place, protocol)
        if place + size > end:
            break
        following = load8(source, place)
        if protocol == _FRAGMENT_HEADER:
            record["kind"] = _FRAGMENT
            record["fragment_id"] = load32(source, place + 4)
            record["fragment_offset"] = load16(source, place + 2) & 0xFFF8
            record["more_fragments"] = load8(source, place + 3) & 1
            record["protocol"] = following
            return place + 8
        if protocol == _ROUTING and not isRouted:
            isRouted = _takeFinalDestination(source, place, size, record)
        elif protocol == _DESTINATION_OPTIONS and not atHome:
            atHome = _takeHomeAddress(source, place, size, record)
        protocol = following
        place += size
    record["protocol"] = protocol
    return place


@njit(cache=True)
def _decodeSix(source: Source, start: np.int64, end: np.int64, wireEnd: np.int64, record: Any) -> np.int64:
    if end - start < 40:
        return np.int64(BAD_HEADER)
    total = load16(source, start + 4) + 40
    if total > wireEnd - start:
        return np.int64(BAD_HEADER)
    record["total"] = total
    record["status"] = _SIX
    record["source_high"] = load64(source, start + 8)
    record["source_low"] = load64(source, start + 16)
    record["destination_high"] = load64(source, start + 24)
    record["destination_low"] = load64(source, start + 32)
    return _walkExtensions(source, start, min(end, start + total), record)


@njit(cache=True)
def decodeInternet(
    source: Source, start: np.int64, end: np.int64, wireEnd: np.int64, checksums: bool, record: Any
) -> np.int64:
    """
    Decode the IP header in C{source[start:end]} and say where the transport header begins, or else one of
    L{BAD_HEADER}, L{BAD_HEADER_CHECKSUM}, L{NO_SUCH_VERSION}.  C{wireEnd}: where the frame would end had all of it been
    captured.
    """
    if start >= end:
        return np.int64(BAD_HEADER)
    version = load8(source, start) >> 4
    if version == 4:
        return _decodeFour(source, start, end, wireEnd, checksums, record)
    if version == 6:
        return _decodeSix(source, start, end, wireEnd, record)
    return np.int64(NO_SUCH_VERSION)
