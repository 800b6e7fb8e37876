"""The agent: exports between packets, pauses the port, lets time pass."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from openmb.middlebox.agent import BUSY_TICK, IDLE_TICK, Agent
from openmb.packets.batch import PacketBatch
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, End, Pair

#: A credit window that the export just fits in, and what is re-directed afterwards does not.
TIGHT = 4096


class Port:
    """A port that remembers."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def send(self, batch: PacketBatch) -> bool:
        self.calls.append("send")
        return True


class AgentTests(SynchronousTestCase):
    """An agent on a clock that stands still."""

    def setUp(self) -> None:
        self.clock, self.port = Clock(), Port()

    def agent(self, wallTime: bool = False, **settings: int) -> tuple[Agent, End]:
        end = End("a", self.clock, **settings)
        agent = Agent(end.host, self.clock, wallTime)
        agent.start(self.port)
        return agent, end

    def test_exportsInTheBackground(self) -> None:
        """GET starts the export; packets may come between its slices, and it ends by itself."""
        agent, end = self.agent(sliceSlots=1)
        agent.packetsReceived(manyFlows())
        agent.messageReceived(Pair().get)
        self.assertEqual(1, len(end.take(m.StreamFrame)))
        for _ in range(50):
            agent.packetsReceived(manyFlows((8,), START + 200_000_000, 1))
            self.clock.advance(0.01)
        self.assertFalse(end.host.hasWork)
        names = [frame.type.name for frame in end.take(m.StreamFrame)]
        self.assertEqual((6, 1), (names.count("RECORDS"), names.count("GET_DONE")))

    def test_exportWaitsForCredit(self) -> None:
        """Without credit there is no busy loop; credit wakes the export."""
        agent, end = self.agent(sliceSlots=1)
        agent.packetsReceived(manyFlows())
        agent.messageReceived(Pair(window=1).get)
        self.clock.pump([0.001] * 20)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        agent.messageReceived(m.Credit(OP, m.Side.SOURCE, 0))
        self.clock.advance(0.001)
        self.assertEqual(["OPENED", "RECORDS"], [frame.type.name for frame in end.take(m.StreamFrame)])

    def test_pausesPort(self) -> None:
        """A full queue pauses the port once; when it has room the port goes on."""
        agent, _ = self.agent(eventBuffer=1)
        agent.packetsReceived(manyFlows())
        agent.messageReceived(Pair(window=TIGHT).get)
        self.clock.pump([0.01] * 5)
        agent.messageReceived(m.Divert(OP, TOKEN))
        for turn in range(1, 4):
            agent.packetsReceived(manyFlows(start=START + turn * 100_000_000))
        self.assertEqual(["pause"], self.port.calls)
        agent.messageReceived(m.Unmark(OP, False))
        self.assertEqual(["pause", "resume"], self.port.calls)

    def test_newPortWhileFull(self) -> None:
        """A port that takes another's place is paused as well."""
        agent, _ = self.agent(eventBuffer=1)
        agent.packetsReceived(manyFlows())
        agent.messageReceived(Pair(window=TIGHT).get)
        self.clock.pump([0.01] * 5)
        agent.messageReceived(m.Divert(OP, TOKEN))
        for turn in range(1, 4):
            agent.packetsReceived(manyFlows(start=START + turn * 100_000_000))
        other = Port()
        agent.start(other)
        self.assertEqual(["pause"], other.calls)

    def test_ticks(self) -> None:
        """Timers are looked at rarely when nothing is under way, and often during an operation."""
        agent, _ = self.agent()
        self.clock.advance(IDLE_TICK * 2)
        agent.packetsReceived(manyFlows())
        agent.messageReceived(Pair().get)
        due = min(call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() > self.clock.seconds())
        self.assertLessEqual(due - self.clock.seconds(), BUSY_TICK * 1.001)

    def test_idleTimePasses(self) -> None:
        """On the time of day an idle input lets flows end, also after packets have come."""
        agent, end = self.agent(wallTime=True)
        agent.packetsReceived(manyFlows())
        self.assertEqual([], end.rows)
        self.clock.pump([IDLE_TICK] * 2)
        self.assertEqual([], end.rows)
        self.clock.pump([IDLE_TICK] * round(10 / IDLE_TICK))
        self.assertEqual(6, len(end.rows))

    def test_replayedTimeStands(self) -> None:
        """On capture time only packets let time pass."""
        agent, end = self.agent()
        agent.packetsReceived(manyFlows())
        self.clock.pump([IDLE_TICK] * 3)
        self.assertEqual([], end.rows)

    def test_stop(self) -> None:
        """Everything is reported and no call is left."""
        agent, end = self.agent()
        agent.packetsReceived(manyFlows())
        agent.messageReceived(Pair().get)
        agent.stop()
        self.assertEqual((6, []), (len(end.rows), self.clock.getDelayedCalls()))
