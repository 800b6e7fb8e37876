"""Hostile traffic: segments with numbers, flags and lengths at random, and pieces of HTTP and SSH among them."""

from __future__ import annotations

import random

from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from tests.plugins.bro.wire import BEGIN, CLIENT, SERVER, icmp, tcp, udp

_TEXTS = (
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    b"POST /b HTTP/1.0\r\nContent-Length: 400\r\n\r\n",
    b"SSH-2.0-x\r\n",
    b"\xff\xff\xff\xff",
    b"0123456789" * 30,
    b"\r\n",
    b"",
    b"",
)
_FLAGS = (2, 18, 16, 16, 16, 24, 17, 4, 20, 1, 3, 5, 6, 0, 7)


def _segment(dice: random.Random, isBack: bool) -> bytes:
    flags = dice.choice(_FLAGS)
    base = dice.choice((1000, 1000, 1000, 0xFFFFFF00, 0x80000000))
    first, second = (base + dice.choice((0, 1, 1, 11, 31, 300, 301, 20000)) + dice.randrange(3) for _ in range(2))
    ends = [(CLIENT, 40000 + dice.randrange(3)), (SERVER, dice.choice((80, 80, 22, 9000)))]
    if isBack:
        ends.reverse()
    text = dice.choice(_TEXTS)
    return tcp(*ends[0], *ends[1], flags, first, second, text, dice.choice((0, 1000)), dice.random() < 0.02)


def _other(dice: random.Random, isBack: bool) -> bytes:
    ends = (SERVER, CLIENT) if isBack else (CLIENT, SERVER)
    if dice.random() < 0.3:
        return icmp(*ends, dice.choice((0, 8, 3, 13, 14)), dice.randrange(2))
    ports = dice.choice(((53, 53), (4000, 53), (123, 123), (7000, 7001)))
    return udp(ends[0], ports[isBack], ends[1], ports[not isBack], dice.randbytes(dice.choice((0, 4, 12, 48))))


def hostileTraffic(seed: int, count: int) -> PacketBatch:
    """So many packets; the same for the same seed."""
    dice = random.Random(seed)
    packets, stamps, now = [], [], BEGIN
    for _ in range(count):
        isBack = dice.random() < 0.5
        packets.append(_segment(dice, isBack) if dice.random() < 0.85 else _other(dice, isBack))
        stamps.append(now)
        now += int(dice.choice((0, 1000, 10_000_000, 1_000_000_000, 7_000_000_000)) * dice.random())
    return packetBatch(packets, stamps, LinkType.RAW)
