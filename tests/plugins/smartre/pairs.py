"""
Kernels and oracle side by side: everything that one says the other must say too.

Run as C{python -m tests.plugins.smartre.pairs SEED ...} to compare them in a process of its own.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.smartre.decoding import Decoder, Outcome, Payloads
from openmb.plugins.smartre.encoding import Bodies, Encoder
from openmb.plugins.smartre.store import IDS, PacketStore, State
from openmb.testing.fuzzing.canary import canaryRaises
from openmb.testing.smartre.oracle import Body, OracleDecoder, OracleEncoder, OracleStore, Restored


def runs(payloads: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Payloads as the codec takes them: data, offsets, lengths."""
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    return np.frombuffer(b"".join(payloads), np.uint8), np.cumsum(lengths) - lengths, lengths


def bodiesOf(bodies: Bodies) -> list[Body]:
    """What an encoder made, one by one."""
    return [
        Body(
            int(bodies.ids[place]),
            int(bodies.matches[place]),
            int(bodies.checksums[place]),
            bodies.data[bodies.offsets[place] :][: bodies.lengths[place]].tobytes(),
        )
        for place in range(len(bodies.ids))
    ]


def decodeAll(decoder: Decoder, bodies: Sequence[Body], lengths: Sequence[int], epoch: int) -> list[Restored]:
    """Bodies through the kernels, in one batch."""
    data, offsets, sizes = runs([body.data for body in bodies])
    ids = np.array([body.id for body in bodies], np.uint64)
    matches = np.array([body.matches for body in bodies], np.uint8)
    checksums = np.array([body.checksum for body in bodies], np.uint32)
    found = decoder.decode(data, offsets, sizes, ids, matches, np.array(lengths, np.uint16), checksums, epoch)
    return [restored(found, place, length) for place, length in enumerate(lengths)]


def restored(found: Payloads, place: int, length: int) -> Restored:
    """What became of one body."""
    outcome = Outcome(found.outcomes[place])
    payload = found.data[found.offsets[place] :][:length].tobytes() if outcome == Outcome.DECODED else b""
    return Restored(outcome, payload, int(found.missing[place]))


@dataclass(frozen=True, slots=True)
class Settings:
    """Of both codecs."""

    slots: int = 64
    slotBytes: int = 1536
    first: int = 1
    entries: int = 1 << 12
    keepOldest: bool = True
    gated: bool = False
    sampling: int = 32


