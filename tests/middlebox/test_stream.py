"""The ordered, sealed stream: numbers, window, backlog, and what is not genuine."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal, SealBroken
from openmb.middlebox.stream import StreamReceiver, StreamSender, contextOf, splitPackets
from openmb.packets.batch import packetBatch
from openmb.state.keyring import Keyring
from openmb.wire.messages import Side, StreamFrame, StreamType
from tests.middlebox.rig import KEYRING, OP, Pair

CONTEXT = contextOf("counter", Pair().get, Side.SOURCE, bytes(16))


class StreamTests(SynchronousTestCase):
    """A sender whose frames are kept, and a receiver."""

    def setUp(self) -> None:
        self.frames: list[StreamFrame] = []
        self.receiver = StreamReceiver(KEYRING, CONTEXT)

    def sender(self, window: int = 1 << 20) -> StreamSender:
        return StreamSender(OP, Side.SOURCE, KEYRING, CONTEXT, window, self.frames.append)

    def send(self, *plain: bytes) -> None:
        sender = self.sender()
        for each in plain:
            sender.append(StreamType.RECORDS, b"clear", each)

    def test_inOrder(self) -> None:
        """Frames are numbered from OPENED on and give what was put in."""
        self.send(b"one", b"two")
        self.assertEqual([0, 1, 2], [frame.number for frame in self.frames])
        self.assertEqual([b"", b"one", b"two"], [self.receiver.receive(frame) for frame in self.frames])
        self.assertEqual(2, self.receiver.received)

    def test_sealed(self) -> None:
        """Nobody on the way can read the plain part."""
        self.send(b"a secret that nobody may read")
        self.assertNotIn(b"secret", self.frames[1].sealed)

    def test_duplicatesAndGaps(self) -> None:
        """A frame that came already, or beyond a gap, is not taken; it may come again later."""
        self.send(b"one", b"two")
        opened, one, two = self.frames
        taken = [self.receiver.receive(frame) for frame in (opened, two, one, one, opened, two)]
        self.assertEqual([b"", None, b"one", None, None, b"two"], taken)

    def test_notGenuine(self) -> None:
        """Whatever is altered, re-labelled or replayed under another number does not open; the genuine one does."""
        self.send(b"one", b"two")
        opened, one, two = self.frames
        self.receiver.receive(opened)
        flipped = bytes((one.sealed[0] ^ 1,)) + one.sealed[1:]
        for bad in (
            replace(one, sealed=flipped),
            replace(one, sealed=one.sealed[:-1]),
            replace(one, sealed=b""),
            replace(one, clear=b"other"),
            replace(one, type=StreamType.REPROCESS),
            replace(one, side=Side.DESTINATION),
            replace(one, operation=OP + 1),
            replace(two, number=1),
        ):
            self.assertRaises(SealBroken, self.receiver.receive, bad)
        self.assertEqual(b"one", self.receiver.receive(one))

    def test_forSomebodyElse(self) -> None:
        """A stream made for another operation, direction, transfer or keyring does not open."""
        self.send(b"one")
        other = contextOf("counter", replace(Pair().get, operation=OP + 1), Side.SOURCE, bytes(16))
        back = contextOf("counter", Pair().get, Side.DESTINATION, bytes(16))
        again = contextOf("counter", Pair().get, Side.SOURCE, bytes(15) + b"1")
        for receiver in (
            StreamReceiver(KEYRING, other),
            StreamReceiver(KEYRING, back),
            StreamReceiver(KEYRING, again),
            StreamReceiver(Keyring("counter", {1: bytes(32)}, 1), CONTEXT),
            StreamReceiver(Keyring("counter", {2: bytes(32)}, 2), CONTEXT),
        ):
            self.assertRaises(SealBroken, lambda each=receiver: [each.receive(frame) for frame in self.frames])

    def test_beginsWithOpened(self) -> None:
        """Anything else first is refused."""
        self.send(b"one")
        with self.assertRaises(OperationError) as caught:
            self.receiver.receive(replace(self.frames[1], number=0))
        self.assertEqual(Refusal.BAD_REQUEST, caught.exception.refusal)

    def test_window(self) -> None:
        """Frames beyond the window wait in order, and go as credit comes back."""
        sender = self.sender(window=500)
        for number in range(10):
            sender.append(StreamType.RECORDS, b"", bytes((number,)) * 100)
        self.assertLessEqual(sum(frame.size for frame in self.frames), 500)
        self.assertFalse(sender.roomy)
        self.assertEqual(tuple(self.frames), sender.unacknowledged())
        while sender.backlog:
            before = len(self.frames)
            sender.credited(self.frames[-1].number)
            self.assertGreater(len(self.frames), before)
            self.assertLessEqual(sum(frame.size for frame in sender.unacknowledged()), 500)
        self.assertEqual(list(range(11)), [frame.number for frame in self.frames])
        self.assertEqual(11, len([self.receiver.receive(frame) for frame in self.frames]))

    def test_backlogCounts(self) -> None:
        """The backlog is the size of what waits."""
        sender = self.sender(window=1)
        sender.credited(0)
        sender.append(StreamType.RECORDS, b"", bytes(50))
        self.assertEqual(0, sender.backlog)
        sender.append(StreamType.RECORDS, b"", bytes(50))
        self.assertEqual(64 + 16 + 50, sender.backlog)

    def test_largerThanWindow(self) -> None:
        """A frame larger than the window goes alone: nothing stands still for ever."""
        sender = self.sender(window=10)
        sender.append(StreamType.RECORDS, b"", bytes(1000))
        self.assertEqual(1, len(self.frames))
        sender.credited(0)
        self.assertEqual(2, len(self.frames))

    def test_creditTwice(self) -> None:
        """Old credit changes nothing."""
        sender = self.sender()
        sender.append(StreamType.RECORDS, b"", b"x")
        sender.credited(1)
        sender.credited(0)
        self.assertEqual((), sender.unacknowledged())

    def test_resume(self) -> None:
        """Whatever is not acknowledged and comes after the number goes again, in order; nothing twice in the count."""
        sender = self.sender(window=600)
        for number in range(10):
            sender.append(StreamType.RECORDS, b"", bytes((number,)) * 100)
        first = [frame.number for frame in self.frames]
        sender.credited(0)
        self.frames.clear()
        for after, again in ((-1, first[1:]), (1, first[2:]), (first[-1], [])):
            sender.resume(after)
            self.assertEqual([n for n in again if n > after], [f.number for f in self.frames if f.number <= first[-1]])
            self.frames.clear()
        for credit in range(11):
            sender.credited(credit)
        self.assertEqual((True, 0), (sender.isIdle, sender.backlog))

    def test_packetsUnacknowledged(self) -> None:
        """Packets on the way and packets that wait are counted, other frames are not."""
        sender = self.sender(window=1)
        sender.append(StreamType.RECORDS, b"", b"x")
        sender.events(StreamType.REDIRECT, packetBatch([bytes(40)] * 3, range(3)))
        sender.events(StreamType.REDIRECT, packetBatch([bytes(40)] * 2, range(2)))
        self.assertEqual((5, False), (sender.packetsUnacknowledged(), sender.isIdle))
        for number, left in ((0, 5), (1, 5), (2, 2), (3, 0)):
            sender.credited(number)
            self.assertEqual(left, sender.packetsUnacknowledged())
        self.assertTrue(sender.isIdle)

    def test_splitPackets(self) -> None:
        """Parts hold what fits, at least one packet, all of them, in order."""
        packets = packetBatch([bytes((n,)) * 40 for n in range(9)] + [bytes(500)], range(10))
        parts = list(splitPackets(packets, 120))
        self.assertEqual([2, 2, 2, 2, 1, 1], [len(part) for part in parts])
        self.assertEqual(list(range(10)), [int(stamp) for part in parts for stamp in part.stamps])
        self.assertEqual([], list(splitPackets(packetBatch([], []), 120)))
