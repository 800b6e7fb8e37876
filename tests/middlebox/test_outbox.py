"""What an in-line middlebox sends on: in order, nothing lost, as fast as the network takes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from openmb.middlebox.agent import Agent
from openmb.middlebox.outbox import FULL, MOST, Outbox
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.marker import buildMarker
from openmb.testing.adapters import manyFlows
from openmb.testing.counter import CounterMiddlebox
from tests.middlebox.rig import End


class Port:
    """A port that takes so many batches, then none until it is told."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.taken: list[bytes] = []
        self.calls: list[str] = []

    def send(self, batch: PacketBatch) -> bool:
        """Never refuses, but says when it is full."""
        self.taken += [batch.packet(place) for place in range(len(batch))]
        self.room -= 1
        return self.room > 0

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


def numbered(first: int, count: int, size: int = 60) -> PacketBatch:
    """Packets that can be told apart."""
    return packetBatch([bytes(size - 4) + (first + place).to_bytes(4, "big") for place in range(count)], [1] * count)


def contents(batch: PacketBatch) -> list[bytes]:
    """Its packets."""
    return [batch.packet(place) for place in range(len(batch))]


class OutboxTests(SynchronousTestCase):
    """By itself."""

    def test_waits(self) -> None:
        """What the network does not take waits, in order."""
        outbox, port = Outbox(), Port(room=1)
        outbox.attach(port)
        for place in range(0, 9, 3):
            outbox.put(numbered(place, 3))
        self.assertEqual(contents(numbered(0, 3)), port.taken)
        self.assertFalse(outbox.isEmpty)
        port.room = 1 << 30
        outbox.setWritable(True)
        self.assertEqual(contents(numbered(0, 9)), port.taken)
        self.assertTrue(outbox.isEmpty)
        self.assertEqual((9, 0), (outbox.sent, outbox.dropped))

    def test_full(self) -> None:
        """Full is said by bytes, and not any more when they are gone."""
        outbox, port = Outbox(), Port(room=1)
        outbox.attach(port)
        outbox.put(numbered(0, 1))
        while not outbox.isFull:
            outbox.put(numbered(0, 100, 1000))
        self.assertLess(outbox.sent, 2)
        port.room = 1 << 30
        outbox.setWritable(True)
        self.assertFalse(outbox.isFull)
        self.assertGreaterEqual(outbox.sent * 1000, FULL)

    def test_noPort(self) -> None:
        """Without a port they wait for the next one; beyond the bound the oldest are dropped, and counted."""
        outbox, port = Outbox(), Port()
        count = MOST // 100_000 + 5
        for place in range(count):
            outbox.put(numbered(place, 1, 100_000))
        outbox.attach(port)
        self.assertGreater(outbox.dropped, 0)
        self.assertEqual(count, outbox.sent + outbox.dropped)
        self.assertEqual(contents(numbered(count - 1, 1, 100_000)), port.taken[-1:])

    def test_otherPort(self) -> None:
        """A port that takes another's place gets what the other did not."""
        outbox, first, second = Outbox(), Port(room=1), Port()
        outbox.attach(first)
        outbox.put(numbered(0, 1))
        outbox.put(numbered(1, 1))
        outbox.attach(None)
        outbox.put(numbered(2, 1))
        outbox.attach(second)
        self.assertEqual(contents(numbered(0, 3)), first.taken + second.taken)

    @given(some.lists(some.one_of(some.integers(1, 5), some.sampled_from(("on", "off", "lost", "found")))))
    def test_order(self, steps: list[int | str]) -> None:
        """Whatever comes in between: everything once, in order."""
        outbox, ports, number = Outbox(), [Port()], 0
        outbox.attach(ports[0])
        taken: list[bytes] = []
        for step in steps:
            if isinstance(step, int):
                outbox.put(numbered(number, step))
                number += step
            elif step in ("on", "off"):
                outbox.setWritable(step == "on")
            else:
                ports.append(Port())
                outbox.attach(None if step == "lost" else ports[-1])
        ports.append(Port())
        outbox.attach(ports[-1])
        for port in ports:
            taken += port.taken
        self.assertEqual(contents(numbered(0, number)), taken)


class InlineAgentTests(SynchronousTestCase):
    """An agent with an engine in line."""

    def setUp(self) -> None:
        self.end = End("a", Clock())
        engine = self.end.host.engine
        assert isinstance(engine, CounterMiddlebox)
        engine.inline = True
        self.agent, self.port = Agent(self.end.host, Clock()), Port()
        self.agent.start(self.port)

    def test_forwards(self) -> None:
        """What was processed goes on as it came, but no marker: those are for this host."""
        packets = manyFlows()
        marker = packetBatch([buildMarker(5, bytes(16), 1, True)], [int(packets.stamps[-1])])
        self.agent.packetsReceived(packets)
        self.agent.packetsReceived(marker)
        self.assertEqual(contents(packets), self.port.taken)
        self.assertEqual(1, self.end.host.counts.strayMarkers)

    def test_backPressure(self) -> None:
        """While the network takes nothing, nothing is read: packets wait where they come from."""
        self.port.room = 1
        self.agent.packetsReceived(manyFlows())
        for _ in range(FULL // 500):
            self.agent.packetsReceived(manyFlows())
            if self.port.calls:
                break
        self.assertEqual(["pause"], self.port.calls)
        self.port.room = 1 << 30
        self.agent.writableChanged(True)
        self.assertEqual(["pause", "resume"], self.port.calls)
        self.assertTrue(self.agent.outbox.isEmpty)

    def test_portGone(self) -> None:
        """What comes of operations while there is no port goes to the next one."""
        self.agent.portLost()
        packets = manyFlows()
        self.agent.outbox.put(packets)
        other = Port()
        self.agent.start(other)
        self.assertEqual(contents(packets), other.taken)
