"""Over real sockets: more streams to one slow middlebox than its session could take if all filled their windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from openmb.controller.performer import MovePerformer
from openmb.controller.relaywindow import SHARED
from openmb.interfaces import Route
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.southbound.pressure import PILE_LIMIT
from openmb.state.headers import HeaderFieldList
from openmb.testing.adapters import START, flowPacket, manyFlows
from tests.integration.wire import WireCase

#: Moves, and bytes of each packet: each flow has more than its window (4 MiB), all together more than may ever wait.
MOVES, SIZE = 20, 1400


def flowsOf(flow: int) -> str:
    """One flow, so that no two moves have one in common."""
    return f"udp,nw_src=10.0.1.{flow},nw_dst=10.0.9.9"


def load(flow: int, packets: int, start: int) -> PacketBatch:
    """Large packets of one flow."""
    frames = [flowPacket(flow, serial, size=SIZE) for serial in range(packets)]
    return packetBatch(frames, [start + place for place in range(packets)])


class ManyStreamsTests(WireCase):
    """A move for each flow, and packets of all of them while the destination takes nothing."""

    timeout = 300

    async def installed(self, flows: Sequence[int]) -> list[MovePerformer]:
        """A move of each flow, whose records are at the destination."""
        moves = [self.controller.startMove("a", "b", flowsOf(flow)) for flow in flows]
        for move in moves:
            move.finished.wait().addErrback(lambda failure: None)
            await move.installed.wait()
        return moves

    async def test_manyToOne(self) -> None:
        """What waits is bounded, nobody's session is cut, every move comes to its end, and no packet is missing."""
        source, destination = await self.join("a"), await self.join("b")
        flows = range(1, MOVES + 1)
        source.host.packetsReceived(manyFlows(flows))
        moves = await self.installed(flows)
        window = moves[0].request.settings.window
        self.assertGreater(MOVES * window, PILE_LIMIT)
        sessions = [self.controller.registry.find(name) for name in "ab"]
        wire = cast(Any, destination.link).transport
        wire.pauseProducing()
        loads = [load(flow, window // SIZE + 500, START + 10**8) for flow in flows]
        for packets in loads:
            source.host.packetsReceived(packets)
            await self.until(lambda: source.link is not None and source.link.writable)
        await self.until(lambda: all(self._isLeftOut(move) for move in moves[-2:]))
        self.assertGreater(sessions[1].piled(), SHARED)
        self.assertLess(sessions[1].piled(), SHARED + (2 << 20))
        wire.resumeProducing()
        for flow, move in zip(flows, moves, strict=True):
            move.switchOver(Route(HeaderFieldList.parse(flowsOf(flow)), ("b",)))
        await self.until(lambda: not self.controller.moves)
        self.assertEqual([None] * MOVES, [outcome.report.refusal for outcome in self.controller.history])
        self.assertEqual(sessions, [self.controller.registry.get(name) for name in "ab"])
        self.assertEqual([], self.said("does not take what is sent"))
        self.assertEqual([], source.rows)
        self.assertEqual(self.alone(manyFlows(flows), *loads), self.rows())

    @staticmethod
    def _isLeftOut(move: MovePerformer) -> bool:
        return any(window.missing is not None for window in move.windows.values())
