"""
What a middlebox remembers of operations that are over for it, until the controller says CLOSE.

A command that is repeated because its answer was lost is answered from here; one that makes no sense any more is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from openmb.errors import Refusal
from openmb.wire.messages import (
    Commit,
    Credit,
    Delete,
    DeleteConfiguration,
    Discard,
    Divert,
    EnableEvents,
    Finish,
    Get,
    GetConfiguration,
    Hold,
    Learn,
    Message,
    MessageType,
    OperationStatus,
    Prepare,
    Refused,
    SetConfiguration,
    Side,
    SourceGone,
    Stats,
    Unmark,
)
from openmb.wire.session import OPERATIONS_LIMIT

#: Operations that are remembered; beyond it the oldest is forgotten.
REMEMBERED = 512
#: Operations that may be under way.  Both together fit into one HELLO.
UNDER_WAY = OPERATIONS_LIMIT - REMEMBERED
#: The request a REFUSED answers, by the type of the message.
REQUESTS: Mapping[type[Message], MessageType] = {
    Prepare: MessageType.PREPARE,
    Get: MessageType.GET,
    Hold: MessageType.HOLD,
    Divert: MessageType.DIVERT,
    Finish: MessageType.FINISH,
    Commit: MessageType.COMMIT,
    Delete: MessageType.DELETE,
    Unmark: MessageType.UNMARK,
    Discard: MessageType.DISCARD,
    Stats: MessageType.STATS,
    GetConfiguration: MessageType.GET_CONFIGURATION,
    SetConfiguration: MessageType.SET_CONFIGURATION,
    DeleteConfiguration: MessageType.DELETE_CONFIGURATION,
    EnableEvents: MessageType.ENABLE_EVENTS,
    Learn: MessageType.LEARN,
}
#: What was answered, by the command that asks for it.
Answers = Mapping[type[Message], tuple[Message, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How one operation ended here.

    @ivar side: which end of it this middlebox was.
    @ivar received: @ivar sent: numbers of the last stream frames, -1 for none.
    """

    operation: int
    side: Side
    received: int
    sent: int
    answers: Answers

    @property
    def status(self) -> OperationStatus:
        """For HELLO."""
        return OperationStatus(self.operation, self.side, "ended", self.received, self.sent)

    @property
    def credit(self) -> Credit | None:
        """The other end need keep nothing of its stream any more."""
        other = Side.DESTINATION if self.side is Side.SOURCE else Side.SOURCE
        return Credit(self.operation, other, self.received) if self.received >= 0 else None

    def answer(self, command: Message) -> tuple[Message, ...]:
        """The answer to a command that comes (again) after the end."""
        if isinstance(command, SourceGone):
            return ()  # the end that it tells of has come already
        reason = f"operation {self.operation:016x} is over here"
        refused = Refused(self.operation, REQUESTS.get(type(command), 0), Refusal.WRONG_STATE, reason)
        return self.answers.get(type(command), (refused,))


class Outcomes:
    """The outcomes of the operations that are over and not closed, the oldest first."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._outcomes: dict[int, Outcome] = {}

    def __iter__(self) -> Iterator[Outcome]:
        return iter(tuple(self._outcomes.values()))

    def get(self, operation: int) -> Outcome | None:
        """How C{operation} ended, if it is remembered."""
        return self._outcomes.get(operation)

    def remember(self, outcome: Outcome) -> None:
        """One more is over."""
        self._outcomes.pop(outcome.operation, None)
        self._outcomes[outcome.operation] = outcome
        while len(self._outcomes) > self._limit:
            del self._outcomes[next(iter(self._outcomes))]

    def forget(self, operation: int) -> None:
        """CLOSE was said."""
        self._outcomes.pop(operation, None)
