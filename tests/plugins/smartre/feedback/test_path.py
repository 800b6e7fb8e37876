"""Encoder and decoder over a network that loses, doubles and disorders packets and messages."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.smartre.feedback.holding import LONGEST_HELD
from openmb.plugins.smartre.statistics import undecodable
from openmb.plugins.smartre.store import State
from openmb.testing.smartre.network import Fault
from tests.plugins.smartre.feedback.path import TALKING, Path, packetsOf
from tests.plugins.smartre.frames import generate

_CHANCE = st.floats(0.0, 0.3)
_FAULTS = st.builds(Fault, _CHANCE, _CHANCE, _CHANCE, st.integers(0, 40))


class PathTests(SynchronousTestCase):
    """Both ends."""

    def test_gateFollowsAcknowledgements(self) -> None:
        path = Path()
        path.back = Fault(loss=1.0)
        packets = packetsOf(generate(1, 600))
        path.send(packets)
        self.assertEqual(int(path.encoder.statistics[0]["encoded"]), 0)
        path.back = Fault()
        path.send(packets)
        self.assertGreater(int(path.encoder.statistics[0]["encoded"]), 300)
        self.assertEqual(path.came, Counter(packets + packets))
        self.assertEqual(undecodable(path.decoder.statistics[0]), 0)

    def test_whatWasLostIsNotReferredTo(self) -> None:
        path = Path()
        path.onward = Fault(loss=0.2)
        path.send(packetsOf(generate(2, 600)))
        store = path.encoder.caches[0].encoder.store
        held = path.decoder.caches[0].decoder.store
        usable = [int(id) for id in store.held() if store.states[int(id) % store.slots] == State.USABLE]
        self.assertGreater(len(usable), 200)
        self.assertTrue(all(held.holds(id) for id in usable))
        self.assertEqual(undecodable(path.decoder.statistics[0]), 0)

    def test_decoderStartsAnew(self) -> None:
        """What it cannot decode it gets as it was: nothing is lost, and soon it decodes again."""
        path = Path()
        packets = packetsOf(generate(3, 600)) * 2
        path.send(packets[:600])
        path.decoder = path.makeDecoder()
        path.send(packets[600:])
        row = path.decoder.statistics[0]
        self.assertGreater(int(row["recovered"]), 0)
        self.assertEqual(undecodable(row), 0)
        self.assertEqual(path.came, Counter(packets))
        self.assertEqual(*path.accounts())
        self.assertGreater(int(row["encoded"]) - int(row["recovered"]), 100)

    def test_encoderStartsAnew(self) -> None:
        """Of whatever epoch it begins with: the decoder's store becomes the new encoder's."""
        packets = packetsOf(generate(4, 1600))
        for before, after in ((5, 6), (6, 5), (6, 6), (1, 0x9000), (0x9000, 1), (1, 0x7FFF)):
            path = Path(replace(TALKING, epoch=before))
            path.send(packets[:500])
            other = Path(replace(TALKING, epoch=after))
            path.encoder = other.encoder
            path.send(packets[500:])
            self.assertEqual(path.came, Counter(packets), (before, after))
            self.assertGreater(int(path.encoder.statistics[0]["encoded"]), 100, (before, after))
            self.assertEqual(path.encoder.caches[0].epoch, path.decoder.caches[0].epoch, (before, after))

    def test_tooMuchRefused(self) -> None:
        """A store that went wrong: an epoch ends, what comes after it is decoded."""
        path = Path(replace(TALKING, gated=False))
        packets = packetsOf(generate(5, 500)) * 2
        path.send(packets[:500])
        path.decoder.caches[0].decoder.store.payloads[:] ^= 0xFF
        path.send(packets[500:])
        self.assertGreaterEqual(int(path.encoder.statistics[0]["epochs"]), 1)
        self.assertEqual(path.came, Counter(packets))
        self.assertEqual(*path.accounts())

    def test_refusalsAreRepeated(self) -> None:
        """An answer that got lost is asked for again, long before TCP would send anew."""
        path = Path()
        packets = packetsOf(generate(6, 200)) * 2
        path.send(packets[:200])
        path.decoder = path.makeDecoder()
        path.back = Fault(loss=1.0)
        path.send(packets[200:])
        asking = path.decoder.asking
        assert asking is not None
        self.assertGreater(len(asking.holding), 0)
        path.back = Fault()
        path.wait(150_000_000)
        self.assertEqual(len(asking.holding), 0)
        self.assertEqual(path.came, Counter(packets))

    def test_nobodyAnswers(self) -> None:
        """What cannot be decoded is dropped in the end, counted, with its reason."""
        path = Path()
        packets = packetsOf(generate(7, 800)) * 2
        path.send(packets[:800])
        path.decoder = path.makeDecoder()
        path.back = Fault(loss=1.0)
        path.send(packets[800:], step=10_000)
        row, asking = path.decoder.statistics[0], path.decoder.asking
        assert asking is not None
        self.assertGreater(len(asking.holding), 100)
        path.decoder.advance(LONGEST_HELD * 3)
        self.assertGreater(undecodable(row), 100)
        self.assertEqual(len(asking.holding), 0)
        self.assertEqual(undecodable(row), len(packets) - path.came.total())
        self.assertGreater(int(row["undecodable_bytes"]), 0)
        self.assertEqual(*path.accounts())

    def test_manyIds(self) -> None:
        """When ids need more than 32 bits a new epoch begins below."""
        path = Path()
        cache = path.encoder.caches[0]
        cache.encoder.store.next = (1 << 32) + 5
        cache.raiseEpoch()
        self.assertEqual(cache.encoder.store.next, 5)
        packets = packetsOf(generate(8, 400))
        path.send(packets + packets)
        self.assertEqual(path.came, Counter(packets + packets))

    @settings(max_examples=12, deadline=None)
    @given(_FAULTS, _FAULTS, st.integers(0, 1 << 30), st.booleans(), st.integers(8, 64))
    def test_anyNetwork(self, onward: Fault, back: Fault, seed: int, gated: bool, size: int) -> None:
        """Nothing comes out that did not go in; whatever cannot be decoded is accounted for."""
        path = Path(replace(TALKING, gated=gated, slots=256), seed)
        path.onward, path.back = onward, back
        packets = packetsOf(generate(seed, 300))
        path.send(packets, size)
        path.send(packets, size)
        self.assertEqual(path.came.keys() - set(packets), set())
        self.assertEqual(*path.accounts())

    @settings(max_examples=12, deadline=None)
    @given(_FAULTS, st.integers(0, 1 << 30), st.booleans(), st.integers(8, 64))
    def test_answersArrive(self, onward: Fault, seed: int, gated: bool, size: int) -> None:
        """While messages do pass, everything that the network brings comes out."""
        path = Path(replace(TALKING, gated=gated), seed)
        path.onward = onward
        packets = packetsOf(generate(seed, 300))
        path.send(packets, size)
        path.send(packets, size)
        path.onward = Fault()
        for _ in range(5):
            path.wait(100_000_000)
        self.assertEqual(path.came.keys() - set(packets), set())
        self.assertEqual(undecodable(path.decoder.statistics[0]), 0)
        self.assertEqual(*path.accounts())
        self.assertTrue(np.all(path.encoder.statistics["unanswered"] == 0))
