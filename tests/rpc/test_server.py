"""The serving end, on a fake transport and a fake clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.rpc import server
from openmb.rpc.codec import Answer, Failure, LineReader, Notice, Request, Result, encode, parseAnswer
from openmb.rpc.server import Notify, ServerFactory, ServerProtocol


class ServerTests(SynchronousTestCase):
    """One caller and some verbs."""

    def setUp(self) -> None:
        self.waiting: list[Deferred[Any]] = []
        self.cancelled = 0
        self.clock = Clock()
        verbs = {"echo": self.echo, "wait": self.wait, "refuse": self.refuse, "break": self.fail_, "set": self.set_}
        factory = ServerFactory({**verbs, "stream": self.stream}, self.clock, 5.0, frozenset({"stream"}))
        self.protocol: ServerProtocol = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    async def echo(self, arguments: Mapping[str, Any], notify: Notify) -> Any:
        notify({"seen": len(arguments)})
        return dict(arguments)

    async def wait(self, arguments: Mapping[str, Any], notify: Notify) -> Any:
        self.waiting.append(Deferred())
        try:
            return await self.waiting[-1]
        except CancelledError:
            self.cancelled += 1
            raise

    async def stream(self, arguments: Mapping[str, Any], notify: Notify) -> Any:
        for number in range(int(arguments["count"])):
            notify({"number": number})
            await notify.whenFree()
        return await self.wait(arguments, notify)

    async def refuse(self, arguments: Mapping[str, Any], notify: Notify) -> Any:
        raise OperationError(Refusal.WRONG_STATE, "not now")

    async def fail_(self, arguments: Mapping[str, Any], notify: Notify) -> Any:
        raise ZeroDivisionError("oops")

    async def set_(self, arguments: Mapping[str, Any], notify: Notify) -> Any:
        return {1, 2}

    def ask(self, number: int, verb: str, **arguments: Any) -> None:
        self.protocol.dataReceived(encode(Request(number, verb, arguments)))

    def answers(self) -> list[Answer]:
        found = [parseAnswer(line) for line in LineReader().feed(self.transport.value())]
        self.transport.clear()
        return found

    def test_noticesThenResult(self) -> None:
        """Notices come before the reply."""
        self.ask(3, "echo", a=1)
        self.assertEqual([Notice(3, {"seen": 1}), Result(3, {"a": 1})], self.answers())

    def test_manyAtOnce(self) -> None:
        """Replies come in the order in which the work ends."""
        self.ask(1, "wait")
        self.ask(2, "wait")
        self.waiting[1].callback("second")
        self.waiting[0].callback("first")
        self.assertEqual([Result(2, "second"), Result(1, "first")], self.answers())

    def test_refusal(self) -> None:
        """An OperationError travels."""
        self.ask(1, "refuse")
        self.assertEqual([Failure(1, Refusal.WRONG_STATE, "not now")], self.answers())

    def test_unknownVerb(self) -> None:
        """The reply says which verbs there are."""
        self.ask(1, "dance")
        (failure,) = self.answers()
        assert isinstance(failure, Failure)
        self.assertEqual(Refusal.BAD_REQUEST, failure.refusal)
        self.assertIn("echo, refuse", failure.reason)

    def test_unexpected(self) -> None:
        """An unexpected exception is logged and answered; the connection goes on."""
        self.ask(1, "break")
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.ask(2, "echo")
        failure, _, result = self.answers()
        assert isinstance(failure, Failure)
        self.assertEqual(Refusal.ENGINE_FAILED, failure.refusal)
        self.assertEqual(Result(2, {}), result)

    def test_resultThatIsNoJSON(self) -> None:
        """The caller is told instead of being left waiting."""
        self.ask(1, "set")
        (failure,) = self.answers()
        assert isinstance(failure, Failure)
        self.assertEqual(Refusal.ENGINE_FAILED, failure.refusal)

    def test_deadline(self) -> None:
        """No request takes longer than the server allows."""
        self.ask(1, "wait")
        self.clock.advance(4.9)
        self.assertEqual([], self.answers())
        self.clock.advance(0.2)
        self.assertEqual([Failure(1, Refusal.DEADLINE, "wait took too long")], self.answers())

    def test_endless(self) -> None:
        """A verb that takes as long as its caller likes; it ends with the caller."""
        self.ask(1, "stream", count=2)
        self.clock.advance(1e9)
        self.assertEqual([Notice(1, {"number": 0}), Notice(1, {"number": 1})], self.answers())
        self.protocol.connectionLost()
        self.assertEqual(1, self.cancelled)

    def test_whenFree(self) -> None:
        """A verb that waits for a slow caller goes on when the caller has read."""
        self.protocol.pauseProducing()
        self.ask(1, "stream", count=3)
        self.assertEqual([Notice(1, {"number": 0})], self.answers())
        self.protocol.resumeProducing()
        self.assertEqual([Notice(1, {"number": 1}), Notice(1, {"number": 2})], self.answers())

    def test_goneWhileFull(self) -> None:
        """A slow caller that goes away: nothing is left of its verb."""
        self.protocol.pauseProducing()
        self.ask(1, "stream", count=3)
        self.protocol.connectionLost()
        self.protocol.resumeProducing()
        self.assertEqual([], self.waiting)
        self.assertEqual([], self.flushLoggedErrors())

    def test_callerGone(self) -> None:
        """Work for nobody is cancelled, and no timer stays."""
        self.ask(1, "wait")
        self.protocol.connectionLost()
        self.assertEqual(1, self.cancelled)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], self.answers())

    def test_sameNumberTwice(self) -> None:
        """Two requests under way cannot share a number."""
        self.ask(1, "wait")
        self.ask(1, "wait")
        self.assertTrue(self.transport.disconnecting or self.transport.disconnected)

    def test_junk(self) -> None:
        """Junk costs the connection."""
        self.protocol.dataReceived(b"GET / HTTP/1.1\r\n")
        self.assertTrue(self.transport.disconnecting or self.transport.disconnected)

    def test_tooManyRequests(self) -> None:
        """The bound on requests under way is an error reply."""
        for number in range(server.REQUEST_LIMIT + 1):
            self.ask(number, "wait")
        (failure,) = self.answers()
        assert isinstance(failure, Failure)
        self.assertEqual((server.REQUEST_LIMIT, Refusal.BUFFER_FULL), (failure.number, failure.refusal))

    def test_slowReader(self) -> None:
        """A caller that does not read is cut off before memory runs out."""
        self.protocol.pauseProducing()
        for number in range(20):
            self.ask(number, "echo", text="x" * 1_000_000)
        self.assertTrue(self.transport.disconnecting or self.transport.disconnected)
        self.assertLess(len(self.transport.value()), server.BACKLOG_LIMIT + 2_000_000)
