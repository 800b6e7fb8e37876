"""
Good inputs, spoilt.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

#: Numbers at which readers of lengths and counts go wrong.
EDGES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_SIZES = ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))
#: Inputs do not grow beyond this.
LONGEST = 1 << 18


class Mutator:
    """
    Makes inputs out of C{seeds}; the same for the same C{rng}.

    @param words: parts that mean something to the reader, to be put in anywhere.
    """

    def __init__(self, rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> None:
        self._rng, self._seeds, self._words = rng, [seed for seed in seeds if seed], list(words)

    def make(self) -> bytes:
        """One input: mostly a spoilt seed, now and then noise, or a seed as it is."""
        rng = self._rng
        data = bytearray(rng.choice(self._seeds))
        fate = rng.random()
        if fate < 0.02:
            return rng.randbytes(rng.randrange(1, 400))
        if fate > 0.99:
            return bytes(data)
        for _ in range(1 + int(rng.expovariate(0.4))):
            if not data:
                break
            self._spoil(data)
        return bytes(data[:LONGEST])

    def _spoil(self, data: bytearray) -> None:
        rng = self._rng
        place = rng.randrange(len(data))
        match rng.randrange(9):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place] = rng.randrange(256)
            case 2:
                size, code = rng.choice(_SIZES)
                number = rng.choice(EDGES) & ((1 << 8 * size) - 1)
                data[place : place + size] = struct.pack(rng.choice("<>") + code, number)
            case 3:
                del data[place:]
            case 4:
                del data[place : place + rng.randrange(1, 17)]
            case 5:
                data[place:place] = rng.randbytes(rng.randrange(1, 17))
            case 6:
                other = rng.choice(self._seeds)
                start = rng.randrange(len(other))
                data[place:] = other[start:]
            case 7:
                stop = min(len(data), place + rng.randrange(1, 65))
                data[place:place] = data[place:stop] * rng.randrange(1, 4)
            case _:
                if self._words:
                    data[place:place] = rng.choice(self._words)
