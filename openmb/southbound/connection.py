"""
One southbound connection without socket or clock: bytes in, messages out, and the other way round.

What is legal when is in one table, L{LEGAL}.  A broken connection stays broken: every later call raises the same
reason.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from openmb.errors import ProtocolError, Refusal
from openmb.southbound.keepalive import KeepAlive
from openmb.wire.codec import decodeFrame, encode
from openmb.wire.formats import BY_CLASS, CATALOGUE, HIGHEST_VERSION, LOWEST_VERSION, End
from openmb.wire.framing import BODY_LIMIT, Deframer, Frame
from openmb.wire.messages import Goodbye, Hello, Message, MessageType, Ping, Pong, Refused, Welcome
from openmb.wire.session import NO_SECRET


class State(enum.Enum):
    """Where a connection is."""

    WAITING = "waiting"  # for HELLO at the controller, for WELCOME at a middlebox
    OPEN = "open"
    CLOSED = "closed"  # by GOODBYE, a refusal, or an error


def _sentBy(end: End, *without: MessageType) -> frozenset[MessageType]:
    return frozenset(type for type, entry in CATALOGUE.items() if end in entry.senders) - set(without)


#: Which messages an end takes in which state; anything else breaks the connection.
LEGAL: Mapping[tuple[End, State], frozenset[MessageType]] = {
    (End.CONTROLLER, State.WAITING): frozenset({MessageType.HELLO}),
    (End.CONTROLLER, State.OPEN): _sentBy(End.MIDDLEBOX, MessageType.HELLO),
    (End.MIDDLEBOX, State.WAITING): frozenset({MessageType.WELCOME, MessageType.REFUSED, MessageType.GOODBYE}),
    (End.MIDDLEBOX, State.OPEN): _sentBy(End.CONTROLLER, MessageType.WELCOME),
}
_OTHER = {End.CONTROLLER: End.MIDDLEBOX, End.MIDDLEBOX: End.CONTROLLER}
#: What an end that waits may send beside what the other end waits for.
_ANY_TIME = frozenset({MessageType.REFUSED, MessageType.GOODBYE})


@dataclass(slots=True)
class SessionMemory:
    """
    What a middlebox knows from its earlier connections.

    @ivar highest: the highest controller epoch that it has seen.
    @ivar secret: what the last WELCOME said; HELLO shows it.
    """

    highest: int = 0
    secret: bytes = NO_SECRET


def _noSecret(hello: Hello) -> bytes:
    """A controller that gives no secrets."""
    return NO_SECRET


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What an end brings to its connections.

    @ivar epoch: (controller) its epoch.
    @ivar keepAlive: (controller) seconds of silence before a PING.
    @ivar secretOf: (controller) the secret of who says a HELLO, see C{docs/protocol.md}.
    @ivar memory: (middlebox) what it knows from its connections before.
    @ivar lowest: @ivar highest: protocol versions spoken.
    @ivar bodyLimit: bytes of a frame's body.
    @ivar deadline: seconds until the hand-shake, TLS included, must be over.
    """

    epoch: int = 0
    keepAlive: float = 5.0
    secretOf: Callable[[Hello], bytes] = _noSecret
    memory: SessionMemory = field(default_factory=SessionMemory)
    lowest: int = LOWEST_VERSION
    highest: int = HIGHEST_VERSION
    bodyLimit: int = BODY_LIMIT
    deadline: float = 10.0


