"""Leases, last looks, full queues: step by step what test_lossy does at random."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.middlebox.agent import Agent
from openmb.middlebox.look import LONGEST_LOOK, LOOK_BYTES, LastLook
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.marker import buildMarker
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, End, Pair, again, alone, operation, records, single
from tests.middlebox.test_agent import Port

LATER = START + 100_000_000


class LeaseTests(SynchronousTestCase):
    """No controller comes back."""

    def test_destination(self) -> None:
        """Without a witness provisional records go, with one they are its own; COMMIT is answered truly, later too."""
        for state in ("installed", "confirmed", "witness", "committing", "merged"):
            pair = Pair()
            getattr(pair, state if hasattr(pair, state) else "confirmed")()
            if state == "witness":
                pair.b.mark(LATER)
            elif state == "committing":
                pair.b.tell(m.Commit(OP))
            pair.b.host.connectionLost()
            alone(pair.b, 59.0)
            self.assertEqual(1, pair.b.host.operations)
            alone(pair.b, 2.0)
            owns = state in ("witness", "merged")
            self.assertEqual((owns, 6 * owns), (bool(pair.b.host.operations), records(pair.b)), state)
            alone(pair.b, 60.0)
            alone(pair.b, 1.0)
            self.assertEqual(0, pair.b.host.operations)
            answers = again(pair.b, m.Commit(OP))
            names = ["Committed", "Merged"] if owns else ["Refused"]
            self.assertEqual(names, [type(answer).__name__ for answer in answers], state)

    def test_lateFramesAfterwards(self) -> None:
        """A destination that has taken over by itself still takes what the source has, if a controller comes."""
        pair = Pair().confirmed()
        later = manyFlows(start=LATER)
        pair.a.feed(later)
        lost = pair.a.take(m.StreamFrame)
        self.assertTrue(lost)
        pair.b.mark(LATER + 10**9)
        pair.b.host.connectionLost()
        alone(pair.b, 61.0)
        self.assertEqual("merged", operation(pair.b).state.value)
        pair.b.host.connectionMade()
        pair.a.tell(m.Resume(OP, m.Side.SOURCE, pair.b.host.hello().operations[0].received))
        pair.a.mark(LATER + 10**9, True)
        pair.relay()
        pair.a.tell(m.Delete(OP, 0))
        pair.tick()
        pair.tick()
        self.assertEqual(single(manyFlows(), later), pair.finish())

    def test_source(self) -> None:
        """Its own lease is the longer one; a marker decides here too."""
        for marked in (False, True):
            pair = Pair().confirmed()
            if marked:
                pair.a.mark(LATER)
            pair.a.host.connectionLost()
            alone(pair.a, 89.0)
            self.assertEqual(1, pair.a.host.operations)
            alone(pair.a, 2.0)
            self.assertEqual((0, 0 if marked else 6), (pair.a.host.operations, records(pair.a)))
            answers = again(pair.a, m.Delete(OP, 100))
            expected = [m.Deleted(OP, 6, 0), m.WindowClosed(OP, 0, 0)]
            self.assertEqual(expected if marked else ["refused"], answers if marked else ["refused"])
            if not marked:
                self.assertEqual([Refusal.WRONG_STATE], [a.refusal for a in answers if isinstance(a, m.Refused)])

    def test_fromTheFirstLoss(self) -> None:
        """The lease runs from the first loss, however often the loss is told, and ends with a connection."""
        pair = Pair().installed()
        for _ in range(3):
            pair.b.host.connectionLost()
            alone(pair.b, 25.0)
        self.assertEqual(0, pair.b.host.operations)
        pair = Pair().installed()
        for _ in range(5):
            pair.b.host.connectionLost()
            alone(pair.b, 50.0)
            pair.b.host.connectionMade()
        self.assertEqual(1, pair.b.host.operations)

    def test_close(self) -> None:
        """CLOSE of a controller that does not remember: the same decision, at once."""
        for marked in (False, True):
            pair = Pair().confirmed()
            for end in (pair.a, pair.b):
                if marked:
                    end.mark(LATER)
                end.tell(m.Close(OP))
            self.assertEqual((6, 0) if not marked else (0, 6), (records(pair.a), records(pair.b)))
            self.assertEqual(((), ()), (pair.a.host.hello().operations, pair.b.host.hello().operations))


class LookTests(SynchronousTestCase):
    """A queue is full, nothing is read, and a marker may wait at the network."""

    def full(self, end: End, port: Port) -> Agent:
        agent = Agent(end.host, end.clock)
        agent.start(port)
        return agent

    def destination(self) -> tuple[Pair, Agent, Port]:
        pair, port = Pair(holdBytes=200).confirmed(), Port()
        agent = self.full(pair.b, port)
        agent.packetsReceived(manyFlows(start=LATER))
        self.assertEqual(["pause"], port.calls)
        pair.b.host.connectionLost()
        return pair, agent, port

    def test_destinationReadsOn(self) -> None:
        """When the lease is over it reads on; a marker that waited decides."""
        for marked in (True, False):
            pair, agent, port = self.destination()
            self.pump(pair, 60.1)
            self.assertEqual((["pause", "resume"], 1), (port.calls, pair.b.host.operations))
            if marked:
                agent.packetsReceived(packetBatch([buildMarker(OP, TOKEN, 1, False)], [LATER + 10**9]))
            self.pump(pair, LONGEST_LOOK + 0.1)
            held = len({row.flow for row in pair.b.rows}) + records(pair.b)
            self.assertEqual((marked, 6), (bool(pair.b.host.operations), held))

    def test_sourceReadsOn(self) -> None:
        """The same at the source, which otherwise would go on alone with what the destination has taken over."""
        for marked in (True, False):
            pair, port = Pair(eventBuffer=1).confirmed(), Port()
            agent = self.full(pair.a, port)
            operation(pair.a).sender._window = 1
            agent.packetsReceived(manyFlows(start=LATER))
            agent.packetsReceived(manyFlows(start=LATER + 10**8))
            self.assertEqual(["pause"], port.calls)
            pair.a.host.connectionLost()
            self.pump(pair, 90.1)
            self.assertEqual((["pause", "resume"], 1), (port.calls, pair.a.host.operations))
            if marked:
                agent.packetsReceived(packetBatch([buildMarker(OP, TOKEN, 1, False)], [LATER + 10**9]))
            self.pump(pair, LONGEST_LOOK + 0.1)
            self.assertEqual((0, 0 if marked else 6), (pair.a.host.operations, records(pair.a)))

    def test_controllerReturns(self) -> None:
        """A controller that comes back during the look decides: the look is over and the port waits again."""
        pair, _, port = self.destination()
        self.pump(pair, 60.1)
        pair.b.host.connectionMade()
        self.pump(pair, 20.0)
        self.assertEqual((["pause", "resume", "pause"], 1), (port.calls, pair.b.host.operations))

    def test_bounds(self) -> None:
        """A look ends after its time or its bytes."""
        look = LastLook(100.0)
        look.read(LOOK_BYTES)
        self.assertEqual([False, True], [look.isOver(100.0 + t) for t in (LONGEST_LOOK - 0.1, LONGEST_LOOK)])
        look.read(1)
        self.assertTrue(look.isOver(100.0))

    def pump(self, pair: Pair, seconds: float) -> None:
        pair.clock.pump([0.1] * round(seconds * 10))


class FullTests(SynchronousTestCase):
    """Everything is full at once, and the operation goes on all the same."""

    def test_markedComes(self) -> None:
        """
        Hold queue and re-direct queue full, credit withheld, before COMMIT: the source's marker must still get through.
        """
        pair = Pair(window=1, holdBytes=100, redirectBytes=100)
        pair.a.feed(manyFlows())
        pair.b.tell(pair.prepare)
        pair.a.tell(pair.get)
        for _ in range(30):
            pair.a.host.work()
            pair.tick()
        pair.b.tell(m.Hold(OP, TOKEN))
        pair.a.tell(m.Divert(OP, TOKEN))
        pair.tick()
        later: list[PacketBatch] = [manyFlows(start=LATER + turn * 10**8, rounds=1) for turn in range(4)]
        for batch in later[:3]:
            pair.a.feed(batch)
            pair.tick()
        pair.b.feed(later[3])
        self.assertFalse(pair.b.host.wantsPackets)
        self.assertEqual([], pair.b.take(m.Committed))
        pair.b.tell(m.Commit(OP))
        pair.a.mark(LATER + 3 * 10**8 - 1, True)
        for _ in range(10):
            pair.tick()
        self.assertEqual([m.Committed(OP, 6)], pair.b.take(m.Committed))
        self.assertTrue(pair.b.host.wantsPackets)
        pair.tick(1.0)
        pair.a.tell(m.Delete(OP, 0))
        pair.tick()
        self.assertEqual(single(manyFlows(), *later), pair.finish())

    def test_returningSourceReads(self) -> None:
        """A source that waits for what is returned reads packets, however much it had not got rid of."""
        pair = Pair(eventBuffer=1).confirmed()
        operation(pair.a).sender._window = 1
        for turn in range(3):
            pair.a.feed(manyFlows(start=LATER + turn * 10**8))
        self.assertFalse(pair.a.host.wantsPackets)
        pair.a.tell(m.Unmark(OP, True))
        self.assertTrue(pair.a.host.wantsPackets)

    def test_givingBackIsBounded(self) -> None:
        """A destination whose returned packets find no credit stops reading until they do."""
        pair = Pair(window=200, eventBuffer=300).confirmed()
        pair.b.tell(m.Discard(OP, True))
        for turn in range(4):
            pair.b.feed(manyFlows(start=LATER + turn * 10**8, rounds=1))
        self.assertFalse(pair.b.host.wantsPackets)
        pair.relay()
        pair.tick()
        pair.tick()
        self.assertTrue(pair.b.host.wantsPackets)
