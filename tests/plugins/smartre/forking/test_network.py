"""Forks, clones, merges and routes in any order, over a network that loses, doubles and disorders."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.smartre.feedback.holding import LONGEST_HELD
from openmb.plugins.smartre.format import Fork
from openmb.plugins.smartre.store import State
from openmb.testing.smartre.fabric import PREFIXES, SUPPORTING, TALKING, Fabric
from openmb.testing.smartre.network import Fault, messageOf
from tests.plugins.smartre.forking.traffic import traffic

_PACKETS = traffic(11, 1500)
_CHANCE = st.floats(0.0, 0.3)
_FAULTS = st.builds(Fault, _CHANCE, _CHANCE, _CHANCE, st.integers(0, 40))
_STEPS = ("one", "two", "three", "divide", "unite", "clone", "finish", "merge", "there", "back", "gate", "open", "wait")


def step(fabric: Fabric, name: str, isDrained: bool) -> None:
    """What an application may do; what makes no sense now is left."""
    caches = len(fabric.encoder.caches)
    if name in ("one", "two", "three"):
        number = ("one", "two", "three").index(name) + 1
        if number < len(fabric.encoder.settings.cacheFlows):
            fabric.configure(CacheFlows=())
        fabric.configure(NumCaches=[number])
    elif name == "divide" and caches > 1:
        fabric.configure(CacheFlows=PREFIXES)
    elif name == "unite":
        fabric.configure(CacheFlows=())
    elif name == "clone" and not fabric.isFollowed:
        fabric.beginClone()
    elif name == "finish" and fabric.isFollowed:
        fabric.finishClone()
    elif name == "merge" and not fabric.isFollowed:
        fabric.mergeBack(SUPPORTING)
    elif name in ("there", "back"):
        if isDrained:
            # answers take the flow's path: what waits for one at the old decoder would not get it
            onward, fabric.onward = fabric.onward, Fault()
            for _ in range(4):
                fabric.wait(100_000_000)
            fabric.onward = onward
        fabric.route(2, int(name == "there"))
    elif name in ("gate", "open"):
        fabric.configure(Gate=["true" if name == "gate" else "false"])
    elif name == "wait":
        fabric.wait(30_000_000)


class ForkLosing(Fault):
    """A network that loses forks, and notes when they were sent."""

    def __init__(self, fabric: Fabric, told: list[int]) -> None:
        super().__init__()
        self.fabric, self.told = fabric, told

    def carry(self, packets: list[bytes], chance: random.Random) -> list[bytes]:
        """What arrives."""
        forks = [packet for packet in packets if isinstance(messageOf(packet), Fork)]
        self.told += [self.fabric._now] * len(forks)
        return [packet for packet in packets if packet not in forks]


class NetworkTests(SynchronousTestCase):
    """Whatever happens."""

    def play(self, fabric: Fabric, names: list[str], size: int, isDrained: bool = False) -> list[bytes]:
        """Steps, with packets between them; the packets."""
        fabric.send(_PACKETS[:200], size)
        for place, name in enumerate(names):
            step(fabric, name, isDrained)
            fabric.send(_PACKETS[200 + 60 * place :][:60], size)
        return _PACKETS[: 200 + 60 * len(names)]

    def checkOutput(self, fabric: Fabric, packets: list[bytes]) -> None:
        """Nothing came out that did not go in, but messages that nobody took; every encoded packet is accounted for."""
        strange = fabric.came.keys() - set(packets)
        self.assertEqual([], [packet for packet in strange if messageOf(packet) is None])
        self.assertEqual(*fabric.accounts())

    @settings(max_examples=15, deadline=None)
    @given(
        _FAULTS, _FAULTS, st.integers(0, 1 << 30), st.lists(st.sampled_from(_STEPS), max_size=14), st.integers(8, 64)
    )
    def test_anyNetwork(self, onward: Fault, back: Fault, seed: int, names: list[str], size: int) -> None:
        """Never a wrong packet; every encoded one is decoded, completed, dropped and counted, or held."""
        fabric = Fabric(replace(TALKING, slots=256), seed)
        fabric.onward, fabric.back = onward, back
        self.checkOutput(fabric, self.play(fabric, names, size))

    @settings(max_examples=15, deadline=None)
    @given(_FAULTS, st.integers(0, 1 << 30), st.lists(st.sampled_from(_STEPS), max_size=14), st.integers(8, 64))
    def test_answersArrive(self, onward: Fault, seed: int, names: list[str], size: int) -> None:
        """While messages do pass on the way back, what arrives comes out, in the end."""
        fabric = Fabric(TALKING, seed)
        fabric.onward = onward
        packets = self.play(fabric, names, size, isDrained=True)
        fabric.onward = Fault()
        for _ in range(6):
            fabric.wait(100_000_000)
        self.checkOutput(fabric, packets)
        self.assertEqual(0, fabric.count("undecodable_bytes"))
        for each in fabric.decoders:
            assert each.asking is not None
            self.assertEqual(0, len(each.asking.holding))

    def test_lostForks(self) -> None:
        """A fork is told again until it is confirmed, ever more rarely, and then no more."""
        fabric = Fabric()
        fabric.send(_PACKETS[:600])
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        told: list[int] = []
        fabric.onward = ForkLosing(fabric, told)
        fabric.send(_PACKETS[600:1000], size=4)
        gaps = [after - before for before, after in pairwise(told)]
        self.assertGreater(len(gaps), 2)
        self.assertTrue(all(2 * gap < 3 * after for gap, after in pairwise(gaps)), gaps)
        fork = fabric.encoder.caches[1].fork
        assert fork is not None
        self.assertFalse(fork.isConfirmed)
        fabric.onward = Fault()
        fabric.send(_PACKETS[1000:1200], step=1_000_000)
        self.assertTrue(fork.isConfirmed)
        told.clear()
        fabric.onward = ForkLosing(fabric, told)
        fabric._now += 5_000_000_000
        fabric.send(_PACKETS[1200:])
        self.assertEqual([], told)
        self.assertEqual((1, Counter(_PACKETS)), (fabric.count("forks"), fabric.came))
        self.assertEqual(0, fabric.count("refused"))

    def test_retold(self) -> None:
        """What a decoder does not hold of a fork is not referred to, however far back and whatever it had said."""
        fabric = Fabric()
        fabric.send(_PACKETS[:1000])
        fabric.decoders[0].caches[0].decoder.store.ids[::3] = 0
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        fabric.send(_PACKETS[1000:1100])
        store, held = fabric.encoder.caches[1].encoder.store, fabric.decoders[0].caches[1].decoder.store
        usable = [int(id) for id in store.held() if store.states[int(id) % store.slots] == State.USABLE]
        self.assertGreater(len(usable), 600)
        self.assertEqual([], [id for id in usable if not held.holds(id)])

    def test_taken(self) -> None:
        """What waits for an answer while a merge takes the caches away is completed all the same."""
        fabric = Fabric()
        fabric.send(_PACKETS[:800])
        fabric.behind[2] = 1
        fabric.back.loss = 1.0
        fabric.send(_PACKETS[800:840])
        asking = fabric.decoders[1].asking
        assert asking is not None
        self.assertGreater(len(asking.holding), 5)
        fabric.mergeBack(SUPPORTING)
        self.assertEqual({}, fabric.decoders[1].caches)
        fabric.back.loss = 0.0
        fabric.wait(200_000_000)
        self.assertEqual((Counter(_PACKETS[:840]), 0), (fabric.came, len(asking.holding)))

    def test_otherEpoch(self) -> None:
        """A decoder whose origin is of another epoch copies nothing, and says so."""
        fabric = Fabric()
        fabric.send(_PACKETS[:600])
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        fabric.encoder.caches[0].raiseEpoch()
        only = [packet for packet in _PACKETS[600:] if packet[32] == 1]
        others = [packet for packet in _PACKETS[600:] if packet[32] == 2]
        fabric.send(only[:100])
        fabric.send(others)
        fork = fabric.encoder.caches[1].fork
        assert fork is not None
        self.assertTrue(fork.isConfirmed)
        self.assertEqual((0, 0), (fabric.count("forks"), fabric.count("refused")))
        self.assertEqual(Counter(_PACKETS[:600] + only[:100] + others), fabric.came)

    def test_givenUp(self) -> None:
        """Nobody answers: what a new decoder cannot decode is dropped in the end, counted as undecodable."""
        fabric = Fabric()
        fabric.send(_PACKETS[:800])
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        fabric.send(_PACKETS[800:1000])
        fabric.behind[2] = 1
        fabric.back.loss = 1.0
        fabric.send(_PACKETS[1000:1200])
        fabric.decoders[1].advance(LONGEST_HELD * 4)
        self.assertGreater(fabric.count("missing", 1), 20)
        self.assertEqual(1200, fabric.came.total() + fabric.count("missing", 1))
        self.checkOutput(fabric, _PACKETS)
