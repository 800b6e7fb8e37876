"""
Kernels for what is inside tunnels: IP in IP (protocols 4 and 41) and GRE, over IPv4 and IPv6.

They judge as Zeek does.  IP in IP must fill its packet to the last captured byte.  GRE of version 0 holds IP, or an
Ethernet frame (bridged, or mirrored with ERSPAN), and may have something behind it; that of version 1 holds PPP with
IP, to the last byte.  Routing headers and unknown flags of GRE end it.  What is not followed stays a packet of the
tunnel's own ends; so does what was not captured whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.packets.batch import LinkType
from openmb.packets.headers import Kind, Status
from openmb.packets.internet import decodeInternet
from openmb.packets.links import findNetwork
from openmb.packets.loads import Source, load8, load16

#: How many tunnels inside each other are followed: Zeek's C{Tunnel::max_depth}.
MOST_TUNNELS = 2
#: The outermost IP header must begin within so many bytes.
_FARTHEST = 255
#: Instead of a position.
_CLOSED = -1

PROTOCOL_IP4 = 4
PROTOCOL_IP6 = 41
PROTOCOL_GRE = 47

_ETHERNET = int(LinkType.ETHERNET)
_FRAGMENT = int(Kind.FRAGMENT)
_TUNNELLED = int(Status.TUNNELLED)

# The first 16 bits of GRE (RFC 2784, 2890, 2637).
_CHECKSUM, _KEY, _SEQUENCE, _ACKNOWLEDGEMENT = 0x8000, 0x2000, 0x1000, 0x0080
_VERSION = 0x0007
_ROUTING_OR_UNKNOWN = 0x4078

_BRIDGED = 0x6558
_MIRRORED_FIRST = 0x88BE  # ERSPAN I; II if there are sequence numbers
_MIRRORED_THIRD = 0x22EB
_PPP = 0x880B
_PPP_IP4, _PPP_IP6 = 0x0021, 0x0057
_ETHERNET_HEADER = 14


@njit(cache=True)
def isTunnel(protocol: np.uint8) -> bool:
    """May packets of this protocol have packets inside?"""
    return bool(protocol in (PROTOCOL_IP4, PROTOCOL_IP6, PROTOCOL_GRE))


@njit(cache=True)
def _totalOf(source: Source, place: np.int64, end: np.int64, version: np.int64) -> np.int64:
    """The length that the IP header at C{place} gives its packet; -1 if there is no header of this version."""
    if end - place < (20 if version == 4 else 40) or load8(source, place) >> 4 != version:
        return np.int64(-1)
    return np.int64(load16(source, place + 2) if version == 4 else load16(source, place + 4) + 40)


@njit(cache=True)
def _whereExact(source: Source, place: np.int64, end: np.int64, version: np.int64) -> np.int64:
    """C{place} if a packet of this version fills all bytes up to C{end}."""
    if _totalOf(source, place, end, version) != end - place:
        return np.int64(_CLOSED)
    return place


@njit(cache=True)
def _whereFitting(source: Source, place: np.int64, end: np.int64, checksums: bool) -> np.int64:
    """C{place} if an IP packet of either version begins there and ends at C{end} at the latest."""
    if place >= end:
        return np.int64(_CLOSED)
    version = load8(source, place) >> 4
    if version != 4 and version != 6:
        return np.int64(_CLOSED)
    total = _totalOf(source, place, end, version)
    if total < 0 or total > end - place or (total == 0 and checksums):
        return np.int64(_CLOSED)
    return place


@njit(cache=True)
def _whereFrame(source: Source, place: np.int64, end: np.int64, flags: np.int64, kind: np.int64) -> np.int64:
    """Where, from C{place} behind a GRE header that announces an Ethernet frame, that frame begins."""
    room = end - place
    skipped = np.int64(0)
    if kind == _MIRRORED_FIRST:
        skipped = np.int64(8) if flags & _SEQUENCE else np.int64(0)
    elif kind == _MIRRORED_THIRD:
        skipped = np.int64(12)
        if room > _ETHERNET_HEADER + 12 and load8(source, place + 11) & 1:
            skipped = np.int64(20)
    return place + skipped if room > _ETHERNET_HEADER + skipped else np.int64(_CLOSED)


@njit(cache=True)
def _behindGeneric(source: Source, start: np.int64, end: np.int64, checksums: bool, record: Any) -> np.int64:
    """Where the IP header behind the GRE header at C{start} begins."""
    if end - start < 4:
        return np.int64(_CLOSED)
    flags, kind = load16(source, start), load16(source, start + 2)
    version = flags & _VERSION
    if version > 1 or flags & _ROUTING_OR_UNKNOWN:
        return np.int64(_CLOSED)
    place = start + 4
    for flag in (_CHECKSUM, _KEY, _SEQUENCE, _ACKNOWLEDGEMENT):
        if flags & flag:
            place += 4
    if version == 1:
        if kind != _PPP or place + 4 > end:
            return np.int64(_CLOSED)
        kind = load16(source, place + 2)
        if kind != _PPP_IP4 and kind != _PPP_IP6:
            return np.int64(_CLOSED)
        return _whereExact(source, place + 4, end, np.int64(4 if kind == _PPP_IP4 else 6))
    if kind in (_BRIDGED, _MIRRORED_FIRST, _MIRRORED_THIRD):
        place = _whereFrame(source, place, end, flags, kind)
        if place < 0:
            return place
        vlan, inner = record["vlan"], record["inner_vlan"]
        place, end = findNetwork(source, place, end, np.int64(_ETHERNET), record)
        record["vlan"], record["inner_vlan"] = vlan, inner
        if place < 0:
            return np.int64(_CLOSED)
    return _whereFitting(source, place, end, checksums)


@njit(cache=True)
def enterTunnels(
    source: Source, base: np.int64, network: np.int64, transport: np.int64, end: np.int64, checksums: bool, record: Any
) -> tuple[np.int64, np.int64]:
    """
    Go into the tunnels of a packet whose outermost headers are decoded, as far as they can be followed.

    @return: where the IP header and the transport header of the innermost packet begin; the latter as
        L{decodeInternet} has it.
    """
    outer = network - base
    if outer > _FARTHEST:
        return network, transport
    for _ in range(MOST_TUNNELS):
        protocol = record["protocol"]
        if transport < 0 or record["kind"] == _FRAGMENT or not isTunnel(protocol):
            break
        if protocol == PROTOCOL_GRE:
            inner = _behindGeneric(source, transport, end, checksums, record)
        else:
            inner = _whereExact(source, transport, end, np.int64(4 if protocol == PROTOCOL_IP4 else 6))
        if inner < 0:
            break
        network = inner
        record["source_high"] = 0
        record["destination_high"] = 0
        record["status"] = 0
        transport = decodeInternet(source, inner, end, end, checksums, record)
        record["status"] |= _TUNNELLED
        record["outer"] = outer
    return network, transport
