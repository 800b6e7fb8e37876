"""
The Twisted protocol of both ends: moves bytes between a transport and a L{Connection}.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from openmb.errors import OpenMBError, OperationError, ProtocolError
from openmb.ratelimitedlog import RateLimitedLog
from openmb.southbound.connection import Connection, State
from openmb.southbound.link import Link, Receiver, Transport, addressOf, hostOf, printable
from openmb.southbound.pressure import Pressure, bytesTaken
from openmb.wire.messages import Goodbye, Hello, Message, Refused, Welcome

#: Seconds between two looks at the clock.
TICK = 0.5
#: Seconds that a peer has to take the last bytes before the connection is cut.
LINGER = 5.0


class ConnectionFailed(OpenMBError):
    """A connection ended before its session was open."""


@implementer(IPushProducer, IHandshakeListener)
class SouthboundProtocol(Protocol):
    """
    One connection, either end; it is the L{Link} of its receiver.

    @param makeReceiver: makes the receiver of this link.
    @param log: of what peers cause, the same for all connections.
    @param hello: (middlebox) makes the HELLO to send first.
    @param admit: (controller) raises L{OperationError} when a HELLO is not to be welcomed.
    @ivar by: who is told apart in the log: the peer's host, and its name once it has said who it is.
    @ivar secured: the TLS hand-shake is over; at the controller, the peer's certificate is then found good.
    """

    transport: Transport  # type: ignore[assignment]

    def __init__(
        self,
        connection: Connection,
        makeReceiver: Callable[[Link], Receiver],
        clock: IReactorTime,
        log: RateLimitedLog,
        hello: Callable[[], Hello] | None = None,
        admit: Callable[[Hello, Transport], None] | None = None,
    ) -> None:
        self.writable = True
        self.whenWritable: Callable[[], None] = _nothing
        self.peer = self.by = "nobody"
        self._log = log
        self.secured = False
        self._connection, self._clock, self._hello, self._admit = connection, clock, hello, admit
        self._receiver = makeReceiver(self)
        self._reason: str | None = None
        self._opened = False
        self._waiting: list[Deferred[None]] = []
        self._lost = False
        self._pressure = Pressure(lambda: bytesTaken(self.transport))
        self._mourning: list[Deferred[None]] = []
        self._ticker = LoopingCall(self._tick)
        self._ticker.clock = clock
        self._cut: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start the clock of the hand-shake; a middlebox sends HELLO."""
        self.peer, self.by = addressOf(self.transport), hostOf(self.transport)
        self.transport.registerProducer(self, True)
        self._ticker.start(TICK)
        if self._hello is not None:
            self._write(self._connection.send(self._hello()))

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        self.secured = True

    def dataReceived(self, data: bytes) -> None:
        """Deliver the messages in C{data}; a peer that breaks the protocol is dropped."""
        try:
            for message in self._connection.receiveData(data):
                self._dispatch(message)
        except ProtocolError as error:
            self._drop(str(error))
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever waits."""
        self.writable = False
        text = self._reason or describeLoss(reason)
        if self._ticker.running:
            self._ticker.stop()
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        if self._opened:
            self._log.info("session with {peer} has ended: {reason}", self.by, peer=self.peer, reason=text)
            self._receiver.disconnected(text)
        elif self._reason is None:
            line = "connection with {peer} ended before its session: {reason}"
            self._log.warn(line, self.by, peer=self.peer, reason=text)
        self._reason, self._lost = text, True
        self._answer()
        for each in self._mourning:
            each.callback(None)

    def send(self, message: Message) -> None:
        """See L{Link}."""
        if self._connection.state is not State.CLOSED and self._reason is None:
            self._write(self._connection.send(message))

    @property
    def piled(self) -> int:
        """See L{Link}."""
        return self._pressure.piled

    def _write(self, data: bytes) -> None:
        """Everything goes this way: what the peer does not take waits in memory, but not without end."""
        self.transport.write(data)
        try:
            self._pressure.wrote(len(data))
        except ProtocolError as error:
            if self._reason is None:
                self.cut(str(error))

    def cut(self, reason: str) -> None:
        """Drop the connection at once, with a line in the log."""
        self._drop(reason, linger=0)

    def close(self, reason: str) -> None:
        """See L{Link}."""
        self.send(Goodbye(reason))
        self._end(reason, LINGER if self._opened else 0)

    @property
    def certificate(self) -> x509.Certificate | None:
        """The peer's, while its session is open and not closing."""
        if not self._opened or self._reason is not None or self._lost:
            return None
        shown = self.transport.getPeerCertificate()
        return None if shown is None else shown.to_cryptography()

    def whenOpen(self) -> Deferred[None]:
        """Fires when the session is open; fails with L{ConnectionFailed} when the connection ends before."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if self._opened or self._reason is not None:
            self._answer()
        return waiting

    def whenLost(self) -> Deferred[None]:
        """Fires when the connection is gone."""
        mourning: Deferred[None] = Deferred()
        if self._lost:
            mourning.callback(None)
        else:
            self._mourning.append(mourning)
        return mourning

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self.writable = False
        self._pressure.full(self._clock.seconds())

    def resumeProducing(self) -> None:
        """The transport's buffer has room."""
        self.writable = True
        self._pressure.empty()
        self.whenWritable()

    def stopProducing(self) -> None:
        """The transport is going away."""
        self.writable = False

    def _dispatch(self, message: Message) -> None:
        match message:
            case Hello():
                self._greet(message)
            case Welcome():
                self._open(message)
            case Goodbye(reason):
                self._end(f"the peer said goodbye: {printable(reason)}")
            case Refused(reason=reason) if not self._opened:
                self._drop(f"refused by the peer: {printable(reason)}")
            case _:
                self._receiver.messageReceived(message)

    def _greet(self, hello: Hello) -> None:
        try:
            if self._admit is not None:
                self._admit(hello, self.transport)
        except OperationError as error:
            self._write(self._connection.refuse(error.refusal, error.reason))
            self._drop(error.reason)
        else:
            self.peer, self.by = f"{hello.name} ({hello.kind}) at {self.peer}", hello.name
            self._write(self._connection.welcome())
            self._open(hello)

    def _open(self, peer: Hello | Welcome) -> None:
        self._opened = True
        self._log.info("session with {peer} is open", self.by, peer=self.peer)
        self._answer()
        self._receiver.connected(peer)

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if self._opened:
                each.callback(None)
            else:
                each.errback(ConnectionFailed(self._reason))

    def _tick(self) -> None:
        now = self._clock.seconds()
        try:
            self._pressure.timePassed(now)
            for data in self._connection.timePassed(now):
                self._write(data)
        except ProtocolError as error:
            self._drop(str(error), linger=0)

    def _flush(self) -> None:
        if data := self._connection.dataToSend():
            self._write(data)

    def _drop(self, reason: str, linger: float = LINGER) -> None:
        self._log.warn("dropping {peer}: {reason}", self.by, peer=self.peer, reason=reason)
        self._flush()
        self._end(reason, linger)

    def _end(self, reason: str, linger: float = LINGER) -> None:
        if self._reason is None:
            self._reason = reason
            if self._ticker.running:
                self._ticker.stop()
            self._cut = self._clock.callLater(linger, self.transport.abortConnection)
            self.transport.unregisterProducer()
            self.transport.loseConnection()


def unlessLogged(failure: Failure) -> Failure | None:
    """An errback for L{SouthboundProtocol.whenOpen}: the protocol itself has logged why its connection ended."""
    return None if isinstance(failure.value, ConnectionFailed) else failure


def describeLoss(reason: Failure) -> str:
    """Why a transport closed, in words: what TLS complained about rather than its numbers."""
    error = reason.value
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return _explain("TLS: " + ", ".join(entry[-1] for entry in error.args[0]))
    return str(reason.getErrorMessage())


def _explain(text: str) -> str:
    """TLS tells who was refused no more than that."""
    refused = "alert" in text and any(each in text for each in ("certificate", "unknown ca", "internal error"))
    return f"{text} (the peer does not take the certificate of this end; its log says why)" if refused else text


def _nothing() -> None:
    """What happens when nobody waits for a link to become writable."""
