"""
The envelope of a message: link and IP header of a data packet, so that the message takes the flow's path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openmb.packets.batch import LinkType
from openmb.plugins.smartre.format import PROTOCOL

_SIX = 40
#: Of a packet that has its way before it.
_HOPS = 64


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    Link and IP header of a packet.

    @ivar head: link header and IP header, options included.
    @ivar network: where in it the IP header begins.
    @ivar link: the link type.
    """

    head: bytes
    network: int
    link: int

    @property
    def isSix(self) -> bool:
        """IPv6, without extension headers."""
        return self.head[self.network] >> 4 == 6

    def around(self, message: bytes, protocol: int = PROTOCOL) -> bytes:
        """A packet with C{message}, of C{protocol}, behind the IP header."""
        header = bytearray(self.head[self.network :])
        if self.isSix:
            header[4:6] = (len(header) - _SIX + len(message)).to_bytes(2, "big")
            header[6] = protocol
        else:
            header[2:4] = (len(header) + len(message)).to_bytes(2, "big")
            header[9] = protocol
            header[10:12] = bytes(2)
            header[10:12] = (0xFFFF - _sum(bytes(header))).to_bytes(2, "big")
        return self.head[: self.network] + bytes(header) + message

    def reversed(self) -> Envelope:
        """Towards where the packet came from: addresses of both headers exchanged; as many hops as any packet."""
        link, header = bytearray(self.head[: self.network]), bytearray(self.head[self.network :])
        if self.link == LinkType.ETHERNET and len(link) >= 12:
            link[0:6], link[6:12] = link[6:12], link[0:6]
        header[7 if self.isSix else 8] = _HOPS
        first, size = (8, 16) if self.isSix else (12, 4)
        middle, last = first + size, first + 2 * size
        header[first:middle], header[middle:last] = header[middle:last], header[first:middle]
        return Envelope(bytes(link + header), self.network, self.link)


def _sum(header: bytes) -> int:
    """Ones' complement sum of 16-bit words."""
    total = int(np.frombuffer(header, ">u2").sum(dtype=np.int64))
    return (total - 1) % 0xFFFF + 1 if total else 0
