"""
The asking end of the local protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure as TwistedFailure

from openmb.errors import OperationError, ProtocolError, Refusal
from openmb.rpc.codec import Answer, Failure, LineReader, Notice, Request, Result, encode, parseAnswer
from openmb.rpc.unix import ILocalReactor

#: Is called with each notice of a request.
OnNotice = Callable[[Mapping[str, Any]], None]


class Unreachable(OperationError):
    """Nobody can be asked: there is no connection to the server, and none can be made."""

    def __init__(self, reason: str) -> None:
        super().__init__(Refusal.DISCONNECTED, reason)


@dataclass(frozen=True, slots=True)
class _Waiting:
    reply: Deferred[Any]
    onNotice: OnNotice | None


class ClientProtocol(Protocol):
    """One connection to a server, with the requests that wait for their replies."""

    def __init__(self) -> None:
        self._reader = LineReader()
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0
        self._reason = "the server closed the connection"
        self.connectedNow = False

    def connectionMade(self) -> None:
        """Requests can be sent from now on."""
        self.connectedNow = True

    def ask(self, verb: str, arguments: Mapping[str, Any], onNotice: OnNotice | None) -> Deferred[Any]:
        """Send a request; fires with the reply's result."""
        number = self._number
        line = encode(Request(number, verb, arguments))
        self._number += 1
        reply: Deferred[Any] = Deferred(lambda _: self._forget(number))
        self._waiting[number] = _Waiting(reply, onNotice)
        self._transport().write(line)
        return reply

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of answers have come."""
        try:
            for line in self._reader.feed(data):
                self._take(parseAnswer(line))
        except ProtocolError as error:
            self._reason = f"the server broke the protocol: {error}"
            self.connectedNow = False
            self._transport().abortConnection()

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        """Whoever still waits is told so."""
        self.connectedNow = False
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.reply.errback(OperationError(Refusal.DISCONNECTED, self._reason))

    def close(self) -> None:
        """Close the connection; what waits for a reply fails."""
        self._reason = "the connection was closed here"
        self.connectedNow = False
        self._transport().loseConnection()

    def _take(self, answer: Answer) -> None:
        waiting = self._waiting.get(answer.number)
        if waiting is None:
            return  # its caller has given up
        if isinstance(answer, Notice):
            if waiting.onNotice is not None:
                waiting.onNotice(answer.notice)
            return
        del self._waiting[answer.number]
        _settle(waiting.reply, answer)

    def _forget(self, number: int) -> None:
        self._waiting.pop(number, None)

    def _transport(self) -> Any:
        return self.transport


def _settle(reply: Deferred[Any], answer: Result | Failure) -> None:
    if isinstance(answer, Result):
        reply.callback(answer.result)
    else:
        reply.errback(OperationError(answer.refusal, answer.reason))


class RPCClient:
    """
    Asks the server at a UNIX socket; connects when there is something to ask and no connection.
    """

    def __init__(self, path: Path, clock: ILocalReactor) -> None:
        self._path, self._clock = path, clock
        self._protocol: ClientProtocol | None = None
        self._connecting: list[Deferred[ClientProtocol]] | None = None

    async def call(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        timeout: float | None,  # noqa: ASYNC109 - on the clock passed, not asyncio's
        onNotice: OnNotice | None = None,
    ) -> Any:
        """
        Ask for C{verb}; the reply's result.

        @param timeout: seconds to wait for connection and reply together; None: for ever.
        @raise OperationError: the server refused, as it says; C{DISCONNECTED}: it cannot be reached or went away;
            C{DEADLINE}: no reply in time (the request may have been done all the same).
        """
        asked = Deferred.fromCoroutine(self._ask(verb, arguments, onNotice))
        if timeout is None:
            return await asked
        try:
            return await asked.addTimeout(timeout, self._clock)
        except DeferredTimeout as error:
            raise OperationError(Refusal.DEADLINE, f"no reply to {verb} within {timeout:g} s") from error

    def close(self) -> None:
        """Close the connection; calls under way fail."""
        if self._protocol is not None:
            self._protocol.close()
            self._protocol = None

    async def _ask(self, verb: str, arguments: Mapping[str, Any], onNotice: OnNotice | None) -> Any:
        protocol = await self._connected()
        return await protocol.ask(verb, arguments, onNotice)

    async def _connected(self) -> ClientProtocol:
        if self._protocol is not None and self._protocol.connectedNow:
            return self._protocol
        if self._connecting is not None:
            return await self._joinConnecting()
        return await self._connect()

    def _joinConnecting(self) -> Deferred[ClientProtocol]:
        assert self._connecting is not None  # _connected has looked
        waiting: Deferred[ClientProtocol] = Deferred()
        self._connecting.append(waiting)
        return waiting

    async def _connect(self) -> ClientProtocol:
        self._connecting = []
        outcome: ClientProtocol | OperationError = Unreachable("connecting was given up")
        try:
            outcome = self._protocol = await self._dial()
            return outcome
        except OperationError as error:
            outcome = error
            raise
        finally:
            waiting, self._connecting = self._connecting, None
            for each in waiting:
                each.callback(outcome) if isinstance(outcome, ClientProtocol) else each.errback(outcome)

    async def _dial(self) -> ClientProtocol:
        endpoint = UNIXClientEndpoint(self._clock, str(self._path))
        try:
            return await endpoint.connect(Factory.forProtocol(ClientProtocol))  # type: ignore[no-any-return]
        except ConnectingCancelledError as error:
            raise CancelledError from error
        except (ConnectError, OSError) as error:
            raise Unreachable(f"cannot connect to {self._path}: {error}") from error
