"""
The two ends of an operation as the controller sees them: connected, away for a while, or dead.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from openmb.controller.registry import Registry, Session
from openmb.wire import messages as m

#: Commands that a middlebox answers whether or not it still knows the operation.
ENDING = (m.Delete, m.Unmark, m.Discard, m.Close)


class End:
    """
    One end.

    A lost connection is no death: what was sent last is sent again when the same incarnation returns.

    @ivar peer: name and incarnation.
    @ivar dead: it will not return, or stayed away for too long.
    @ivar engaged: it has answered in this operation, so it knows it, unless it gave it up.
    @ivar strayed: it has said something that was not its to say then, and the log has it.
    """

    def __init__(self, side: m.Side, peer: m.Peer, registry: Registry, clock: IReactorTime) -> None:
        self.side, self.peer, self.dead, self.engaged, self.strayed = side, peer, False, False, False
        self._registry, self._clock = registry, clock
        self._commands: list[m.Message] = []
        self._waiting: IDelayedCall | None = None

    @property
    def session(self) -> Session | None:
        """The session of this incarnation, while there is one."""
        session = self._registry.get(self.peer.name)
        return session if session is not None and session.peer == self.peer else None

    @property
    def present(self) -> bool:
        """Is it connected?"""
        return self.session is not None

    @property
    def piled(self) -> int:
        """Bytes that wait for it in memory."""
        session = self.session
        return 0 if session is None else session.piled()

    def send(self, message: m.Message) -> None:
        """Send C{message} if it is connected; a command is kept, to be repeated."""
        if not isinstance(message, m.StreamFrame | m.Credit | m.Resume):
            if not isinstance(message, m.SourceGone):
                self._commands.clear()
            self._commands.append(message)
        if (session := self.session) is not None:
            session.send(message)

    def repeat(self) -> None:
        """Send the last command again (SOURCE_GONE with the one before it)."""
        session = self.session
        for message in self._commands if session is not None else ():
            session.send(message)  # type: ignore[union-attr]

    def status(self, operation: int) -> m.OperationStatus | None:
        """What it said of C{operation} when it connected last."""
        session = self.session
        return None if session is None else session.statuses.get((operation, self.side))

    def gaveUp(self, operation: int) -> bool:
        """Did it return without an operation that it has taken part in, and that it was not told to end?"""
        ending = any(isinstance(command, ENDING) for command in self._commands)
        return self.engaged and not ending and self.status(operation) is None

    def isOver(self, operation: int) -> bool:
        """Did it say, when it connected last, that the operation is over there?"""
        status = self.status(operation)
        return status is not None and status.state == "ended"

    def away(self, grace: float, tooLong: Callable[[], None]) -> None:
        """It is not connected; call C{tooLong} unless L{returned} is called within C{grace} seconds."""
        self.returned()
        self._waiting = self._clock.callLater(grace, tooLong)

    def returned(self) -> None:
        """It is connected again, or nobody waits for it any more."""
        if self._waiting is not None and self._waiting.active():
            self._waiting.cancel()
        self._waiting = None
