"""Over real sockets: what a controller that was taken over does to chunks, and who only wants to be in the way."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from openmb.errors import OperationError, Refusal
from openmb.southbound import pressure
from openmb.southbound.certificates import loadCredentials
from openmb.southbound.halfopen import HALF_OPEN_LIMIT
from openmb.southbound.tls import ClientTLS
from openmb.testing.adapters import manyFlows
from openmb.wire import messages as m
from openmb.wire.codec import encode
from tests.integration.wire import LOOP, WireCase
from tests.southbound.peers import Raw

Interfering = Callable[[m.StreamFrame], Sequence[m.StreamFrame]]


def flipped(data: bytes, place: int) -> bytes:
    """One bit of C{data} is another one."""
    made = bytearray(data)
    made[place] ^= 0x10
    return bytes(made)


def onRecords(change: Callable[[m.StreamFrame], m.StreamFrame]) -> Interfering:
    """Change the frames that hold records; frames are relayed as bytes, which must be made anew."""
    return lambda frame: (replace(change(frame), frame=b""),) if frame.type is m.StreamType.RECORDS else (frame,)


class ChunkTests(WireCase):
    """Nothing that was touched is taken; the source goes on as if never asked."""

    async def assertRefused(self, interfere: Interfering) -> None:
        source, destination = await self.join("a"), await self.join("b")
        source.host.packetsReceived(manyFlows())
        self.controller.interfere = interfere
        error = await self.move("a", "b")
        assert isinstance(error, OperationError)
        self.assertEqual(Refusal.SEAL_BROKEN, error.refusal)
        self.assertEqual([Refusal.SEAL_BROKEN], list({refused.refusal for refused in destination.refused}))
        self.assertEqual((0, 0), (source.host.operations, destination.host.operations))
        self.assertGreater(destination.host.counts.refusedFrames, 0)
        # the connection lives on, and so do others' moves and the next one of these flows
        self.controller.interfere = lambda frame: (frame,)
        self.assertIsNone(await self.move("a", "b"))
        self.assertEqual(self.alone(), self.rows())
        self.assertEqual([], source.rows)

    async def test_sealedBit(self) -> None:
        await self.assertRefused(onRecords(lambda frame: replace(frame, sealed=flipped(frame.sealed, 9))))

    async def test_tagBit(self) -> None:
        await self.assertRefused(onRecords(lambda frame: replace(frame, sealed=flipped(frame.sealed, -1))))

    async def test_clearBit(self) -> None:
        """The native keys are readable, but nobody can change them."""
        await self.assertRefused(onRecords(lambda frame: replace(frame, clear=flipped(frame.clear, -1))))

    async def test_version(self) -> None:
        """The version of the record layout stands in the clear part too."""
        await self.assertRefused(onRecords(lambda frame: replace(frame, clear=flipped(frame.clear, 3))))

    async def test_relabelledType(self) -> None:
        await self.assertRefused(onRecords(lambda frame: replace(frame, type=m.StreamType.REPROCESS)))

    async def test_replayed(self) -> None:
        """An earlier frame under the next number, in the place of the one that belongs there."""
        seen: list[m.StreamFrame] = []

        def replay(frame: m.StreamFrame) -> Sequence[m.StreamFrame]:
            if frame.type is m.StreamType.RECORDS:
                seen.append(frame)
            if frame.type is m.StreamType.GET_DONE:
                return (replace(seen[0], number=frame.number, frame=b""),)
            return (frame,)

        await self.assertRefused(replay)

    async def test_otherOperation(self) -> None:
        """Frames of an earlier move between the same two, with everything about them made to fit."""
        source, destination = await self.join("a"), await self.join("b")
        source.host.packetsReceived(manyFlows())
        recorded: list[m.StreamFrame] = []

        def record(frame: m.StreamFrame) -> Sequence[m.StreamFrame]:
            recorded.append(frame)
            return (frame,)

        self.controller.interfere = record
        self.assertIsNone(await self.move("a", "b"))
        self.assertIsNone(await self.move("b", "a"))
        records = next(frame for frame in recorded if frame.type is m.StreamType.RECORDS)
        self.controller.interfere = onRecords(
            lambda frame: replace(records, operation=frame.operation, number=frame.number)
        )
        error = await self.move("a", "b")
        assert isinstance(error, OperationError)
        self.assertEqual(Refusal.SEAL_BROKEN, error.refusal)
        self.assertEqual(self.alone(), self.rows())
        self.assertGreater(destination.host.counts.refusedFrames, 0)

    async def test_otherStreamWhole(self) -> None:
        """The whole earlier stream, its opening with its salt included: the destination's nonce is another one."""
        source = await self.join("a")
        destination = await self.join("b")
        source.host.packetsReceived(manyFlows())
        recorded: list[m.StreamFrame] = []

        def record(frame: m.StreamFrame) -> Sequence[m.StreamFrame]:
            recorded.append(frame)
            return (frame,)

        self.controller.interfere = record
        self.assertIsNone(await self.move("a", "b"))
        self.assertIsNone(await self.move("b", "a"))
        earlier = {frame.number: frame for frame in recorded if frame.operation == recorded[0].operation}
        self.controller.interfere = lambda frame: (
            (replace(earlier[frame.number], operation=frame.operation, frame=b""),) if frame.number in earlier else ()
        )
        error = await self.move("a", "b")
        assert isinstance(error, OperationError)
        self.assertEqual(Refusal.SEAL_BROKEN, error.refusal)
        self.assertGreater(destination.host.counts.refusedFrames, 0)
        self.assertEqual(self.alone(), self.rows())

    async def test_otherKeys(self) -> None:
        """A destination of another kind, or from elsewhere: it has other keys and opens nothing."""
        source, destination = await self.join("a"), await self.join("b", {1: bytes(32)})
        source.host.packetsReceived(manyFlows())
        error = await self.move("a", "b")
        assert isinstance(error, OperationError)
        self.assertEqual(Refusal.SEAL_BROKEN, error.refusal)
        self.assertGreater(destination.host.counts.refusedFrames, 0)
        self.assertEqual(self.alone(), self.rows())

    async def test_leftOut(self) -> None:
        """A frame that is missing is waited for, and its absence is an error: nothing is installed without it."""
        await self.join("a")
        await self.join("b")
        self.network.boxes["a"].host.packetsReceived(manyFlows())
        self.controller.interfere = lambda frame: () if frame.number == 1 else (frame,)
        move = self.controller.startMove("a", "b", "udp")
        move.installed.wait().addErrback(lambda failure: None)
        for milestone in (move.moved, move.finished):
            milestone.wait().addErrback(lambda failure: None)
        await self.until(lambda: self.network.boxes["b"].host.hello().operations)
        await deferLater(LOOP, 0.3)
        self.assertFalse(move.installed.reached)
        move.abort("it does not come")
        await self.until(lambda: not self.controller.moves)
        self.assertEqual(self.alone(), self.rows())


