"""
Kernels for the transport layer: TCP, UDP, ICMP and ICMPv6 headers and their checksums.

All take the transport header at C{start}, the end of the captured bytes that belong to it (C{end}), and its size by the IP
total length (C{whole}, at least C{end - start}).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.checksum import foldSum, onesSum, pseudoSum
from openmb.packets.headers import Kind, Status
from openmb.packets.loads import load16, load32

_TCP = int(Kind.TCP)
_UDP = int(Kind.UDP)
_ICMP = int(Kind.ICMP)
_OTHER = int(Kind.OTHER)
_BAD_CHECKSUM = int(Status.BAD_CHECKSUM)
_BAD_TRANSPORT = int(Status.BAD_TRANSPORT)
_NO_CHECKSUM = int(Status.NO_CHECKSUM)
_SIX = int(Status.IPV6)

PROTOCOL_ICMP = 1
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_ICMP6 = 58


@njit(cache=True)
def fillPorts(data: NDArray[np.uint8], start: np.int64, end: np.int64, protocol: np.int64, record: Any) -> None:
    """Ports of TCP and UDP, or type and code of ICMP, as far as they were captured."""
    if protocol == PROTOCOL_TCP or protocol == PROTOCOL_UDP:
        if start + 4 <= end:
            record["source_port"] = load16(data, start)
            record["destination_port"] = load16(data, start + 2)
    elif (protocol == PROTOCOL_ICMP or protocol == PROTOCOL_ICMP6) and start + 2 <= end:
        record["source_port"] = data[start]
        record["destination_port"] = data[start + 1]


@njit(cache=True)
def _headerLength(
    data: NDArray[np.uint8], start: np.int64, end: np.int64, whole: np.int64, protocol: np.int64, record: Any
) -> np.int64:
    """Bytes of the transport header; fills in what it says.  C{BAD_TRANSPORT} and 0 when it is cut off."""
    needed = 20 if protocol == PROTOCOL_TCP else 8
    if start + needed > end:
        record["status"] |= _BAD_TRANSPORT
        return np.int64(0)
    if protocol == PROTOCOL_TCP:
        record["sequence"] = load32(data, start + 4)
        record["acknowledgement"] = load32(data, start + 8)
        record["flags"] = data[start + 13]
        record["window"] = load16(data, start + 14)
        size = np.int64(data[start + 12] >> 4) << 2
        if size >= 20 and size <= whole:
            return size
        record["status"] |= _BAD_TRANSPORT
        return np.int64(20)
    if protocol == PROTOCOL_UDP:
        size = load16(data, start + 4)
        record["window"] = size
        if size < 8 or size > whole:
            record["status"] |= _BAD_TRANSPORT
    return np.int64(8)


@njit(cache=True)
def _isChecksumBad(data: NDArray[np.uint8], start: np.int64, whole: np.int64, protocol: np.int64, record: Any) -> bool:
    """Check the C{whole} bytes of a transport packet, all captured; its header is there and plausible."""
    isSix = record["status"] & _SIX != 0
    covered = whole
    if protocol == PROTOCOL_UDP:
        if load16(data, start + 6) == 0:
            return isSix
        covered = np.int64(record["window"])
    total = onesSum(data, start, covered)
    if protocol != PROTOCOL_ICMP:
        total += protocol + covered
        total += pseudoSum(record["source_high"], record["source_low"], isSix)
        total += pseudoSum(record["destination_high"], record["destination_low"], isSix)
    return foldSum(total) != 0xFFFF


@njit(cache=True)
def decodeTransport(
    data: NDArray[np.uint8], start: np.int64, end: np.int64, whole: np.int64, checked: bool, record: Any
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
    elif protocol == PROTOCOL_ICMP or protocol == PROTOCOL_ICMP6:
        record["kind"] = _ICMP
    else:
        record["kind"] = _OTHER
        return np.int64(0)
    fillPorts(data, start, end, protocol, record)
    header = _headerLength(data, start, end, whole, protocol, record)
    if record["status"] & _BAD_TRANSPORT:
        return header
    if protocol == PROTOCOL_UDP and record["status"] & _SIX == 0 and load16(data, start + 6) == 0:
        record["status"] |= _NO_CHECKSUM
    elif checked and _isChecksumBad(data, start, whole, protocol, record):
        record["status"] |= _BAD_CHECKSUM
    return header
