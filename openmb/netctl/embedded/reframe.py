"""
One medium for all ports: packets of other link types become Ethernet frames when they enter the switch.

A pcap stream has one link type for its whole length, and drain markers are Ethernet frames; so every port speaks
Ethernet.
"""

from __future__ import annotations

import numpy as np

from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.headers import Decoded, Kind, Status

_HEADER_LENGTH = 14
_IPV4_HEADER = np.frombuffer(bytes(12) + b"\x08\x00", np.uint8)
_IPV6_HEADER = np.frombuffer(bytes(12) + b"\x86\xdd", np.uint8)
_CARRIED = (Kind.TCP, Kind.UDP, Kind.ICMP, Kind.OTHER, Kind.FRAGMENT)


def asEthernet(decoded: Decoded) -> Decoded:
    """
    The same packets as Ethernet frames with empty addresses.

    Frames are returned as they are.  Of other link types what carries no IP that can be understood is left out; the
    C{outer}, C{network} and later offsets of the headers still are those of the original packet.
    """
    if decoded.packets.link == LinkType.ETHERNET:
        return decoded
    isKnown = decoded.packets.link in tuple(LinkType)  # the decoder takes what is of another one for bare IP
    carried = decoded.select(np.isin(decoded.headers["kind"], _CARRIED) & isKnown)
    return Decoded(_frames(carried), carried.headers)


def _frames(decoded: Decoded) -> PacketBatch:
    """Prefix what lies from the IP header on with an Ethernet header."""
    packets, headers = decoded.packets, decoded.headers
    isTunnelled = headers["status"] & Status.TUNNELLED != 0
    network = np.where(isTunnelled, headers["outer"].astype(np.uint32), headers["network"])
    datagrams = PacketBatch(
        packets.data,
        packets.offsets + network,
        packets.lengths - network,
        packets.wire - network,
        packets.stamps,
        LinkType.ETHERNET,
    ).compact()
    lengths = datagrams.lengths + np.uint32(_HEADER_LENGTH)
    offsets = np.cumsum(lengths, dtype=np.int64) - lengths
    data = np.empty(int(lengths.sum(dtype=np.int64)), np.uint8)
    heads = offsets[:, np.newaxis] + np.arange(_HEADER_LENGTH)
    isSix = (datagrams.data[datagrams.offsets] >> 4 == 6)[:, np.newaxis]  # of a tunnel, that of its outside counts
    body = np.ones(len(data), np.bool_)
    body[heads] = False
    data[heads] = np.where(isSix, _IPV6_HEADER, _IPV4_HEADER)
    data[body] = datagrams.data
    wire = datagrams.wire + np.uint32(_HEADER_LENGTH)
    return PacketBatch(data, offsets, lengths, wire, datagrams.stamps, LinkType.ETHERNET)