class Connection:
    """
    One end of a connection.  The controller's end waits for HELLO and answers with L{welcome} or L{refuse}; the
    middlebox's end sends its HELLO first.

    @ivar state: where it is.
    @ivar version: the protocol version agreed on; 0 before.
    """

    def __init__(self, role: End, terms: Terms | None = None) -> None:
        self.role = role
        self.state = State.WAITING
        self.version = 0
        self._terms = terms or Terms()
        self._deframer = Deframer(self._terms.bodyLimit)
        self._peer: Hello | None = None
        self._replies: list[bytes] = []
        self._broken: str | None = None
        self._life = KeepAlive(self._terms.deadline)

    def receiveData(self, data: bytes) -> Iterator[Message]:
        """
        Take C{data} at once; messages come out as the answer is iterated, PING and PONG excepted.  After it look at
        L{dataToSend}.

        @raise ProtocolError: while iterating, after the good messages before the bad one.
        """
        self._life.heard = True
        return self._messages(data)

    def _messages(self, data: bytes) -> Iterator[Message]:
        if self._broken is not None:
            raise ProtocolError(self._broken)
        if self._closed():
            return
        try:
            for frame in self._deframer.feed(data):
                message = self._take(self._decode(frame), frame.header.type)
                if message is not None:
                    yield message
                if self._closed():
                    return
        except ProtocolError as error:
            self._break(str(error))
            raise

    def send(self, message: Message) -> bytes:
        """
        The bytes of C{message}; a HELLO shows the secret of the sessions before.

        @raise ProtocolError: it cannot be encoded, or this end may not send it now; the connection lives on.
        """
        type = BY_CLASS[message.__class__].type
        if self.state is State.CLOSED or type not in LEGAL[_OTHER[self.role], self.state] | _ANY_TIME:
            raise ProtocolError(f"the {self.role.value} may not send {type.name} when {self.state.value}")
        if isinstance(message, Hello):
            message = replace(message, secret=self._terms.memory.secret)
        data = encode(message, self._terms.bodyLimit)
        if isinstance(message, Goodbye):
            self.state = State.CLOSED
        return data

    def welcome(self) -> bytes:
        """
        Accept the HELLO that was received: the session is open.

        @raise ProtocolError: there was none, or it was answered before.
        """
        if self._peer is None or self.state is not State.WAITING:
            raise ProtocolError(f"there is no HELLO to welcome when {self.state.value}")
        interval = round(self._terms.keepAlive * 1000)
        data = self.send(Welcome(self.version, self._terms.epoch, interval, self._terms.secretOf(self._peer)))
        self._open(interval)
        return data

    def refuse(self, refusal: Refusal, reason: str) -> bytes:
        """Refuse the hand-shake: the bytes of REFUSED; the connection is closed."""
        request = MessageType.HELLO if self.role is End.CONTROLLER else MessageType.WELCOME
        data = self.send(Refused(0, request, refusal, reason))
        self.state = State.CLOSED
        return data

    def dataToSend(self) -> bytes:
        """The bytes that this end owes the peer by itself (PONG, a refusal), once."""
        data = b"".join(self._replies)
        self._replies.clear()
        return data

    def timePassed(self, now: float) -> list[bytes]:
        """
        It is C{now} (seconds, any clock that does not step back); call it about once a second.

        @return: what to send: a PING, or nothing.
        @raise ProtocolError: the hand-shake or the answer to PINGs is overdue.
        """
        if self._broken is not None:
            raise ProtocolError(self._broken)
        if self.state is State.CLOSED:
            return []
        try:
            return [encode(ping) for ping in self._life.timePassed(now)]
        except ProtocolError as error:
            self._break(str(error))
            raise

    def _closed(self) -> bool:
        return self.state is State.CLOSED

    def _decode(self, frame: Frame) -> Message:
        if frame.header.type is MessageType.HELLO and self.role is End.CONTROLLER and self.state is State.WAITING:
            self._checkVersions(frame.body)
        return decodeFrame(frame, keep=self.role is End.CONTROLLER)

    def _checkVersions(self, body: memoryview) -> None:
        """Is there a version that both speak?  Every version's HELLO begins with these two; the rest may differ."""
        if len(body) >= 2 and min(body[1], self._terms.highest) < max(body[0], self._terms.lowest):
            raise self._refused(
                Refusal.UNSUPPORTED,
                f"the middlebox speaks protocol versions {body[0]} to {body[1]}, "
                f"this controller {self._terms.lowest} to {self._terms.highest}",
            )

    def _take(self, message: Message, type: MessageType) -> Message | None:
        if type not in LEGAL[self.role, self.state]:
            raise ProtocolError(f"the {self.role.value} does not take {type.name} when {self.state.value}")
        match message:
            case Ping(token):
                self._replies.append(encode(Pong(token)))
                return None
            case Pong():
                return None
            case Hello():
                self._meet(message)
            case Welcome():
                self._accept(message)
            case Goodbye():
                self.state = State.CLOSED
            case Refused() if self.state is State.WAITING:
                self.state = State.CLOSED
            case _:
                pass
        return message

    def _meet(self, hello: Hello) -> None:
        if self._peer is not None:
            raise ProtocolError("a second HELLO")
        self._peer, self.version = hello, min(hello.highest, self._terms.highest)

    def _accept(self, welcome: Welcome) -> None:
        if not self._terms.lowest <= welcome.version <= self._terms.highest:
            raise self._refused(Refusal.UNSUPPORTED, f"the controller chose protocol version {welcome.version}")
        if not welcome.keepAlive:
            raise self._refused(Refusal.BAD_REQUEST, "the controller chose a keep-alive interval of 0")
        highest = self._terms.memory.highest
        if welcome.epoch < highest:
            raise self._refused(
                Refusal.WRONG_STATE, f"controller of epoch {welcome.epoch}, but epoch {highest} has been seen"
            )
        self._terms.memory.highest, self._terms.memory.secret = welcome.epoch, welcome.secret
        self.version = welcome.version
        self._open(welcome.keepAlive)

    def _refused(self, refusal: Refusal, reason: str) -> ProtocolError:
        self._replies.append(self.refuse(refusal, reason))
        return ProtocolError(reason)

    def _open(self, interval: int) -> None:
        self.state = State.OPEN
        self._life.opened(interval / 1000)

    def _break(self, reason: str) -> None:
        self._broken, self.state = reason, State.CLOSED
