"""Packets for tests, built by hand: raw IPv4 and IPv6 with right checksums unless asked otherwise."""

from __future__ import annotations

import ipaddress
import struct

from openmb.packets.batch import LinkType, PacketBatch, packetBatch

FIN, SYN, RST, ACK = 1, 2, 4, 16
CLIENT, SERVER = "10.0.0.1", "192.0.2.80"
SECOND = 1_000_000_000
#: When test traffic begins, nanoseconds.
BEGIN = 1_700_000_000 * SECOND


def onesSum(data: bytes) -> int:
    """The Internet checksum's sum."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ip(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IP packet of either version."""
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if first.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + first.packed + second.packed + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + first.packed + second.packed
    return header[:10] + struct.pack("!H", 0xFFFF ^ onesSum(header)) + header[12:] + payload


def _summed(source: str, destination: str, protocol: int, payload: bytes, place: int, isBad: bool) -> bytes:
    """C{payload} with its transport checksum at C{place}."""
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    pseudo = ends + struct.pack("!II", len(payload), protocol)
    value = (0xFFFF ^ onesSum(pseudo + payload)) or 0xFFFF
    return payload[:place] + struct.pack("!H", value ^ (0x5555 if isBad else 0)) + payload[place + 2 :]


def tcp(
    source: str,
    sourcePort: int,
    destination: str,
    destinationPort: int,
    flags: int,
    sequence: int,
    acknowledgement: int = 0,
    data: bytes = b"",
    window: int = 1000,
    isBad: bool = False,
) -> bytes:
    """A TCP segment in its IP packet."""
    numbers = sequence & 0xFFFFFFFF, acknowledgement & 0xFFFFFFFF
    segment = struct.pack("!HHIIBBHHH", sourcePort, destinationPort, *numbers, 0x50, flags, window, 0, 0) + data
    return ip(source, destination, 6, _summed(source, destination, 6, segment, 16, isBad))


def udp(
    source: str, sourcePort: int, destination: str, destinationPort: int, data: bytes, isBad: bool = False
) -> bytes:
    """A UDP datagram in its IP packet."""
    datagram = struct.pack("!HHHH", sourcePort, destinationPort, 8 + len(data), 0) + data
    return ip(source, destination, 17, _summed(source, destination, 17, datagram, 6, isBad))


def icmp(source: str, destination: str, kind: int, code: int, data: bytes = bytes(4)) -> bytes:
    """An ICMP message in its IP packet."""
    message = struct.pack("!BBH", kind, code, 0) + bytes(4) + data
    value = 0xFFFF ^ onesSum(message)
    return ip(source, destination, 1, message[:2] + struct.pack("!H", value) + message[4:])


class Script:
    """Packets one after the other, each C{step} seconds later."""

    def __init__(self, step: float = 0.01, port: int = 9000, clientPort: int = 40000) -> None:
        self.step, self.port, self.clientPort = step, port, clientPort
        self.now = 0.0
        self.packets: list[bytes] = []
        self.stamps: list[int] = []

    def add(self, packet: bytes, at: float | None = None) -> Script:
        """A packet, now or at so many seconds after the beginning."""
        if at is not None:
            self.now = at
        self.packets.append(packet)
        self.stamps.append(BEGIN + round(self.now * 1_000_000) * 1000)
        self.now += self.step
        return self

    def client(
        self,
        flags: int,
        sequence: int,
        acknowledgement: int = 0,
        data: bytes = b"",
        at: float | None = None,
        window: int = 1000,
        isBad: bool = False,
    ) -> Script:
        """A segment from the client."""
        ports = CLIENT, self.clientPort, SERVER, self.port
        return self.add(tcp(*ports, flags, sequence, acknowledgement, data, window, isBad), at)

    def server(
        self,
        flags: int,
        sequence: int,
        acknowledgement: int = 0,
        data: bytes = b"",
        at: float | None = None,
        window: int = 1000,
    ) -> Script:
        """A segment from the server."""
        ports = SERVER, self.port, CLIENT, self.clientPort
        return self.add(tcp(*ports, flags, sequence, acknowledgement, data, window), at)

    def handshake(self) -> Script:
        """SYN, SYN-ACK, ACK with the sequence numbers 1000 and 5000."""
        self.client(SYN, 1000)
        self.server(SYN | ACK, 5000, 1001)
        return self.client(ACK, 1001, 5001)

    @property
    def batch(self) -> PacketBatch:
        """The packets as raw IP."""
        return packetBatch(self.packets, self.stamps, LinkType.RAW)
