"""
Packets that a decoder cannot decode yet: they are held, asked for, and completed by answers (docs/smartre.md, 4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from openmb.plugins.smartre.envelope import Envelope
from openmb.plugins.smartre.format import Answer, Reason, Refuse

#: Packets held at most, and for how long, nanoseconds of packet time: longer than queues of a busy path may be.
MOST_HELD, LONGEST_HELD = 2048, 5_000_000_000
#: A packet is asked for again after so long, nanoseconds of packet time, and then after twice as long each time.
ASK_AGAIN = 20_000_000


@dataclass(slots=True)
class Held:
    """
    An encoded packet.

    @ivar envelope: its link and IP header.
    @ivar protocol: the IP header's own.
    @ivar transport: the transport header.
    @ivar refusal: what the encoder is told.
    @ivar length: bytes of the original payload; C{checksum}: its checksum.
    @ivar since: packet time when it came; C{due}: when it is asked for again; C{asked}: how often it was.
    """

    envelope: Envelope
    protocol: int
    transport: bytes
    refusal: Refuse
    length: int
    checksum: int
    since: int
    due: int = 0
    asked: int = 0

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What an answer to it says."""
        return self.refusal.cache, self.refusal.epoch, self.refusal.id, self.checksum


class Holding:
    """
    The packets held, oldest first.

    @ivar dropped: of packets that were given up, how many there were, by reason; C{lost}: bytes of their payloads.
    """

    def __init__(self) -> None:
        self._held: list[Held] = []
        self.dropped: Counter[Reason] = Counter()
        self.lost = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held)

    def hold(self, packet: Held) -> None:
        """Hold a packet; the oldest is given up if there are too many."""
        if len(self._held) == MOST_HELD:
            self._drop(self._held.pop(0))
        self._held.append(packet)

    def expire(self, now: int) -> None:
        """Give up what has been held for too long."""
        for packet in self._held:
            if now - packet.since > LONGEST_HELD:
                self._drop(packet)
        self._held = [packet for packet in self._held if now - packet.since <= LONGEST_HELD]

    def finish(self) -> None:
        """No more answers will come."""
        for packet in self._held:
            self._drop(packet)
        self._held = []

    def answered(self, answer: Answer) -> list[Held]:
        """Take out the packets (a network may have doubled one) whose payload this is."""
        key = answer.cache, answer.epoch, answer.id, answer.checksum
        found: list[Held] = []
        others: list[Held] = []
        for packet in self._held:
            isMeant = packet.key == key and packet.length == len(answer.payload)
            (found if isMeant else others).append(packet)
        self._held = others
        return found

    def due(self, now: int) -> list[Held]:
        """The packets that are to be asked for now."""
        due = [packet for packet in self._held if packet.due <= now]
        for packet in due:
            packet.due = now + (ASK_AGAIN << packet.asked)
            packet.asked += 1
        return due

    def _drop(self, packet: Held) -> None:
        self.dropped[packet.refusal.reason] += 1
        self.lost += packet.length
