"""Forks of kernels and of the oracle are the same, on both sides and on the wire."""

from __future__ import annotations

import random
from copy import deepcopy

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.smartre import format as wire
from openmb.plugins.smartre.caches import DecodingCache, EncodingCache
from openmb.plugins.smartre.decoding import Decoder, Outcome
from openmb.plugins.smartre.encoding import Encoder
from openmb.plugins.smartre.store import IDS, PacketStore, State
from openmb.testing.smartre import oracle
from tests.plugins.smartre.pairs import Pair, Settings, Speaker, compareStores


def forked(pair: Pair) -> tuple[Pair, EncodingCache]:
    """A pair that forks from C{pair}, its decoders empty; and the cache of its encoder."""
    cache = EncodingCache(pair.encoder).duplicate(0, 2)
    other = Pair(pair.settings)
    other.encoder, other.plainEncoder = cache.encoder, pair.plainEncoder.fork()
    other.compareTables()
    compareStores(other.encoder.store, other.plainEncoder.store)
    return other, cache


def takeOver(pair: Pair, origin: Pair, id: int) -> None:
    """Both decoders of C{pair} take over what those of C{origin} hold."""
    cache = DecodingCache(pair.decoder)
    cache.takeOver(origin.decoder.store, id)
    pair.plainDecoder.takeOver(origin.plainDecoder.store, id)
    compareStores(pair.decoder.store, pair.plainDecoder.store)


class CodecTests(SynchronousTestCase):
    """Side by side."""

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 1 << 30), st.booleans(), st.sampled_from((1, (1 << 32) - 40, IDS - 50, IDS - 40)), st.data())
    def test_sameAsOracle(self, seed: int, gated: bool, first: int, data: st.DataObject) -> None:
        """Two branches: packets of the new one may come before the fork, and the old one may have moved on."""
        dice = random.Random(seed)
        pair, speaker = Pair(Settings(slots=32, sampling=8, gated=gated, first=first)), Speaker(dice, 600)
        sent = pair.send([speaker.speak() for _ in range(data.draw(st.integers(0, 60)))])
        pair.mark([body.id for body in sent if dice.random() < 0.7], State.USABLE)
        before = deepcopy(pair.plainEncoder)
        branch, cache = forked(pair)
        fork = cache.fork
        assert fork is not None
        late = [speaker.speak() for _ in range(data.draw(st.integers(0, 8)))]
        # as a decoder without the fork: what refers to nothing before it is stored
        found = branch.decode(branch.encode(late, 2), [len(each) for each in late], 2)
        self.assertLessEqual({each.outcome for each in found}, {Outcome.DECODED, Outcome.MISSING})
        pair.send([speaker.speak() for _ in range(data.draw(st.integers(0, 40)))])
        newest = (pair.decoder.store.next - 1) % IDS
        takeOver(branch, pair, fork.id)
        fork.confirm(newest, branch.encoder)
        branch.plainEncoder.confirm(before, fork.id, newest)
        compareStores(branch.encoder.store, branch.plainEncoder.store)
        payloads = [speaker.speak() for _ in range(10)]
        bodies = branch.encode(payloads, 2)
        for each, payload in zip(branch.decode(bodies, [len(p) for p in payloads], 2), payloads, strict=True):
            if gated:
                self.assertEqual(Outcome.DECODED, each.outcome)
            if each.outcome == Outcome.DECODED:
                self.assertEqual(payload, each.payload)

    def test_messages(self) -> None:
        """The oracle's bytes are the format's."""
        for numbers in ((1, 2, 0, 3, 4), (255, 65535, 0, 65535, 0xFFFFFFFF), (0, 1, 15, 9, 0x01020304)):
            self.assertEqual(wire.buildMessage(wire.Fork(*numbers)), oracle.forkMessage(*numbers))
            cache, epoch, origin, id, newest = numbers
            forked = wire.Forked(cache, epoch, origin, id, newest)
            self.assertEqual(wire.buildMessage(forked), oracle.forkedMessage(cache, epoch, origin, id, newest))

    def test_whatIsInherited(self) -> None:
        """Above the newest of the decoder, or gone over by its ring: lost; else as it was."""
        store = PacketStore(8)
        for id in range(1, 9):
            store.insert(id, b"%d" % id * 50)
        store.states[:] = State.USABLE
        store.states[3] = State.LOST
        for newest, usable in (
            (8, [1, 2, 4, 5, 6, 7, 8]),
            (6, [1, 2, 4, 5, 6]),
            (10, [4, 5, 6, 7, 8]),
            (16, []),
            (0, []),
        ):
            cache = EncodingCache(Encoder(store.copy(), 16)).duplicate(3, 9)
            fork = cache.fork
            assert fork is not None
            self.assertEqual(wire.Fork(1, 9, 3, 1, 9), fork.message(1, 9))
            self.assertEqual(0, int((cache.encoder.store.states == State.USABLE).sum()))
            fork.confirm(newest, cache.encoder)
            states = cache.encoder.store.states
            self.assertEqual(usable, [id for id in range(1, 9) if states[id % 8] == State.USABLE])
            self.assertEqual(8 - len(usable), int((states == State.LOST).sum()))

    def test_doubt(self) -> None:
        """Once a second at most; what was inherited waits again, what is the cache's own does not."""
        encoder = Encoder(PacketStore(8), 16)
        payload = np.arange(100, dtype=np.uint8)
        one, length = np.zeros(1, np.int64), np.array([100], np.int64)
        for _ in range(3):
            encoder.encode(payload, one, length, 1)
        encoder.store.states[:] = State.USABLE
        cache = EncodingCache(encoder).duplicate(0, 2)
        fork, states = cache.fork, cache.encoder.store.states
        assert fork is not None
        cache.encoder.encode(payload, one, length, 2)
        states[4] = State.USABLE
        fork.noteTold(5)
        self.assertFalse(fork.isDue(6))
        fork.confirm(3, cache.encoder)
        self.assertEqual([State.USABLE] * 4, states[1:5].tolist())
        fork.doubt(10, cache.encoder)
        self.assertTrue(fork.isDue(10))
        self.assertEqual([State.SENT] * 3 + [State.USABLE], states[1:5].tolist())
        fork.confirm(2, cache.encoder)
        self.assertEqual([State.USABLE] * 2 + [State.LOST, State.USABLE], states[1:5].tolist())
        fork.doubt(20, cache.encoder)
        self.assertTrue(fork.isConfirmed)
        fork.doubt(2_000_000_000, cache.encoder)
        self.assertFalse(fork.isConfirmed)

    def test_takeOver(self) -> None:
        """What the cache holds itself stays, wherever the ring is."""
        origin, own = PacketStore(8), PacketStore(8, first=7)
        for id in range(1, 10):
            origin.insert(id, b"old %d" % id)
        own.insert(7, b"new 7")
        own.insert(12, b"new 12")
        cache = DecodingCache(Decoder(own))
        cache.takeOver(origin, 7)
        store = cache.decoder.store
        held = {int(id): store.payload(int(id)) for id in store.held()}
        # 1 was gone over by 9, and 4 by the cache's own 12
        expected = {2: b"old 2", 3: b"old 3", 5: b"old 5", 6: b"old 6", 7: b"new 7", 12: b"new 12"}
        self.assertEqual((expected, 13), (held, store.next))
        self.assertEqual(b"old 9", origin.payload(9))