class Pair:
    """An encoder and a decoder of kernels, and those of the oracle, which must never differ."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        ring = settings.slots, settings.slotBytes, settings.first
        more = settings.entries, settings.keepOldest, settings.gated, settings.sampling
        self.encoder, self.decoder = Encoder(PacketStore(*ring), *more), Decoder(PacketStore(*ring))
        self.plainEncoder = OracleEncoder(OracleStore(*ring), *more)
        self.plainDecoder = OracleDecoder(OracleStore(*ring))

    def encode(self, payloads: Sequence[bytes], epoch: int = 1) -> list[Body]:
        """By both."""
        made = bodiesOf(self.encoder.encode(*runs(payloads), epoch))
        same(made, self.plainEncoder.encode(payloads, epoch))
        self.compareTables()
        compareStores(self.encoder.store, self.plainEncoder.store)
        return made

    def decode(self, bodies: Sequence[Body], lengths: Sequence[int], epoch: int = 1) -> list[Restored]:
        """By both."""
        found = decodeAll(self.decoder, bodies, lengths, epoch)
        expected = [self.plainDecoder.decode(body, length, epoch) for body, length in zip(bodies, lengths, strict=True)]
        for one, other in zip(found, expected, strict=True):
            same(one.outcome, other.outcome)
            same(one.payload, other.payload)
            if one.outcome == Outcome.MISSING:
                same(one.missing, other.missing)
        compareStores(self.decoder.store, self.plainDecoder.store)
        return found

    def send(self, payloads: Sequence[bytes], epoch: int = 1) -> list[Body]:
        """From encoder to decoder, without loss."""
        bodies = self.encode(payloads, epoch)
        found = self.decode(bodies, [len(payload) for payload in payloads], epoch)
        same([each.payload for each in found], list(payloads))
        same({each.outcome for each in found} - {Outcome.DECODED}, set())
        return bodies

    def mark(self, ids: Sequence[int], state: State) -> None:
        """At both."""
        self.encoder.mark(np.array(ids, np.uint64), state)
        self.plainEncoder.mark(ids, state)

    def rebuild(self) -> None:
        """At both."""
        self.encoder.rebuild()
        self.plainEncoder.rebuild()
        self.compareTables()

    def compareTables(self) -> None:
        """Both tables hold the same."""
        (filled,) = self.encoder.table.nonzero()
        entries = self.plainEncoder.table
        plain = {place: entry.id | entry.offset << 32 | entry.tag << 43 for place, entry in entries.items()}
        same(dict(zip(filled.tolist(), self.encoder.table[filled].tolist(), strict=True)), plain)


def compareStores(store: PacketStore, plain: OracleStore) -> None:
    """Both hold the same packets and go on with the same id."""
    same(store.next, plain.next)
    aged = sorted(plain.ring.values(), key=lambda held: (held.id - plain.next) % IDS)
    same([int(id) for id in store.held()], [held.id for held in aged])
    same([store.payload(held.id) for held in aged], [held.payload for held in aged])
    slots = [held.id % plain.slots for held in aged]
    same(store.states[slots].tolist(), [int(held.state) for held in aged])


def same(found: object, expected: object) -> None:
    """Raise unless they are equal."""
    if found != expected:
        raise AssertionError(f"kernels: {found!r}\noracle: {expected!r}")


class Speaker:
    """Payloads that repeat themselves and each other."""

    def __init__(self, dice: random.Random, longest: int = 1536) -> None:
        self.dice, self.longest = dice, longest
        self.past = [dice.randbytes(longest)]

    def speak(self) -> bytes:
        """One payload."""
        dice = self.dice
        kind = dice.randrange(10)
        if kind == 0:
            payload = bytes([dice.randrange(2)]) * dice.randrange(self.longest + 1)
        elif kind == 1:
            payload = dice.randbytes(dice.randrange(1, 70)) * 30
        elif kind == 2:
            payload = dice.randbytes(dice.randrange(3))
        else:
            payload = b"".join(self._part() for _ in range(dice.randrange(12)))
        self.past = [*self.past[-40:], payload[: self.longest]]
        return self.past[-1]

    def _part(self) -> bytes:
        if self.dice.random() < 0.4:
            return self.dice.randbytes(self.dice.randrange(100))
        source = self.dice.choice(self.past)
        start = self.dice.randrange(len(source) + 1)
        return source[start : start + self.dice.randrange(600)]


#: What is tried by chance: few slots, few entries, ids about to begin again, every switch.
SETTINGS = (
    Settings(),
    Settings(slots=64, entries=256, first=(1 << 32) - 50, gated=True, sampling=16),
    Settings(slots=32, entries=1 << 10, first=(1 << 64) - 40, keepOldest=False, sampling=64),
    Settings(slots=256, slotBytes=2048, first=7, sampling=8),
    Settings(slots=64, entries=16, first=(1 << 63) - 9, keepOldest=False, gated=True),
    Settings(slots=1, slotBytes=700, entries=1),
)


def compare(seed: int, batches: int = 12) -> int:
    """Speak through pairs of all L{SETTINGS}; how many matches there were."""
    matches = 0
    for settings in SETTINGS:
        dice = random.Random(f"{seed} {settings}")
        pair, speaker = Pair(settings), Speaker(dice, settings.slotBytes)
        for batch in range(batches):
            bodies = pair.send([speaker.speak() for _ in range(dice.randrange(9))], 7)
            matches += sum(body.matches for body in bodies)
            pair.mark([body.id for body in bodies], State.USABLE)
            pair.mark([body.id for body in bodies if dice.random() < 0.1], State.LOST)
            if batch == batches // 2:
                pair.rebuild()
    return matches


def disorder(seed: int) -> int:
    """
    Kernels with arrays of nothing but chance, stores and tables among them: in a process that checks indices, it raises
    when they index what is not there.

    @return: how many payloads came out.
    """
    chance, count = np.random.default_rng(seed), 20
    decoder, encoder = Decoder(spoilt(chance)), Encoder(spoilt(chance), 64, gated=bool(seed & 1), sampling=8)
    encoder.table[:] = chance.integers(0, 1 << 63, 64, np.uint64) * 2
    data = chance.integers(0, 4, 700, np.uint8)
    found = decoder.decode(
        data,
        chance.integers(-20, 800, count),
        chance.integers(-20, 300, count),
        chance.integers(0, 40, count, np.uint64),
        chance.integers(0, 12, count, np.uint8),
        chance.integers(0, 400, count, np.uint16),
        chance.integers(0, 1 << 32, count, np.uint32),
        3,
    )
    for _ in range(2):
        encoder.encode(data, chance.integers(0, 500, count), chance.integers(0, 200, count), 3)
        encoder.rebuild()
    return int((found.outcomes == Outcome.DECODED).sum())


def spoilt(chance: np.random.Generator) -> PacketStore:
    """A store that holds what nobody stored."""
    store = PacketStore(16, 200, 20)
    store.payloads[:] = chance.integers(0, 4, len(store.payloads), np.uint8)
    store.lengths[:] = chance.integers(0, 1 << 16, 16, np.uint16)
    store.states[:] = chance.integers(0, 256, 16, np.uint8)
    store.ids[:] = chance.integers(0, 40, 16, np.uint64)
    return store


def main(seeds: Sequence[str]) -> int:
    """Compare; the number of matches, and whether indices are checked."""
    for seed in range(10):
        disorder(seed)
    print(sum(compare(int(seed), 4) for seed in seeds), canaryRaises())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
