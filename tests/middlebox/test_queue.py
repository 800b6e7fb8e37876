"""Packets wait in order, are taken by stamp, and are merged without reordering either sequence."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.middlebox.queue import PacketQueue
from openmb.packets.batch import PacketBatch, packetBatch

Stamps = st.lists(st.integers(0, 50), max_size=30)


def batch(name: str, stamps: list[int]) -> PacketBatch:
    """Packets that say which sequence they are of and their place in it."""
    return packetBatch([f"{name}{place}".encode() for place in range(len(stamps))], stamps)


def names(packets: PacketBatch | None) -> list[str]:
    """What the packets say."""
    return [] if packets is None else [packets.packet(i).decode() for i in range(len(packets))]


class PacketQueueTests(SynchronousTestCase):
    """See the module."""

    def test_takeUpTo(self) -> None:
        queue = PacketQueue()
        queue.append(batch("a", [1, 3, 5]), 0.0)
        self.assertEqual(names(queue.takeUpTo(3)), ["a0", "a1"])
        self.assertEqual(names(queue.takeUpTo(4)), [])
        self.assertEqual((len(queue), queue.bytes), (1, 2))
        self.assertEqual(names(queue.takeUpTo(None)), ["a2"])
        self.assertEqual((len(queue), queue.bytes), (0, 0))

    def test_reached(self) -> None:
        """Packets and markers show how far a sequence has come; it never goes back."""
        queue = PacketQueue()
        queue.append(batch("a", [7, 4]), 0.0)
        self.assertEqual(queue.reached, 7)
        queue.passed(5)
        self.assertEqual(queue.reached, 7)
        queue.passed(9)
        self.assertEqual(queue.reached, 9)

    def test_longest(self) -> None:
        queue = PacketQueue()
        queue.append(batch("a", [1]), 10.0)
        queue.append(batch("b", [2]), 11.0)
        self.assertEqual(queue.longest(12.5), 2.5)
        queue.takeUpTo(1)
        self.assertEqual(queue.longest(12.5), 1.5)
        queue.clear()
        self.assertEqual(queue.longest(12.5), 0.0)

    @given(Stamps, Stamps)
    def test_merge(self, first: list[int], second: list[int]) -> None:
        """The merge holds both sequences, each in its own order, sorted by running maximum."""
        merged = PacketQueue.merge(batch("a", first) if first else None, batch("b", second) if second else None)
        got = names(merged)
        self.assertEqual([n for n in got if n[0] == "a"], [f"a{i}" for i in range(len(first))])
        self.assertEqual([n for n in got if n[0] == "b"], [f"b{i}" for i in range(len(second))])
        keys = {f"a{i}": int(k) for i, k in enumerate(np.maximum.accumulate(first))} if first else {}
        keys |= {f"b{i}": int(k) for i, k in enumerate(np.maximum.accumulate(second))} if second else {}
        order = [keys[n] for n in got]
        self.assertEqual(order, sorted(order))

    @given(Stamps, st.lists(st.integers(0, 50), max_size=5), st.integers(1, 7))
    def test_pieces(self, stamps: list[int], limits: list[int], size: int) -> None:
        """However a sequence arrives and whenever it is taken, it comes out in order and whole."""
        queue = PacketQueue()
        whole = batch("a", stamps)
        for start in range(0, len(stamps), size):
            queue.append(whole.select(slice(start, start + size)), 0.0)
        taken = [name for limit in sorted(limits) for name in names(queue.takeUpTo(limit))]
        self.assertEqual(taken + names(queue.drain()), [f"a{i}" for i in range(len(stamps))])

    def test_work(self) -> None:
        """To ask how many wait touches no packet that waits, however many there are."""
        asked: list[int] = []

        class Counted(PacketBatch):
            """Notes that somebody has counted its packets."""

            __slots__ = ()

            def __len__(self) -> int:
                asked.append(1)
                return super().__len__()

        queue, one = PacketQueue(), batch("a", [1])
        for _ in range(1000):
            queue.append(Counted(one.data, one.offsets, one.lengths, one.wire, one.stamps, one.link), 0.0)
        asked.clear()
        self.assertEqual(1000, len(queue))
        self.assertEqual([], asked)
        queue.clear()
        self.assertEqual(0, len(queue))