class Silent(Protocol):
    """Says HELLO, and takes nothing that it is sent."""

    def __init__(self, hello: m.Hello) -> None:
        self._hello = hello
        self.lost = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(encode(self._hello))
        LOOP.callLater(0.3, self._stop)

    def _stop(self) -> None:
        if not self.lost:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True


class InTheWayTests(WireCase):
    """Others get in and get through."""

    async def assertWorking(self) -> None:
        """Two middleboxes move all their flows."""
        self.network.boxes["a"].host.packetsReceived(manyFlows())
        self.assertIsNone(await self.move("a", "b"))
        self.assertEqual(self.alone(), self.rows())

    async def test_halfOpen(self) -> None:
        """A thousand connections that say nothing: who is there stays, who is new gets in, each is cut with a line."""
        await self.join("a")
        with ExitStack() as stack:
            for _ in range(1000):
                knocking = stack.enter_context(socket.socket())
                knocking.setblocking(False)
                knocking.connect_ex(("127.0.0.1", self.port))
                await deferLater(LOOP, 0)
            await self.join("b")
            await self.assertWorking()
            self.assertLessEqual(len(self.factory._halfOpen), HALF_OPEN_LIMIT)
            await self.until(lambda: self.counted("without a session") >= 1000 - HALF_OPEN_LIMIT)
            self.assertLess(len(self.said("without a session")), 200)

    async def test_halfOpenAfterTheHandshake(self) -> None:
        """The same with certificates, but without a HELLO."""
        await self.join("a")
        creator = ClientTLS(loadCredentials(self.folder, "c"), "controller")
        connections: list[Any] = []
        for _ in range(HALF_OPEN_LIMIT + 40):
            endpoint = wrapClientTLS(creator, TCP4ClientEndpoint(LOOP, "127.0.0.1", self.port))
            connections.append(await endpoint.connect(Factory.forProtocol(lambda: Raw(b""))))
        await self.join("b")
        await self.assertWorking()
        await self.until(lambda: self.counted("without a session") >= 40)
        for connection in connections:
            if not connection.lost.called:
                connection.transport.abortConnection()
        await self.until(lambda: all(connection.lost.called for connection in connections))

    async def test_neverReads(self) -> None:
        """Who takes nothing is cut when too much waits for it, with a line, and the others do not notice."""
        self.patch(pressure, "PILE_LIMIT", 1 << 20)
        await self.join("a")
        await self.join("b")
        creator = ClientTLS(loadCredentials(self.folder, "c"), "controller")
        endpoint = wrapClientTLS(creator, TCP4ClientEndpoint(LOOP, "127.0.0.1", self.port))
        hello = replace(self.network.boxes["a"].host.hello(), name="c", incarnation=b"c" * 16)
        silent = Silent(hello)
        await endpoint.connect(Factory.forProtocol(lambda: silent))
        await self.until(lambda: self.controller.registry.get("c"))
        session = self.controller.registry.find("c")
        await deferLater(LOOP, 0.4)
        frame = m.StreamFrame(5, m.Side.SOURCE, 1, m.StreamType.RECORDS, b"", bytes(500_000))
        for _ in range(60):
            session.send(frame)
            await deferLater(LOOP, 0.005)
        await self.until(lambda: self.said("it does not take what is sent"))
        self.assertIn("c (counter)", self.said("it does not take what is sent")[0])
        await self.until(lambda: self.controller.registry.get("c") is None)
        await self.assertWorking()
        silent.transport.abortConnection()  # type: ignore[union-attr]
