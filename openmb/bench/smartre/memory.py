"""
What a packet takes that is kept: C{python -m openmb.bench.smartre.memory ROLE} fills a cache and prints bytes a packet.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from openmb.bench.smartre.sets import SIZE
from openmb.plugins.smartre.decoding import warmUp as warmDecoder
from openmb.plugins.smartre.encoding import Encoder
from openmb.plugins.smartre.encoding import warmUp as warmEncoder
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.plugins.smartre.store import PacketStore, warmUp

_AT_ONCE = 256


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def bytesForPacket(role: Role) -> float:
    """What one packet takes in a cache of the default shape that is full."""
    settings = SmartreSettings(role)
    warmUp()
    warmEncoder()
    warmDecoder()
    rng = np.random.default_rng(1)
    lengths = np.full(_AT_ONCE, SIZE, np.int64)
    offsets = np.cumsum(lengths) - lengths
    some = [np.frombuffer(rng.bytes(_AT_ONCE * SIZE), np.uint8) for _ in range(settings.slots // _AT_ONCE)]
    before = resident()
    store = PacketStore(settings.slots, settings.slotBytes)
    encoder = Encoder(store, settings.entries) if role is Role.ENCODER else None
    for number, data in enumerate(some):
        if encoder is not None:
            encoder.encode(data, offsets, lengths, 1)
        else:
            ids = np.arange(1 + number * _AT_ONCE, 1 + (number + 1) * _AT_ONCE, dtype=np.uint64)
            store.insertAll(ids, data, offsets, lengths)
    return (resident() - before) / settings.slots


if __name__ == "__main__":
    print(bytesForPacket(Role(sys.argv[1])))
