"""Small packets for tests of the switch."""

from __future__ import annotations

import struct

from openmb.packets.batch import LinkType, PacketBatch, packetBatch

ETHERNET = bytes(12) + b"\x08\x00"
ETHERNET6 = bytes(12) + b"\x86\xdd"


def address(text: str) -> bytes:
    """The 4 bytes of an IPv4 address."""
    return bytes(map(int, text.split(".")))


def ip(source: str, destination: str, protocol: int, body: bytes, identity: int = 0, fragment: int = 0) -> bytes:
    """An IPv4 packet; C{fragment} is the field of flags and offset."""
    ends = address(source) + address(destination)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), identity, fragment, 64, protocol, 0) + ends + body


def udpBody(sourcePort: int, destinationPort: int, payload: bytes) -> bytes:
    """A UDP header and its payload."""
    return struct.pack("!HHHH", sourcePort, destinationPort, 8 + len(payload), 0) + payload


def udp(source: str, destination: str, sourcePort: int, destinationPort: int, payload: bytes = b"") -> bytes:
    """An Ethernet frame with a UDP packet."""
    return ETHERNET + ip(source, destination, 17, udpBody(sourcePort, destinationPort, payload))


def fragments(source: str, destination: str, port: int, identity: int, sizes: tuple[int, ...]) -> list[bytes]:
    """The fragments of a UDP datagram to C{port}; C{sizes} of each but the last are multiples of 8."""
    body = udpBody(1000, port, bytes(sum(sizes) - 8))
    found, start = [], 0
    for number, size in enumerate(sizes):
        more = 0x2000 if number < len(sizes) - 1 else 0
        part = body[start : start + size]
        found.append(ETHERNET + ip(source, destination, 17, part, identity, more | start // 8))
        start += size
    return found


def batch(packets: list[bytes], stamps: list[int] | None = None, link: int = LinkType.ETHERNET) -> PacketBatch:
    """A batch with the given stamps, or 1, 2, 3, ..."""
    return packetBatch(packets, stamps or list(range(1, len(packets) + 1)), link)


def packetsOf(found: PacketBatch) -> list[bytes]:
    """The packets of a batch."""
    return [found.packet(place) for place in range(len(found))]
