"""Packets made by hand."""

from __future__ import annotations

import random
import struct

from openmb.packets.batch import PacketBatch, packetBatch

_PORTS = struct.pack(">HH", 1234, 80)


def udp(payload: bytes) -> bytes:
    """A UDP datagram."""
    return _PORTS + struct.pack(">HH", 8 + len(payload), 0) + payload


def tcp(payload: bytes, flags: int = 0x18) -> bytes:
    """A TCP segment, its checksum not computed."""
    return _PORTS + struct.pack(">IIBBHHH", 1, 1, 0x50, flags, 1000, 0xABCD, 0) + payload


def four(
    payload: bytes,
    protocol: int | None = None,
    options: bytes = b"",
    fragment: int = 0,
    number: int = 7,
    to: tuple[int, ...] = (10, 0, 0, 2),
) -> bytes:
    """An IPv4 packet; the protocol is that of C{payload} unless given, C{number} its id, C{to} its destination."""
    size = 20 + len(options)
    told = _protocolOf(payload) if protocol is None else protocol
    start = struct.pack(">BBHHHBB", 0x40 | size >> 2, 0, size + len(payload), number, fragment, 64, told)
    rest = bytes([10, 0, 0, 1, *to]) + options
    total = sum(struct.unpack(f">{size // 2 - 1}H", start + rest))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return start + struct.pack(">H", 0xFFFF - total) + rest + payload


def six(payload: bytes, protocol: int | None = None) -> bytes:
    """An IPv6 packet."""
    told = _protocolOf(payload) if protocol is None else protocol
    addresses = bytes(15) + b"\1" + bytes(15) + b"\2"
    return struct.pack(">IHBB", 6 << 28, len(payload), told, 64) + addresses + payload


def ethernet(packet: bytes) -> bytes:
    """A frame."""
    return bytes(12) + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\0") + packet


def _protocolOf(payload: bytes) -> int:
    return 17 if struct.unpack(">H", payload[4:6])[0] == len(payload) else 6


def generate(seed: int, packets: int) -> PacketBatch:
    """Traffic of which more than half was there before: runs of any length and place out of the last 64 payloads."""
    chance = random.Random(seed)
    recent: list[bytes] = [chance.randbytes(1400)]
    made: list[bytes] = []
    for _ in range(packets):
        parts = []
        for _ in range(chance.randrange(5)):
            source = chance.choice(recent[-64:])
            begin = chance.randrange(len(source))
            parts.append(
                source[begin : begin + int(2 ** chance.uniform(4, 11))] + chance.randbytes(chance.randrange(200))
            )
        payload = b"".join(parts)[: chance.choice((40, 500, 1400, 1440))]
        recent += [payload] if payload else []
        inner = chance.choice((udp, tcp))(payload)
        made.append(ethernet(six(inner) if chance.random() < 0.3 else four(inner, number=len(made) & 0xFFFF)))
    return packetBatch(made, [place * chance.randrange(1, 100_000) for place in range(packets)])
