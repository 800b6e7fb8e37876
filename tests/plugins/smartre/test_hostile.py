"""What a decoder is given by a damaged or reordered path, or by somebody who means harm: never a wrong payload."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.smartre.decoding import Decoder, Outcome
from openmb.plugins.smartre.encoding import Encoder
from openmb.plugins.smartre.store import PacketStore, State
from openmb.testing.smartre.oracle import Body
from tests.plugins.smartre.pairs import Pair, Settings, Speaker, bodiesOf, decodeAll, disorder, runs


class Conversation:
    """A pair that has spoken, and bodies that came after."""

    def __init__(self, seed: int, count: int = 12) -> None:
        dice = random.Random(seed)
        self.pair, speaker = Pair(Settings(slots=32, sampling=8)), Speaker(dice)
        self.pair.send([speaker.speak() for _ in range(24)])
        self.payloads = [speaker.speak() for _ in range(count)]
        self.bodies = self.pair.encode(self.payloads)
        self.lengths = [len(payload) for payload in self.payloads]


@some.composite
def damages(draw: some.DrawFn) -> tuple[str, int, int]:
    """What is changed, where, to what."""
    what = draw(some.sampled_from(("data", "word", "cut", "grow", "matches", "id", "checksum", "length")))
    number = some.one_of(
        some.integers(0, 300), some.integers(0, (1 << 64) - 1), some.integers(0, 64).map((1).__lshift__)
    )
    return what, draw(some.integers(0, 4000)), draw(number) & ((1 << 64) - 1)


def damage(body: Body, length: int, what: str, where: int, number: int) -> tuple[Body, int]:
    """A body and its length with one thing changed."""
    data = bytearray(body.data)
    if what == "data" and data:
        data[where % len(data)] ^= number & 255
    elif what == "word" and body.matches:
        place = 8 * (where % body.matches)
        data[place : place + 8] = number.to_bytes(8, "little")
    elif what == "cut":
        del data[where % (len(data) + 1) :]
    elif what == "grow":
        data += bytes(number % 3000)
    elif what == "matches":
        body = replace(body, matches=number & 255)
    elif what == "id":
        body = replace(body, id=(body.id ^ number) if where & 1 else (body.id + where % 100))
    elif what == "checksum":
        body = replace(body, checksum=body.checksum ^ number & 0xFFFFFFFF)
    elif what == "length":
        length = number & 0xFFFF
    return replace(body, data=bytes(data)), length


class DamageTests(SynchronousTestCase):
    """Bodies with something changed: the kernels say what the oracle says, and nothing wrong comes out."""

    @settings(max_examples=150, deadline=None)
    @given(some.integers(0, 5), some.lists(some.tuples(some.integers(0, 11), damages()), max_size=6))
    def test_damaged(self, seed: int, changes: list[tuple[int, tuple[str, int, int]]]) -> None:
        talk = Conversation(seed)
        bodies, lengths = list(talk.bodies), list(talk.lengths)
        for place, change in changes:
            bodies[place], lengths[place] = damage(bodies[place], lengths[place], *change)
        found = talk.pair.decode(bodies, lengths)
        for each, payload, body, original in zip(found, talk.payloads, bodies, talk.bodies, strict=True):
            if each.outcome == Outcome.DECODED:
                self.assertEqual((each.payload, body.id), (payload, original.id))

    @settings(max_examples=60, deadline=None)
    @given(some.integers(0, 1 << 32))
    def test_nonsense(self, seed: int) -> None:
        """Arrays of nothing but chance: nothing is read or written that is not there."""
        self.assertEqual(disorder(seed), 0)

    def test_outside(self) -> None:
        """Bodies that are not inside the data."""
        one, huge = np.ones(1, np.int64), np.full(1, (1 << 63) - 1)
        for offsets, lengths in ((one * 9, one), (one, one * 8), (-one, one), (one, -one), (huge, huge), (-huge, huge)):
            decoder = Decoder(PacketStore(4))
            found = decoder.decode(
                np.zeros(8, np.uint8),
                offsets,
                lengths,
                one.astype(np.uint64),
                one.astype(np.uint8) * 0,
                one.astype(np.uint16),
                one.astype(np.uint32),
                1,
            )
            self.assertEqual(found.outcomes.tolist(), [Outcome.MALFORMED])
            self.assertEqual(len(found.data), 0)

    def test_otherArrays(self) -> None:
        """Arrays that differ in length are refused."""
        talk = Conversation(1)
        data, offsets, lengths = runs([body.data for body in talk.bodies])
        few = np.zeros(3, np.uint64)
        self.assertRaises(ValueError, talk.pair.decoder.decode, data, offsets, lengths, few, few, few, few, 1)

    def test_everyByte(self) -> None:
        """Each byte of a body changed by itself is noticed."""
        talk = Conversation(3)
        place = max(range(12), key=lambda place: talk.bodies[place].matches)
        body, length = talk.bodies[place], talk.lengths[place]
        changed = []
        for where in range(len(body.data)):
            data = bytearray(body.data)
            data[where] ^= 0x55
            changed.append(replace(body, data=bytes(data)))
        found = talk.pair.decode(changed, [length] * len(changed))
        wrong = {each.payload for each in found if each.outcome == Outcome.DECODED} - {talk.payloads[place]}
        self.assertEqual(wrong, set())
        self.assertLess(sum(each.outcome == Outcome.DECODED for each in found), 3)

    def test_otherEpoch(self) -> None:
        """Put together right, but of another generation."""
        talk = Conversation(4)
        found = talk.pair.decode(talk.bodies, talk.lengths, epoch=2)
        self.assertEqual({each.outcome for each in found} - {Outcome.BAD_CHECKSUM, Outcome.MISSING}, set())
        self.assertEqual(found[0].outcome, Outcome.BAD_CHECKSUM)


class PathTests(SynchronousTestCase):
    """A path that loses, repeats and reorders packets."""

    def test_disordered(self) -> None:
        """What is decoded is right; what is not says which packet is missing, and it is."""
        for seed in range(8):
            dice, outcomes = random.Random(seed), set()
            pair, speaker = Pair(Settings(slots=64, sampling=8)), Speaker(dice)
            for _ in range(15):
                payloads = [speaker.speak() for _ in range(10)]
                sent = list(zip(pair.encode(payloads), payloads, strict=True))
                arrived = [pair_ for pair_ in sent if dice.random() > 0.1]
                arrived += dice.sample(arrived, 2)
                dice.shuffle(arrived)
                found = pair.decode([body for body, _ in arrived], [len(payload) for _, payload in arrived])
                for each, (_, payload) in zip(found, arrived, strict=True):
                    outcomes.add(each.outcome)
                    self.assertIn(each.outcome, (Outcome.DECODED, Outcome.MISSING))
                    if each.outcome == Outcome.DECODED:
                        self.assertEqual(each.payload, payload)
            self.assertEqual(outcomes, {Outcome.DECODED, Outcome.MISSING})

    def test_gate(self) -> None:
        """With the gate, what the decoder holds is all that is ever referred to: losses cost nothing else."""
        dice = random.Random(1)
        pair, speaker, matches = Pair(Settings(slots=256, sampling=8, gated=True)), Speaker(dice), 0
        for _ in range(25):
            payloads = [speaker.speak() for _ in range(8)]
            sent = list(zip(pair.encode(payloads), payloads, strict=True))
            arrived = [pair_ for pair_ in sent if dice.random() > 0.2]
            dice.shuffle(arrived)
            found = pair.decode([body for body, _ in arrived], [len(payload) for _, payload in arrived])
            self.assertEqual([each.payload for each in found], [payload for _, payload in arrived])
            matches += sum(body.matches for body, _ in arrived)
            pair.mark([body.id for body, _ in arrived if dice.random() < 0.7], State.USABLE)
            there = {body.id for body, _ in arrived}
            pair.mark([body.id for body, _ in sent if body.id not in there], State.LOST)
        self.assertGreater(matches, 100)

    def test_answered(self) -> None:
        """A missing packet that is stored later makes the body decodable."""
        text = random.Random(2).randbytes(900)
        encoder, decoder = Encoder(PacketStore(8), gated=False), Decoder(PacketStore(8))
        bodies = bodiesOf(encoder.encode(*runs([text, text]), 1))
        (missed,) = decodeAll(decoder, bodies[1:], [900], 1)
        self.assertEqual((missed.outcome, missed.missing), (Outcome.MISSING, 1))
        decoder.store.insert(1, text)
        self.assertEqual(decodeAll(decoder, bodies[1:], [900], 1)[0].payload, text)

    def test_clone(self) -> None:
        """A decoder with a copy of the store decodes what comes next; an encoder with one goes on."""
        dice = random.Random(3)
        text = dice.randbytes(1400)
        encoder, decoder = Encoder(PacketStore(8), gated=False), Decoder(PacketStore(8))
        decodeAll(decoder, bodiesOf(encoder.encode(*runs([text]), 1)), [1400], 1)
        forked, clone = Encoder(encoder.store.copy(), gated=False), Decoder(decoder.store.copy())
        forked.rebuild()
        for one, other in ((encoder, clone), (forked, decoder)):
            (body,) = bodiesOf(one.encode(*runs([text]), 1))
            self.assertEqual(body.matches, 1)
            self.assertEqual(decodeAll(other, [body], [1400], 1)[0].payload, text)
