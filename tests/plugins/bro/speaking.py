"""TCP connections that say what they are told to, in any segmentation, some segments swapped, repeated or lost."""

from __future__ import annotations

import random
from collections.abc import Sequence

from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from tests.plugins.bro.wire import ACK, BEGIN, FIN, RST, SYN, tcp


def cut(dice: random.Random, data: bytes) -> list[bytes]:
    """The same in segments."""
    parts, sizes = [], dice.choice(((1460,), (1460,), (1, 2, 5, 300), (40, 700)))
    while data:
        size = dice.choice(sizes)
        parts.append(data[:size])
        data = data[size:]
    return parts


class Speaker:
    """
    One connection; one in ten lacks a packet of its handshake.

    @ivar packets: so far.
    """

    def __init__(self, dice: random.Random, number: int, port: int) -> None:
        self._dice = dice
        ends = f"10.0.{number >> 8}.{number & 255}", 1024 + number, "192.0.2.80", port
        back = ends[2], ends[3], ends[0], ends[1]
        self._ends = ends, back
        self._sent = [100, 500]
        self.packets = [tcp(*ends, SYN, 99), tcp(*back, SYN | ACK, 499, 100), tcp(*ends, ACK, 100, 500)]
        if dice.random() < 0.1:
            del self.packets[dice.randrange(3)]

    def say(self, side: int, data: bytes) -> None:
        """Side 0 is the client."""
        dice, packets, sent = self._dice, self.packets, self._sent
        for part in cut(dice, data):
            mine = tcp(*self._ends[side], ACK, sent[side], sent[1 - side], part)
            sent[side] += len(part)
            fate = dice.random()
            if fate < 0.004:
                continue
            if fate < 0.012 and len(packets) > 3:
                packets.insert(-1, mine)
            else:
                packets.append(mine)
            if 0.012 <= fate < 0.02:
                packets.append(mine)
            if dice.random() < 0.3:
                packets.append(tcp(*self._ends[1 - side], ACK, sent[1 - side], sent[side]))

    def close(self) -> list[bytes]:
        """All packets; most connections close, some are reset, some are left open."""
        dice, packets, sent = self._dice, self.packets, self._sent
        how = dice.random()
        if how < 0.7:
            for side in (0, 1) if dice.random() < 0.3 else (1, 0):
                packets.append(tcp(*self._ends[side], FIN | ACK, sent[side], sent[1 - side]))
                sent[side] += 1
            packets.append(tcp(*self._ends[1], ACK, sent[1], sent[0]))
        elif how < 0.85:
            packets.append(tcp(*dice.choice(self._ends), RST | ACK, sent[0], sent[1]))
        return packets


def sideBySide(dice: random.Random, waiting: Sequence[list[bytes]], pauses: float = 0) -> PacketBatch:
    """
    The packets of several connections, which run side by side, a millisecond after each other.

    @param pauses: how often there are minutes between two packets.
    """
    packets: list[bytes] = []
    stamps: list[int] = []
    now = BEGIN
    while waiting:
        one, count = dice.choice(waiting[:6]), dice.randrange(1, 6)
        for each in one[:count]:
            now += 1_000_000 if dice.random() >= pauses else dice.choice((6, 70, 400)) * 1_000_000_000
            packets.append(each)
            stamps.append(now)
        del one[:count]
        waiting = [each for each in waiting if each]
    return packetBatch(packets, stamps, LinkType.RAW)
