"""
Kernels for the transport layer: TCP, UDP, ICMP and ICMPv6 headers and their checksums.

All take the transport header at C{start}, the end of the captured bytes that belong to it (C{end}), and its size by the
IP total length (C{whole}, at least C{end - start}).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from openmb.packets.checksum import foldSum, onesSum, pseudoSum
from openmb.packets.headers import Kind, Status
from openmb.packets.loads import Source, load8, load16, load32

_TCP = int(Kind.TCP)
_UDP = int(Kind.UDP)
_ICMP = int(Kind.ICMP)
_OTHER = int(Kind.OTHER)
_BAD_CHECKSUM = int(Status.BAD_CHECKSUM)
_BAD_TRANSPORT = int(Status.BAD_TRANSPORT)
_NO_CHECKSUM = int(Status.NO_CHECKSUM)
_SIX = int(Status.IPV6)
_VXLAN_PORT, _VXLAN_FLAG, _VXLAN_LEAST = 4789, 0x08, 30

PROTOCOL_ICMP = 1
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_ICMP6 = 58


@njit(cache=True)
def fillPorts(source: Source, start: np.int64, end: np.int64, protocol: np.int64, record: Any) -> None:
    """Ports of TCP and UDP, or type and code of ICMP, as far as they were captured."""
    if protocol in (PROTOCOL_TCP, PROTOCOL_UDP):
        if start + 4 <= end:
            record["source_port"] = load16(source, start)
            record["destination_port"] = load16(source, start + 2)
    elif (protocol in (PROTOCOL_ICMP, PROTOCOL_ICMP6)) and start + 2 <= end:
        record["source_port"] = load8(source, start)
        record["destination_port"] = load8(source, start + 1)


@njit(cache=True)
def _headerLength(
    source: Source, start: np.int64, end: np.int64, whole: np.int64, protocol: np.int64, record: Any
) -> np.int64:
    """Bytes of the transport header; fills in what it says.  C{BAD_TRANSPORT} and 0 when it is cut off."""
    needed = 20 if protocol == PROTOCOL_TCP else 8
    if start + needed > end:
        record["status"] |= _BAD_TRANSPORT
        return np.int64(0)
    if protocol == PROTOCOL_TCP:
        record["sequence"] = load32(source, start + 4)
        record["acknowledgement"] = load32(source, start + 8)
        record["flags"] = load8(source, start + 13)
        record["window"] = load16(source, start + 14)
        size = np.int64(load8(source, start + 12) >> 4) << 2
        if size >= 20 and size <= whole:
            return size
        record["status"] |= _BAD_TRANSPORT
        return np.int64(20)
    if protocol == PROTOCOL_UDP:
        size = load16(source, start + 4)
        record["window"] = size
        if size < 8 or size > whole:
            record["status"] |= _BAD_TRANSPORT
    return np.int64(8)


@njit(cache=True)
def _isVirtual(source: Source, start: np.int64, whole: np.int64, record: Any) -> bool:
    """Does a datagram look like VXLAN, which needs no checksum over IPv6 either (RFC 6935)?"""
    isLong = record["destination_port"] == _VXLAN_PORT and whole > _VXLAN_LEAST
    return bool(isLong and load8(source, start + 8) & _VXLAN_FLAG)


@njit(cache=True)
def _isChecksumBad(source: Source, start: np.int64, whole: np.int64, protocol: np.int64, record: Any) -> bool:
    """Check the C{whole} bytes of a transport packet, all captured; its header is there and plausible."""
    isSix = bool(record["status"] & _SIX)
    if protocol == PROTOCOL_UDP and load16(source, start + 6) == 0:
        return isSix and not _isVirtual(source, start, whole, record)
    # as Zeek does: of all that IP carries, bytes behind a UDP datagram's end included
    total = onesSum(source, start, whole)
    if protocol != PROTOCOL_ICMP:
        total += protocol + whole
        total += pseudoSum(record["source_high"], record["source_low"], isSix)
        total += pseudoSum(record["destination_high"], record["destination_low"], isSix)
    return bool(foldSum(total) != 0xFFFF)


@njit(cache=True)
def decodeTransport(
    source: Source, start: np.int64, end: np.int64, whole: np.int64, checked: bool, record: Any
) -> np.int64:
    """
    Decode the transport header by C{record["protocol"]}, fill in kind and payload, and return the header's length.

    A header cut off leaves length 0 and C{BAD_TRANSPORT}; one that is there but impossible its least length and
    C{BAD_TRANSPORT}.  C{checked}: verify the checksum; only for packets that were captured whole.
    """
    protocol = np.int64(record["protocol"])
    if protocol == PROTOCOL_TCP:
        record["kind"] = _TCP
    elif protocol == PROTOCOL_UDP:
        record["kind"] = _UDP
    elif protocol in (PROTOCOL_ICMP, PROTOCOL_ICMP6):
        record["kind"] = _ICMP
    else:
        record["kind"] = _OTHER
        return np.int64(0)
    fillPorts(source, start, end, protocol, record)
    header = _headerLength(source, start, end, whole, protocol, record)
    if record["status"] & _BAD_TRANSPORT and (protocol != PROTOCOL_UDP or header == 0):
        return header
    if protocol == PROTOCOL_UDP and record["status"] & _SIX == 0 and load16(source, start + 6) == 0:
        record["status"] |= _NO_CHECKSUM
    elif checked and _isChecksumBad(source, start, whole, protocol, record):
        record["status"] |= _BAD_CHECKSUM
    return header
