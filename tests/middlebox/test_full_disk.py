"""An agent whose engine's output is not taken: packets wait at the network, everything else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OutputFailed
from openmb.middlebox.agent import IDLE_TICK, Agent
from openmb.middlebox.host import MiddleboxHost
from openmb.packets.batch import PacketBatch
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.settings import BroSettings
from openmb.state.keyring import Keyring
from openmb.state.taxonomy import PER_FLOW_CELLS
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, peer
from tests.middlebox.test_agent import Port

HOUR = 3600 * 10**9


class BlockedTests(SynchronousTestCase):
    """With a Bro whose logs cannot be written: their directory went away (a limit would meet trial's own log too)."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.clock, self.port = Clock(), Port()
        self.sent: list[m.Message] = []
        self.engine = BroMiddlebox(BroSettings(self.folder))
        self.host = MiddleboxHost(
            "a",
            "bro",
            peer("a").incarnation,
            self.engine,
            Keyring("bro", {1: bytes(range(32))}, 1),
            self.sent.append,
            self.clock.seconds,
        )
        self.agent = Agent(self.host, self.clock)
        self.agent.start(self.port)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The directory of the logs is not there."""
        elsewhere = self.folder.with_name("elsewhere")
        self.folder.rename(elsewhere)
        yield
        elsewhere.rename(self.folder)

    def rows(self) -> int:
        path = self.folder / "conn.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return sum(not line.startswith("#") for line in lines)

    def expire(self) -> PacketBatch:
        """Packets so much later that the flows before have ended."""
        return manyFlows(start=START + HOUR)

    def test_stopsReading(self) -> None:
        self.agent.packetsReceived(manyFlows())
        with self.away():
            self.agent.packetsReceived(self.expire())
            self.clock.pump([IDLE_TICK] * 8)
            self.assertEqual((["pause"], True), (self.port.calls, self.engine.logs.conn.waiting == 6))
        self.clock.advance(IDLE_TICK)
        self.assertEqual((["pause", "resume"], 6), (self.port.calls, self.rows()))
        self.agent.stop()
        self.assertEqual(12, self.rows())

    def test_operationsGoOn(self) -> None:
        """Records are exported, questions answered, leases end."""
        self.agent.packetsReceived(manyFlows())
        peers = (peer("a"), peer("b"))
        with self.away():
            self.agent.packetsReceived(self.expire())
            self.agent.messageReceived(m.Get(OP, "udp", PER_FLOW_CELLS, *peers, 1 << 20, 1000, bytes(16)))
            self.clock.pump([0.005] * 40)
            frames = [message.type.name for message in self.sent if isinstance(message, m.StreamFrame)]
            self.assertEqual("GET_DONE", frames[-1])
            self.host.connectionLost()
            self.clock.pump([0.25] * 8)
            self.assertEqual((0, ["pause"]), (self.host.operations, self.port.calls))

    def test_stopping(self) -> None:
        """The end can be tried again; what is lost if nobody does is known to the row."""
        self.agent.packetsReceived(manyFlows())
        with self.away():
            for _ in range(3):
                with self.assertRaises(OutputFailed) as caught:
                    self.agent.stop()
                self.assertIn("conn.log: No such file or directory, 6 rows are not written", str(caught.exception))
        self.agent.stop()
        self.assertEqual(6, self.rows())
