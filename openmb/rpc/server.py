"""
The serving end of the local protocol: verbs, answered one line each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from typing import Protocol as Seam

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IAddress, IPushProducer, IReactorTime, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure as TwistedFailure
from zope.interface import implementer

from openmb.errors import FrameTooLarge, OperationError, ProtocolError, Refusal
from openmb.rpc.codec import Answer, Failure, LineReader, Notice, Request, Result, encode, parseRequest


class Notify(Seam):
    """Tells the caller of progress; once the caller is gone it does nothing."""

    def __call__(self, notice: Mapping[str, Any]) -> None:
        """Send C{notice}."""

    def whenFree(self) -> Deferred[None]:
        """Fires when the caller takes more: at once, or when it has read what it was sent."""


#: Does one request: arguments in, a result that JSON can carry out.
Verb = Callable[[Mapping[str, Any], Notify], Awaitable[Any]]

#: Requests of one connection that may be under way together.
REQUEST_LIMIT = 64

#: Bytes that may wait for a caller that does not read.
BACKLOG_LIMIT = 8 << 20


@implementer(IPushProducer)
class ServerProtocol(Protocol):
    """
    One caller's connection.

    A verb under way is cancelled when its caller goes away or C{deadline} seconds have passed.
    """

    log = Logger()

    def __init__(
        self, verbs: Mapping[str, Verb], clock: IReactorTime, deadline: float, endless: frozenset[str] = frozenset()
    ) -> None:
        self._verbs, self._clock, self._deadline, self._endless = verbs, clock, deadline, endless
        self._reader = LineReader()
        self._unanswered: set[int] = set()
        self._underWay: dict[int, Deferred[Any]] = {}
        self._paused = False
        self._backlog = 0
        self._open = False
        self._wanting: list[Deferred[None]] = []

    def connectionMade(self) -> None:
        """The caller is there: learn when it reads too slowly."""
        self._open = True
        self._transport().registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes of requests have come."""
        try:
            for line in self._reader.feed(data):
                self._begin(parseRequest(line))
        except ProtocolError as error:
            self._drop(str(error))

    def connectionLost(self, reason: TwistedFailure = connectionDone) -> None:
        """The caller is gone: nobody waits for its verbs."""
        self._open = False
        for deferred in list(self._underWay.values()):
            deferred.cancel()

    def pauseProducing(self) -> None:
        """The caller reads more slowly than it is written to."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The caller has read everything."""
        self._paused = False
        self._backlog = 0
        wanting, self._wanting = self._wanting, []
        for each in wanting:
            if not each.called:  # nor cancelled
                each.callback(None)

    def stopProducing(self) -> None:
        """The connection closes; L{connectionLost} follows."""

    def _begin(self, request: Request) -> None:
        if request.number in self._unanswered:
            raise ProtocolError(f"request {request.number} is under way already")
        if len(self._unanswered) >= REQUEST_LIMIT:
            self._send(Failure(request.number, Refusal.BUFFER_FULL, f"{REQUEST_LIMIT} requests are under way"))
            return
        self._unanswered.add(request.number)  # before it starts: it may send notices at once
        deferred = Deferred.fromCoroutine(self._perform(request))
        self._underWay[request.number] = deferred
        if self._deadline > 0 and request.verb not in self._endless:
            deferred.addTimeout(self._deadline, self._clock)
        deferred.addBoth(self._finish, request)

    async def _perform(self, request: Request) -> Any:
        if request.verb not in self._verbs:
            known = ", ".join(sorted(self._verbs))
            raise OperationError(Refusal.BAD_REQUEST, f"no verb {request.verb!r}; there are: {known}")
        return await self._verbs[request.verb](request.arguments, _Notices(self, request.number))

    def notify(self, number: int, notice: Mapping[str, Any]) -> None:
        """A notice of the request C{number}, unless it is answered."""
        if number in self._unanswered:
            self._send(Notice(number, notice))

    def whenFree(self) -> Deferred[None]:
        """See L{Notify}."""
        free: Deferred[None] = Deferred()
        if self._paused:
            self._wanting.append(free)
        else:
            free.callback(None)
        return free

    def _finish(self, result: Any, request: Request) -> None:
        self._unanswered.discard(request.number)
        self._underWay.pop(request.number, None)
        if not isinstance(result, TwistedFailure):
            self._send(Result(request.number, result))
        else:
            self._send(self._explain(result, request))

    def _explain(self, failure: TwistedFailure, request: Request) -> Failure:
        error = failure.value
        if isinstance(error, OperationError):
            return Failure(request.number, error.refusal, error.reason)
        if failure.check(CancelledError, DeferredTimeout):
            return Failure(request.number, Refusal.DEADLINE, f"{request.verb} took too long")
        self.log.failure("{verb} failed", failure=failure, verb=request.verb)
        return Failure(request.number, Refusal.ENGINE_FAILED, f"{request.verb} failed unexpectedly: {error!r}")

    def _send(self, answer: Answer) -> None:
        if not self._open:
            return
        line = self._line(answer)
        self._transport().write(line)
        self._backlog += len(line) if self._paused else 0
        if self._backlog > BACKLOG_LIMIT:
            self._drop(f"{self._backlog} bytes wait for a caller that does not read")

    def _line(self, answer: Answer) -> bytes:
        try:
            return encode(answer)
        except (FrameTooLarge, TypeError, ValueError) as error:
            self.log.error("answer cannot be sent: {error}", error=error)
            return encode(Failure(answer.number, Refusal.ENGINE_FAILED, f"the answer cannot be sent: {error}"))

    def _drop(self, reason: str) -> None:
        self.log.warn("closing a control connection: {reason}", reason=reason)
        self._open = False
        self._transport().abortConnection()

    def _transport(self) -> Any:
        transport: ITransport | None = self.transport
        return transport


class _Notices:
    """The notices of one request."""

    def __init__(self, caller: ServerProtocol, number: int) -> None:
        self._caller, self._number = caller, number

    def __call__(self, notice: Mapping[str, Any]) -> None:
        self._caller.notify(self._number, notice)

    def whenFree(self) -> Deferred[None]:
        """See L{Notify}."""
        return self._caller.whenFree()


class ServerFactory(Factory):
    """
    Makes a L{ServerProtocol} for each caller.

    @param verbs: what can be asked for.
    @param deadline: seconds that one request may take; 0: without limit (the verbs have their own).
    @param endless: verbs that take as long as their caller likes.
    """

    noisy = False

    def __init__(
        self,
        verbs: Mapping[str, Verb],
        clock: IReactorTime,
        deadline: float = 3600.0,
        endless: frozenset[str] = frozenset(),
    ) -> None:
        self._verbs, self._clock, self._deadline, self._endless = verbs, clock, deadline, endless

    def buildProtocol(self, addr: IAddress | None) -> ServerProtocol:
        """A protocol for one more caller."""
        protocol = ServerProtocol(self._verbs, self._clock, self._deadline, self._endless)
        protocol.factory = self
        return protocol
