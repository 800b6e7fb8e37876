"""Client and server over real UNIX sockets."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from openmb.errors import ConfigurationError, OperationError, Refusal
from openmb.rpc.client import RPCClient
from openmb.rpc.server import Notify, ServerFactory
from openmb.rpc.unix import ILocalReactor, listenPrivately

REACTOR = cast(ILocalReactor, cast(Any, reactor))


async def double(arguments: Mapping[str, Any], notify: Notify) -> Any:
    """Twice the number."""
    notify({"got": arguments["x"]})
    return 2 * int(arguments["x"])


async def refuse(arguments: Mapping[str, Any], notify: Notify) -> Any:
    """No."""
    raise OperationError(Refusal.SAME_MIDDLEBOX, "no")


async def never(arguments: Mapping[str, Any], notify: Notify) -> Any:
    """No reply."""
    await Deferred()


class _Rude(Protocol):
    """Answers with what is no line of JSON."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"\x00\xff junk\n")


class SocketTests(TestCase):
    """Everything real."""

    timeout = 20

    def setUp(self) -> None:
        self.path = Path(self.mktemp()[-60:]).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(os.path.relpath(self.path))

    def serve(self, factory: Factory[Any] | None = None) -> IListeningPort:
        verbs = {"double": double, "refuse": refuse, "never": never}
        listening = listenPrivately(REACTOR, self.path, factory or ServerFactory(verbs, REACTOR))
        self.addCleanup(listening.stopListening)
        return listening

    def client(self) -> RPCClient:
        client = RPCClient(self.path, REACTOR)
        self.addCleanup(client.close)
        return client

    async def refusal(self, client: RPCClient, verb: str, seconds: float = 10.0) -> Refusal:
        try:
            await client.call(verb, {"x": 1}, seconds)
        except OperationError as error:
            return error.refusal
        raise AssertionError("the call should have failed")

    async def test_call(self) -> None:
        """A result, with the notices before it."""
        self.serve()
        notices: list[Any] = []
        self.assertEqual(42, await self.client().call("double", {"x": 21}, 10.0, notices.append))
        self.assertEqual([{"got": 21}], notices)

    async def test_manyCalls(self) -> None:
        """Calls made together, before there is a connection, share one and get their own results."""
        self.serve()
        client = self.client()
        calls = [Deferred.fromCoroutine(client.call("double", {"x": x}, 10.0)) for x in range(50)]
        self.assertEqual([2 * x for x in range(50)], await gatherResults(calls))

    async def test_refusal(self) -> None:
        """The server's refusal is raised at the caller."""
        self.serve()
        self.assertEqual(Refusal.SAME_MIDDLEBOX, await self.refusal(self.client(), "refuse"))

    async def test_deadline(self) -> None:
        """No reply in time; the client can be used afterwards."""
        self.serve()
        client = self.client()
        self.assertEqual(Refusal.DEADLINE, await self.refusal(client, "never", 0.05))
        self.assertEqual(4, await client.call("double", {"x": 2}, 10.0))

    async def test_nobodyThere(self) -> None:
        """No socket: DISCONNECTED."""
        self.assertEqual(Refusal.DISCONNECTED, await self.refusal(self.client(), "double"))

    async def test_closedHere(self) -> None:
        """Closing fails the calls under way."""
        self.serve()
        client = self.client()
        await client.call("double", {"x": 1}, 10.0)
        call = Deferred.fromCoroutine(client.call("never", {}, 10.0))
        client.close()
        with self.assertRaises(OperationError) as caught:
            await call
        self.assertEqual(Refusal.DISCONNECTED, caught.exception.refusal)

    async def test_rudeServer(self) -> None:
        """A server that breaks the protocol is disconnected, with that reason."""
        self.serve(Factory.forProtocol(_Rude))
        with self.assertRaises(OperationError) as caught:
            await self.client().call("double", {"x": 1}, 10.0)
        self.assertIn("broke the protocol", caught.exception.reason)

    async def test_private(self) -> None:
        """Only this user can connect."""
        self.serve()
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    async def test_staleSocket(self) -> None:
        """What a dead process left is replaced."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(str(self.path))
        self.serve()
        self.assertEqual(4, await self.client().call("double", {"x": 2}, 10.0))

    async def test_liveSocket(self) -> None:
        """What a live process uses is left alone."""
        self.serve()
        self.assertRaises(ConfigurationError, self.serve)
        self.assertEqual(4, await self.client().call("double", {"x": 2}, 10.0))

    async def test_inTheWay(self) -> None:
        """A file that is no socket is not removed."""
        self.path.write_text("precious")
        self.assertRaises(ConfigurationError, self.serve)
        self.assertEqual("precious", self.path.read_text())

    async def test_tooLongPath(self) -> None:
        """The error says what to do."""
        self.path = self.path.with_name("x" * 120)
        with self.assertRaises(ConfigurationError) as caught:
            self.serve()
        self.assertIn("shorter", str(caught.exception))
