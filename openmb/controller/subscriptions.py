"""
Introspection events on their way from middleboxes to applications.

A subscription wants some events of one middlebox, or of all of them, about some flows.  It outlives the connections of
middleboxes: whoever registers is asked again.  What its application does not take waits in a bounded queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.logger import Logger

from openmb.controller.happenings import Happened, Happening, Lost, Refused, Returned, Went, sizeOf
from openmb.controller.questions import Questions
from openmb.controller.registry import Registry, Session
from openmb.errors import InvalidHeaderFields, OperationError, Refusal
from openmb.state.headers import HeaderFieldList
from openmb.wire import messages as m

#: Subscriptions at most, bytes that wait for each, bytes that it is handed at once.
SUBSCRIPTIONS, QUEUE_LIMIT, HANDED = 64, 4 << 20, 64 << 10
#: In place of a middlebox's name: all of them, those that come later too.
ALL = "*"


class Subscription:
    """
    One application's stream.

    @ivar middlebox: a name, or C{*}.
    @ivar lost: how many events it has missed so far, as far as anybody knows.
    @ivar taken: how many it was handed.
    """

    def __init__(self, identifier: int, middlebox: str, events: tuple[str, ...], flows: str) -> None:
        self.identifier, self.middlebox, self.events, self.flows = identifier, middlebox, events, flows
        self.lost = self.taken = 0
        self._waiting: deque[tuple[Happening, int]] = deque()
        self._size = self._dropped = 0
        self._expected: dict[str, tuple[bytes, int]] = {}
        self._reader: Deferred[None] | None = None
        self._over = False

    @property
    def request(self) -> m.EnableEvents:
        """What its middleboxes are asked."""
        return m.EnableEvents(self.identifier, self.events, self.flows)

    def wants(self, name: str) -> bool:
        """Is the middlebox C{name} one of its?"""
        return self.middlebox in (ALL, name)

    def add(self, happening: Happening) -> None:
        """One more for the application; the oldest go if there is no room, and are counted."""
        if self._over:
            return
        size = sizeOf(happening)
        self._waiting.append((happening, size))
        self._size += size
        while self._size > QUEUE_LIMIT:
            oldest, cost = self._waiting.popleft()
            self._size -= cost
            self._dropped += oldest.number if isinstance(oldest, Lost) else isinstance(oldest, Happened)
        self._wake()

    def received(self, session: Session, message: m.Events) -> None:
        """Events of one middlebox; a number that was passed over has been lost on the way."""
        incarnation, expected = self._expected.get(session.name, (session.hello.incarnation, 0))
        if incarnation == session.hello.incarnation and message.first > expected:
            self.add(Lost(session.name, message.first - expected))
        self._expected[session.name] = session.hello.incarnation, message.first + len(message.events)
        for event in message.events:
            self.add(Happened(session.name, event))

    async def next(self) -> list[Happening]:
        """What waits, the oldest first, not all of it if it is much; nothing: the subscription has ended."""
        while not self._waiting and not self._over:
            self._reader = Deferred()
            await self._reader
        return list(self._take())

    def _take(self) -> Iterator[Happening]:
        if self._dropped:
            self.lost += self._dropped
            yield Lost(None, self._dropped)
            self._dropped = 0
        handed = 0
        while self._waiting and handed < HANDED:
            happening, size = self._waiting.popleft()
            self._size -= size
            handed += size
            self.lost += happening.number if isinstance(happening, Lost) else 0
            self.taken += isinstance(happening, Happened)
            yield happening

    def end(self) -> None:
        """No more comes; what waits can still be taken."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.called:
            reader, self._reader = self._reader, None
            reader.callback(None)


class Subscriptions:
    """
    All subscriptions of a controller.

    @param identify: makes their ids.
    """

    log = Logger()

    def __init__(self, registry: Registry, questions: Questions, identify: Callable[[], int]) -> None:
        self._registry, self._questions, self._identify = registry, questions, identify
        self._open: dict[int, Subscription] = {}

    async def open(self, middlebox: str, events: Sequence[str], flows: str) -> Subscription:
        """
        Subscribe.  With a middlebox's name its answer is waited for; of all of them, who refuses is told in the stream,
        unless all do.

        @raise OperationError: the middlebox is not there or refuses; the flows make no sense; too many subscriptions.
        """
        sessions = list(self._registry) if middlebox == ALL else [self._registry.find(middlebox)]
        if len(self._open) >= SUBSCRIPTIONS:
            raise OperationError(Refusal.BUFFER_FULL, f"there are {SUBSCRIPTIONS} subscriptions")
        try:
            text = str(HeaderFieldList.parse(flows))
        except InvalidHeaderFields as error:
            raise OperationError(Refusal.BAD_REQUEST, str(error)) from error
        subscription = Subscription(self._identify(), middlebox, tuple(events), text)
        self._open[subscription.identifier] = subscription
        try:
            await self._begin(subscription, sessions)
        except (OperationError, CancelledError):
            self.close(subscription)
            raise
        return subscription

    async def _begin(self, subscription: Subscription, sessions: list[Session]) -> None:
        if subscription.middlebox != ALL:
            await self._questions.ask(sessions[0], subscription.request)
            return
        asking = [Deferred.fromCoroutine(self._enable(subscription, session)) for session in sessions]
        try:
            refusals = await gatherResults(asking, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        said = [each for each in refusals if each is not None and each.refusal is Refusal.BAD_REQUEST]
        if said and len(said) == len(sessions):
            # nobody there can ever announce that: a mistake, and not to be waited on
            reasons = sorted(f"{session.name}: {each.reason}" for session, each in zip(sessions, said, strict=True))
            raise OperationError(Refusal.BAD_REQUEST, "; ".join(reasons))

    async def _enable(self, subscription: Subscription, session: Session) -> OperationError | None:
        """Ask a middlebox whose refusal ends nothing by itself; the refusal."""
        try:
            await self._questions.ask(session, subscription.request)
        except OperationError as error:
            if error.refusal is not Refusal.DISCONNECTED:
                subscription.add(Refused(session.name, error.refusal, error.reason))
            return error
        return None

    def find(self, identifier: int) -> Subscription:
        """
        The subscription with that id.

        @raise OperationError: there is none.
        """
        if identifier not in self._open:
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"no subscription {identifier:016x}")
        return self._open[identifier]

    def close(self, subscription: Subscription) -> None:
        """It ends, whoever wants it to: its application has gone, or does not want it any more."""
        if self._open.pop(subscription.identifier, None) is None:
            return
        subscription.end()
        for session in self._registry:
            if subscription.wants(session.name):
                session.send(m.DisableEvents(subscription.identifier))

    def closeAll(self) -> None:
        """The controller ends."""
        for subscription in tuple(self._open.values()):
            self.close(subscription)

    # -- middleboxes

    def sessionOpened(self, session: Session) -> None:
        """Ask whoever registers for what is wanted of it."""
        for subscription in self._open.values():
            if subscription.wants(session.name):
                subscription.add(Returned(session.name))
                asking = Deferred.fromCoroutine(self._enable(subscription, session))
                asking.addErrback(lambda failure: self.log.failure("asking for events", failure))

    def sessionClosed(self, session: Session) -> None:
        """Its events wait at the middlebox, for a while."""
        for subscription in self._open.values():
            if subscription.wants(session.name):
                subscription.add(Went(session.name))

    def received(self, session: Session, message: m.Events) -> None:
        """Events; those that nobody wants any more are not to come again."""
        subscription = self._open.get(message.operation)
        if subscription is None or not subscription.wants(session.name):
            session.send(m.DisableEvents(message.operation))
        else:
            subscription.received(session, message)
