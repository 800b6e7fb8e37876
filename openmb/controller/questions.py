"""
What the controller asks middleboxes beside operations: each question waits for its answer, a refusal, or its deadline.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from openmb.controller.registry import Session
from openmb.errors import OperationError, Refusal
from openmb.wire import messages as m

#: How long a middlebox may take to answer a question, in seconds.
ANSWER_TIME = 10.0

Question = m.Stats | m.GetConfiguration | m.SetConfiguration | m.DeleteConfiguration | m.EnableEvents | m.Learn
Answer = m.StatsAnswer | m.ConfigurationAnswer | m.Configured | m.EventsEnabled | m.Learned
#: What answers each of them.
ANSWERS: dict[type[Question], type[Answer]] = {
    m.Stats: m.StatsAnswer,
    m.GetConfiguration: m.ConfigurationAnswer,
    m.SetConfiguration: m.Configured,
    m.DeleteConfiguration: m.Configured,
    m.EnableEvents: m.EventsEnabled,
    m.Learn: m.Learned,
}


class Questions:
    """The questions that are not answered yet, by middlebox and id."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[tuple[str, int], tuple[type[Answer], Deferred[Answer]]] = {}

    async def ask(self, session: Session, question: Question) -> Answer:
        """
        Ask; the answer.

        @raise OperationError: the middlebox refuses, goes away, or does not answer in time.
        """
        waiting: Deferred[Answer] = Deferred()
        key = session.name, question.operation
        self._waiting[key] = ANSWERS[type(question)], waiting
        waiting.addTimeout(ANSWER_TIME, self._clock, lambda *_: self._unanswered(*key))
        session.send(question)
        return await waiting

    def answered(self, session: Session, message: m.Message) -> bool:
        """Was C{message} of C{session} the answer to a question, or its refusal?"""
        key = session.name, int(getattr(message, "operation", 0))
        if key not in self._waiting:
            return False
        expected, waiting = self._waiting[key]
        if isinstance(message, m.Refused):
            del self._waiting[key]
            waiting.errback(OperationError(message.refusal, message.reason))
        elif isinstance(message, expected):
            del self._waiting[key]
            waiting.callback(message)
        else:
            return False
        return True

    def closed(self, session: Session) -> None:
        """The session of a middlebox is over: it answers nothing any more."""
        for key in [key for key in self._waiting if key[0] == session.name]:
            reason = f"middlebox {session.name} has disconnected"
            self._waiting.pop(key)[1].errback(OperationError(Refusal.DISCONNECTED, reason))

    def _unanswered(self, name: str, identifier: int) -> Answer:
        self._waiting.pop((name, identifier), None)
        raise OperationError(Refusal.DEADLINE, f"{name} did not answer within {ANSWER_TIME:g} s")
