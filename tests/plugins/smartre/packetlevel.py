"""
Whole packets through both ends, good ones and damaged ones, for a process of its own:
C{python -m tests.plugins.smartre.packetlevel SEED ...} prints what came out, and whether indices are checked.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from openmb.packets.batch import PacketBatch, packetBatch
from openmb.plugins.smartre.decoder import DecoderEnd
from openmb.plugins.smartre.encoder import EncoderEnd
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.testing.fuzzing.canary import canaryRaises
from tests.plugins.smartre.ends import contents, through
from tests.plugins.smartre.frames import generate

_SETTINGS = SmartreSettings(Role.ENCODER, slots=64, entries=1 << 10, gated=False, mtu=1500, secondStage=True)
PACKETS, AT_ONCE = 60, 16


def digest(seed: int) -> str:
    """
    Of everything that both ends make of some traffic, of what they make of it damaged on the way, and of packets that
    are damaged before they come to the encoder, which gets the decoder's messages, too.
    """
    chance = random.Random(seed)
    found = hashlib.sha256()
    for isTalking in (False, True):
        settings = replace(_SETTINGS, feedback=isTalking)
        encoder, decoder = EncoderEnd(settings), DecoderEnd(replace(settings, role=Role.DECODER))
        for batch in _batches(seed):
            (encoded,) = through(encoder, [batch])
            (back,) = through(decoder, [_damaged(encoded, chance, 0.2)])
            answers = [
                *through(encoder, [_damaged(back, chance, 0.2)]),
                *through(encoder, [_damaged(batch, chance, 1)]),
            ]
            again = list(through(decoder, answers))
            found.update(repr([contents([each]) for each in (encoded, back, *answers, *again)]).encode())
        found.update(encoder.statistics.tobytes() + decoder.statistics.tobytes())
    return found.hexdigest()


def _batches(seed: int) -> Iterator[PacketBatch]:
    whole = generate(seed, PACKETS)
    for begin in range(0, PACKETS, AT_ONCE):
        yield whole.select(slice(begin, begin + AT_ONCE))


def _damaged(batch: PacketBatch, chance: random.Random, share: float) -> PacketBatch:
    """Some packets with other bytes, or cut off."""
    packets = [_spoilt(batch.packet(place), chance, share) for place in range(len(batch))]
    return packetBatch(packets, batch.stamps.tolist())


def _spoilt(packet: bytes, chance: random.Random, share: float) -> bytes:
    if chance.random() >= share or not packet:
        return packet
    octets = bytearray(packet)
    # heads and shims are what kernels go by
    for _ in range(chance.randrange(1, 4)):
        octets[chance.randrange(min(len(octets), 100))] = chance.randrange(256)
    return bytes(octets[: chance.randrange(len(octets)) if chance.random() < 0.3 else None])


def main(seeds: Sequence[str]) -> int:
    """A line for each seed, then whether indices are checked."""
    for seed in seeds:
        print(digest(int(seed)))
    print(canaryRaises())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
