"""
A network between ends of SmartRE that loses, doubles and disorders packets; and which packets are messages.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from openmb.plugins.smartre.format import PROTOCOL, Acknowledge, Forked, Message, Refuse, parseMessage


@dataclass
class Fault:
    """Chances, each from 0 to 1, and how far a packet may fall behind."""

    loss: float = 0.0
    doubling: float = 0.0
    disorder: float = 0.0
    behind: int = 0

    def carry(self, packets: list[bytes], chance: random.Random) -> list[bytes]:
        """What arrives."""
        places = []
        for place, packet in enumerate(packets):
            if chance.random() < self.loss:
                continue
            for _ in range(1 + (chance.random() < self.doubling)):
                late = chance.randrange(self.behind + 1) if chance.random() < self.disorder else 0
                places.append((place + late, packet))
        return [packet for _, packet in sorted(places, key=lambda pair: pair[0])]


def isToEncoder(packet: bytes) -> bool:
    """Is this a message of a decoder?"""
    return isinstance(messageOf(packet), Acknowledge | Refuse | Forked)


def messageOf(packet: bytes) -> Message | None:
    """The message in a packet; None: there is none."""
    isSix = packet[12:14] == b"\x86\xdd"
    if len(packet) < 37 or packet[20 if isSix else 23] != PROTOCOL or packet[54 if isSix else 34 :][2:3] == b"\1":
        return None
    return parseMessage(packet[54 if isSix else 34 :])
