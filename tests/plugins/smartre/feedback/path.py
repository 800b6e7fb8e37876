"""An encoder and a decoder with a network between them that loses, doubles and disorders packets, both ways."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from openmb.packets.batch import PacketBatch, emptyBatch, packetBatch
from openmb.plugins.smartre.decoder import DecoderEnd
from openmb.plugins.smartre.encoder import EncoderEnd
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.plugins.smartre.statistics import undecodable
from openmb.testing.smartre.network import Fault, isToEncoder
from tests.plugins.smartre.ends import through

#: Small ends that talk to each other.
TALKING = SmartreSettings(Role.ENCODER, slots=1024, entries=1 << 14, feedback=True, mtu=65535, bypass=False)


class Path:
    """
    @ivar came: packets at the far end, with how often each came.
    """

    def __init__(self, settings: SmartreSettings = TALKING, seed: int = 0) -> None:
        self.settings, self.chance = settings, random.Random(seed)
        self.encoder, self.decoder = EncoderEnd(settings), self.makeDecoder()
        self.onward, self.back = Fault(), Fault()
        self.came: Counter[bytes] = Counter()
        self._now = 1_000_000_000

    def makeDecoder(self) -> DecoderEnd:
        """A new one."""
        return DecoderEnd(replace(self.settings, role=Role.DECODER))

    def send(self, packets: list[bytes], size: int = 32, step: int = 100_000) -> None:
        """Send packets, C{size} at a time, and C{step} nanoseconds apart, and let both ends talk."""
        for begin in range(0, len(packets), size):
            some = packets[begin : begin + size]
            self._now += step * len(some)
            self._exchange(list(self._through(self.encoder, some)))

    def wait(self, nanoseconds: int) -> None:
        """Time passes, and the two ends get a packet that concerns neither."""
        self._now += nanoseconds
        self._exchange([bytes(60)])

    def _through(self, end: EncoderEnd | DecoderEnd, packets: list[bytes]) -> list[bytes]:
        batch = packetBatch(packets, [self._now] * len(packets)) if packets else emptyBatch()
        return [sent.packet(place) for sent in through(end, [batch]) for place in range(len(sent))]

    def _exchange(self, packets: list[bytes]) -> None:
        for _ in range(20):
            arrived = self.onward.carry(packets, self.chance)
            sent = self._through(self.decoder, arrived)
            messages = [packet for packet in sent if isToEncoder(packet)]
            self.came.update(packet for packet in sent if not isToEncoder(packet) and packet != bytes(60))
            packets = self._through(self.encoder, self.back.carry(messages, self.chance))
            if not packets:
                return

    def accounts(self) -> tuple[int, int]:
        """Encoded packets that came to the decoder, and what is known of them: decoded, recovered, dropped, held."""
        row = self.decoder.statistics[0]
        assert self.decoder.asking is not None
        known = int(row["decoded"]) + int(row["recovered"]) + undecodable(row) + len(self.decoder.asking.holding)
        return int(row["encoded"]) + int(row["malformed"]), known


def packetsOf(batch: PacketBatch) -> list[bytes]:
    """Its packets."""
    return [batch.packet(place) for place in range(len(batch))]
