"""
What decoding finds in a packet: one L{HEADERS} entry for each packet of a batch.

Addresses are two 64-bit numbers, high and low half of the 128-bit address; an IPv4 address a.b.c.d stands as the mapped
address ::ffff:a.b.c.d, so that one form serves both.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch


class Kind(enum.IntEnum):
    """What a packet is to an engine."""

    IGNORED = 0  # not IP (ARP, LLDP, ...) or an IP version that does not exist
    TCP = 1
    UDP = 2
    ICMP = 3  # ICMP and ICMPv6; C{protocol} tells which
    OTHER = 4  # any other IP protocol
    FRAGMENT = 5  # part of a datagram that is not complete yet
    MARKER = 6  # a drain marker of the network
    MALFORMED = 7  # IP header bad, cut off, or its checksum wrong: counted, otherwise ignored


class Status(enum.IntFlag):
    """Remarks on a packet that an engine may need."""

    BAD_CHECKSUM = 1  # transport checksum wrong (only when checked; never for a truncated capture)
    TRUNCATED = 2  # fewer bytes captured than the IP total length says
    BAD_TRANSPORT = 4  # transport header cut off or its length field impossible
    REASSEMBLED = 8  # put together from fragments
    IPV6 = 16
    NO_CHECKSUM = 32  # UDP over IPv4 with checksum 0
    NO_LENGTH = 128  # IPv4 total length 0 (segmentation offload), taken for all that was captured
    TUNNELLED = 64  # out of a tunnel: all but stamp and VLANs is of the packet inside


#: One decoded packet.  C{clock}: network time when it came, nanoseconds; see L{openmb.packets.decode.Decoder}.
#: C{total}: bytes of the IP packet, header included (by its length field); C{network},
#: C{transport}, C{payload}: offsets from the start of the captured bytes; C{length}: bytes of transport payload
#: by the IP total length; C{captured}: how many of these were captured.  ICMP: C{source_port} is the type,
#: C{destination_port} the code, C{payload} begins after the 8-byte header.  UDP: C{window} is the length field.
#: C{outer}: where the outermost IP header begins, of a packet out of a tunnel; C{network} is that of the packet inside.
#: C{vlan}, C{inner_vlan}: identifier or 0xffff for none, of the outermost frame.  C{status}: L{Status} bits.
#: C{fragment_*}: only for C{Kind.FRAGMENT}; C{fragment_id} also with C{Status.REASSEMBLED}.
#: C{Status.BAD_TRANSPORT}: C{payload} equals C{transport} when the header was cut off (ports as far
#: as they were there), and lies behind the least header when that is there but impossible (its fields are filled in).
HEADERS = np.dtype(
    [
        ("stamp", "<i8"),
        ("clock", "<i8"),
        ("source_high", "<u8"),
        ("source_low", "<u8"),
        ("destination_high", "<u8"),
        ("destination_low", "<u8"),
        ("sequence", "<u4"),
        ("acknowledgement", "<u4"),
        ("total", "<u4"),
        ("network", "<u4"),
        ("transport", "<u4"),
        ("payload", "<u4"),
        ("length", "<u4"),
        ("captured", "<u4"),
        ("fragment_id", "<u4"),
        ("fragment_offset", "<u4"),
        ("source_port", "<u2"),
        ("destination_port", "<u2"),
        ("window", "<u2"),
        ("vlan", "<u2"),
        ("inner_vlan", "<u2"),
        ("kind", "u1"),
        ("protocol", "u1"),
        ("flags", "u1"),
        ("status", "u1"),
        ("more_fragments", "u1"),
        ("outer", "u1"),
    ]
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """
    A batch and what decoding found in it.

    @ivar packets: the packets; a fragment that completed a datagram is replaced by the whole datagram.
    @ivar headers: L{HEADERS}C{[n]}, entry i for packet i.
    """

    packets: PacketBatch
    headers: NDArray[Any]

    def __len__(self) -> int:
        return len(self.headers)

    def select(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Decoded:
        """The packets at C{which}, sharing the buffer."""
        return Decoded(self.packets.select(which), self.headers[which])
