"""Packets to two prefixes."""

from __future__ import annotations

import random

from tests.plugins.smartre.frames import ethernet, four, udp


def traffic(seed: int, packets: int) -> list[bytes]:
    """Packets to both prefixes; what was sent to one comes again to either."""
    chance = random.Random(seed)
    recent: list[bytes] = [chance.randbytes(1200)]
    made = []
    for number in range(packets):
        parts = []
        for _ in range(chance.randrange(1, 4)):
            source = chance.choice(recent[-200:])
            begin = chance.randrange(len(source))
            parts.append(source[begin : begin + chance.randrange(64, 700)] + chance.randbytes(chance.randrange(120)))
        payload = b"".join(parts)[:1200]
        recent.append(payload)
        packet = four(udp(payload), number=number & 0xFFFF, to=(10, 0, chance.choice((1, 2)), 9))
        made.append(ethernet(packet))
    return made
