"""What waits for one port."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.netctl.embedded.queue import PortQueue


class QueueTests(SynchronousTestCase):
    """A queue of 100 bytes and 10 s of grace."""

    def setUp(self) -> None:
        self.queue = PortQueue(100, 10.0)

    def test_order(self) -> None:
        """First in, first out, in whole chunks."""
        for text in (b"abc", b"def", b"ghi"):
            self.queue.push(text, 1, 0.0)
        self.assertEqual(b"abcdef", self.queue.take(6))
        self.assertEqual(b"ghi", self.queue.take(1))
        self.assertEqual(b"", self.queue.take(10))
        self.assertEqual((0, 0, 3), (self.queue.packets, self.queue.size, self.queue.taken))

    def test_full(self) -> None:
        """Full at the bound, until half is free; nothing is cut off."""
        self.queue.attach()
        for _ in range(3):
            self.queue.push(bytes(40), 1, 0.0)
        self.assertTrue(self.queue.isFull)
        self.queue.take(40)
        self.assertTrue(self.queue.isFull)
        self.queue.take(40)
        self.assertFalse(self.queue.isFull)

    def test_overfull(self) -> None:
        """Eight times the bound."""
        self.queue.push(bytes(799), 1, 0.0)
        self.assertFalse(self.queue.isOverfull)
        self.queue.push(bytes(1), 1, 0.0)
        self.assertTrue(self.queue.isOverfull)

    def test_grace(self) -> None:
        """Nobody comes: after the grace time what waits is dropped, and what follows too."""
        self.queue.push(b"abc", 2, 5.0)
        self.queue.timePassed(14.9)
        self.assertEqual((2, 0), (self.queue.packets, self.queue.dropped))
        self.queue.timePassed(15.0)
        self.assertEqual((0, 2), (self.queue.packets, self.queue.dropped))
        self.queue.push(b"def", 1, 15.1)
        self.assertEqual((0, 3), (self.queue.size, self.queue.dropped))

    def test_graceWithoutSweep(self) -> None:
        """A packet that comes after the grace time finds the queue given up."""
        self.queue.push(b"abc", 1, 0.0)
        self.queue.push(b"def", 1, 10.0)
        self.assertEqual(2, self.queue.dropped)

    def test_comesInTime(self) -> None:
        """Who comes within the grace time gets everything."""
        self.queue.push(b"abc", 1, 0.0)
        self.queue.attach()
        self.queue.push(b"def", 1, 100.0)
        self.assertEqual(b"abcdef", self.queue.take(10))

    def test_leavesAndReturns(self) -> None:
        """The grace time counts from the leaving; returning after it starts anew."""
        self.queue.attach()
        self.queue.detach(20.0)
        self.queue.push(b"abc", 1, 29.0)
        self.queue.timePassed(30.0)
        self.assertEqual(1, self.queue.dropped)
        self.queue.attach()
        self.queue.push(b"def", 1, 99.0)
        self.assertEqual(b"def", self.queue.take(10))
