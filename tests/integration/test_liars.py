"""Over real sockets: a middlebox with a good certificate and the kind's keys that says what is not its to say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from openmb.errors import OperationError, Refusal
from openmb.state.headers import EVERYTHING
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from openmb.wire.stream import packEvents
from tests.integration.wire import Middlebox, WireCase
from tests.middlebox.rig import End
from tests.middlebox.test_unasked import exportOf


class RefusingSource(WireCase):
    """A source cannot undo what the journal says is committed."""

    def refuseAtMarkers(self, source: Middlebox) -> list[int]:
        """The first marker tells the source that COMMIT was written: then it refuses it, in the destination's stead."""
        refused: list[int] = []
        receive = source.host.packetsReceived

        def lie(batch: object) -> None:
            for status in source.host.hello().operations:
                if status.state == "diverted" and not refused:
                    refused.append(status.operation)
                    assert source.link is not None
                    source.link.send(m.Refused(status.operation, m.MessageType.COMMIT, Refusal.WRONG_STATE, "no"))
            receive(batch)  # type: ignore[arg-type]

        source.host.packetsReceived = lie  # type: ignore[method-assign]
        return refused

    async def test_commit(self) -> None:
        """The move goes on to its end; the report counts the lie, and the log names the liar."""
        source = await self.join("a")
        await self.join("b")
        source.host.packetsReceived(manyFlows())
        lies = self.refuseAtMarkers(source)
        self.assertIsNone(await self.move("a", "b"))
        await self.until(lambda: not self.controller.moves)
        (outcome,) = self.controller.history
        report = outcome.report
        self.assertEqual((1, 1, None), (len(lies), report.strays, report.refusal))
        (line,) = self.said("is not for the source to say")
        self.assertIn("a: Refused (request 26: no)", line)
        self.network.boxes["b"].host.packetsReceived(manyFlows(start=START + 10**8))
        self.assertEqual([], source.rows)
        self.assertEqual(6, len(self.rows()))


class UnaskedTests(WireCase):
    """A source that has the keys sends what nobody asked for; a controller tells the two ends different flows."""

    async def begun(self) -> tuple[Middlebox, Middlebox]:
        source, destination = await self.join("a"), await self.join("b")
        source.host.packetsReceived(manyFlows())
        return source, destination

    def lie(self, source: Middlebox, type_: m.StreamType, about: int) -> None:
        """In the first frame after OPENED; it makes its seals as it should."""
        begin = source.host.work

        def work() -> bool:
            for operation in source.host._operations.values():
                sender = operation.sender
                assert sender is not None
                if sender.sent == 0 and type_ is m.StreamType.RECORDS:
                    sender.records(type_, exportOf(about))
                elif sender.sent == 0:
                    sender.append(type_, *packEvents(manyFlows((about,), START + 10**8)))
            return begin()

        source.host.work = work  # type: ignore[method-assign]

    async def assertRefused(self, type_: m.StreamType, refusal: Refusal, words: str) -> None:
        """The move fails with the source's name, the destination's live flow is as it was, the next move works."""
        source, destination = await self.begun()
        destination.host.packetsReceived(manyFlows((9,)))
        self.lie(source, type_, 9)
        error = await self.move("a", "b", "udp,nw_src=10.0.1.1")
        assert isinstance(error, OperationError)
        self.assertEqual(refusal, error.refusal)
        self.assertIn(words, error.reason)
        self.assertEqual((0, 0), (source.host.operations, destination.host.operations))
        self.assertEqual(1, destination.host.engine.usage(EVERYTHING)[0].records)
        del source.host.work
        self.assertIsNone(await self.move("a", "b", "udp,nw_src=10.0.1.1"))
        for name in "ab":
            self.assertIsNotNone(self.controller.registry.get(name), "its session was never cut")
        self.assertEqual(sorted((*self.alone(), *self._nine())), self.rows())

    def _nine(self) -> list[str]:
        end = End("nine")
        end.feed(manyFlows((9,)))
        end.host.finish()
        return [f"{row.flow} {row.line}" for row in end.rows]

    async def test_records(self) -> None:
        await self.assertRefused(m.StreamType.RECORDS, Refusal.BAD_REQUEST, "a sent 1 records of flows that nobody")

    async def test_reprocess(self) -> None:
        await self.assertRefused(m.StreamType.REPROCESS, Refusal.BAD_REQUEST, "a sent 4 packets of flows that nobody")

    async def test_redirect(self) -> None:
        await self.assertRefused(m.StreamType.REDIRECT, Refusal.WRONG_STATE, "re-direct events before HOLD")

    async def test_differentFlows(self) -> None:
        """The controller asks the source for all flows, and the destination expects one."""
        _, destination = await self.begun()
        session = self.controller.registry.find("a")
        send = session.send
        session.send = lambda message: send(replace(message, flows="udp") if isinstance(message, m.Get) else message)
        error = await self.move("a", "b", "udp,nw_src=10.0.1.1")
        assert isinstance(error, OperationError)
        self.assertEqual(Refusal.SEAL_BROKEN, error.refusal)
        self.assertEqual(0, destination.host.engine.usage(EVERYTHING)[0].records)
        session.send = send
        self.assertIsNone(await self.move("a", "b"))
        self.assertEqual(self.alone(), self.rows())


class FloodTests(WireCase):
    """A source that sends without credit, to a destination that is slow: nobody's session suffers for it."""

    #: More than may ever wait for a peer (C{openmb.southbound.pressure}).
    FRAMES, SIZE = 160, 1 << 19

    async def test_flood(self) -> None:
        source, destination = await self.join("a"), await self.join("b")
        session = self.controller.registry.find("b")
        reached: list[m.Message] = []
        send = session.send

        def seen(message: m.Message) -> None:
            reached.append(message)
            send(message)

        session.send = seen
        move = self.controller.startMove("a", "b", "udp")
        move.installed.wait().addErrback(lambda failure: None)
        move.finished.wait().addErrback(lambda failure: None)
        await self.until(lambda: source.host.operations)
        assert source.link is not None
        wire = cast(Any, destination.link).transport
        wire.pauseProducing()
        for number in range(self.FRAMES):
            frame = m.StreamFrame(
                move.request.operation, m.Side.SOURCE, number + 100, m.StreamType.RECORDS, b"", bytes(self.SIZE)
            )
            source.link.send(frame)
            await self.until(lambda: source.link is None or source.link.writable)
        await self.until(lambda: move.report.refusal)
        held = sum(message.size for message in reached if isinstance(message, m.StreamFrame))
        self.assertLessEqual(held, move.request.settings.window)
        self.assertEqual(Refusal.BAD_REQUEST, move.report.refusal)
        self.assertTrue(move.report.reason.startswith("a: frame "), move.report.reason)
        self.assertIn("the window has 4194304", move.report.reason)
        wire.resumeProducing()
        await self.until(lambda: not self.controller.moves)
        self.assertIs(session, self.controller.registry.get("b"))
        self.assertEqual([], self.said("does not take what is sent"))
        source.host.packetsReceived(manyFlows())
        self.assertIsNone(await self.move("a", "b"))
        self.assertEqual(self.alone(), self.rows())
