"""
The kernel that decodes a batch of packets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.headers import Kind, Status
from openmb.packets.internet import BAD_HEADER_CHECKSUM, NO_SUCH_VERSION, decodeInternet
from openmb.packets.links import NO_VLAN, NOT_IP, findNetwork
from openmb.packets.loads import Source, load16, load32, sourceOf
from openmb.packets.marker import MARKER_LENGTH, MARKER_MAGIC, MARKER_TYPE
from openmb.packets.transport import decodeTransport, fillPorts
from openmb.packets.tunnels import enterTunnels, isTunnel

_IGNORED = int(Kind.IGNORED)
_FRAGMENT = int(Kind.FRAGMENT)
_MARKER = int(Kind.MARKER)
_MALFORMED = int(Kind.MALFORMED)
_TRUNCATED = int(Status.TRUNCATED)
_BAD_CHECKSUM = int(Status.BAD_CHECKSUM)
_BAD_TRANSPORT = int(Status.BAD_TRANSPORT)
_MAGIC = int.from_bytes(MARKER_MAGIC, "big")

#: Places in the tally, behind one for each L{Kind}.
BAD_HEADER_CHECKSUMS = len(Kind)
BAD_CHECKSUMS = BAD_HEADER_CHECKSUMS + 1
BAD_TRANSPORTS = BAD_HEADER_CHECKSUMS + 2
TRUNCATIONS = BAD_HEADER_CHECKSUMS + 3
TALLY_LENGTH = BAD_HEADER_CHECKSUMS + 4


@njit(cache=True)
def _decodePayload(
    source: Source, base: np.int64, start: np.int64, end: np.int64, whole: np.int64, checks: bool, record: Any
) -> None:
    """What follows the IP header: C{whole} bytes from C{start}, captured up to C{end}."""
    truncated = start + whole > end
    if truncated:
        record["status"] |= _TRUNCATED
        # a first fragment that can never be completed still tells who talks to whom
        if record["kind"] == _FRAGMENT and record["fragment_offset"] == 0:
            record["kind"] = _IGNORED
    header = np.int64(0)
    if record["kind"] != _FRAGMENT:
        header = decodeTransport(source, start, end, whole, checks and not truncated, record)
    elif record["fragment_offset"] == 0:
        fillPorts(source, start, end, np.int64(record["protocol"]), record)
    record["transport"] = start - base
    record["payload"] = start - base + header
    record["length"] = whole - header
    record["captured"] = max(end - start - header, 0)


@njit(cache=True)
def _decodePacket(
    source: Source,
    base: np.int64,
    end: np.int64,
    wireEnd: np.int64,
    link: np.int64,
    checks: bool,
    record: Any,
) -> bool:
    """Decode one packet; say whether its IPv4 header has a wrong checksum."""
    if end - base == MARKER_LENGTH and load16(source, base + 12) == MARKER_TYPE and load32(source, base + 14) == _MAGIC:
        record["kind"] = _MARKER
        return False
    network, end = findNetwork(source, base, end, link, record)
    if network < 0:
        record["kind"] = _IGNORED if network == NOT_IP else _MALFORMED
        return False
    transport = decodeInternet(source, network, end, wireEnd, checks, record)
    if transport >= 0 and isTunnel(record["protocol"]):
        network, transport = enterTunnels(source, base, network, transport, end, checks, record)
    record["network"] = network - base
    if transport < 0:
        record["kind"] = _IGNORED if transport == NO_SUCH_VERSION else _MALFORMED
        return bool(transport == BAD_HEADER_CHECKSUM)
    whole = network + np.int64(record["total"]) - transport
    _decodePayload(source, base, transport, min(end, transport + whole), whole, checks, record)
    return False


@njit(cache=True)
def fillHeaders(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    wire: NDArray[np.uint32],
    stamps: NDArray[np.int64],
    link: int,
    checks: bool,
    headers: NDArray[Any],
    tally: NDArray[np.int64],
) -> int:
    """
    Fill C{headers}, zeros at first, with what the packets say; add to C{tally}; return the number of fragments.

    A packet that does not lie in C{data} is malformed.
    """
    fragments = 0
    source = sourceOf(data)
    for index in range(len(offsets)):
        record = headers[index]
        record["stamp"] = stamps[index]
        record["vlan"] = NO_VLAN
        record["inner_vlan"] = NO_VLAN
        base = offsets[index]
        length = np.int64(lengths[index])
        if base < 0 or base > len(data) - length:
            record["kind"] = _MALFORMED
        else:
            wireEnd = base + max(np.int64(wire[index]), length)
            badHeader = _decodePacket(source, base, base + length, wireEnd, np.int64(link), checks, record)
            tally[BAD_HEADER_CHECKSUMS] += badHeader
        kind = record["kind"]
        status = record["status"]
        fragments += kind == _FRAGMENT
        tally[kind] += 1
        tally[BAD_CHECKSUMS] += status & _BAD_CHECKSUM != 0
        tally[BAD_TRANSPORTS] += status & _BAD_TRANSPORT != 0
        tally[TRUNCATIONS] += status & _TRUNCATED != 0
    return fragments
