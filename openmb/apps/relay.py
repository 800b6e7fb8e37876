"""
Tells each of several middleboxes what the others announce: what one has put out the others do not put out again.

State that several flows share cannot be divided with them: after a split both instances may discover the same fact.
Every announcement of one is told to the others (C{tell}); what still stands twice was found by both within the time
that telling takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred, FirstError, gatherResults

from openmb.errors import FrameTooLarge, OperationError, Refusal

#: Events that wait to be told to one middlebox; more: the oldest are given up, and counted.
QUEUE_LIMIT = 65_536
#: Events that are told at once, and seconds that this may take.
BATCH, PATIENCE = 256, 15.0
#: Telling failed: seconds until the next attempt.
PAUSE = 1.0
#: A middlebox that is told later.
_AWAY = frozenset((Refusal.DISCONNECTED, Refusal.DEADLINE, Refusal.UNKNOWN_MIDDLEBOX))
#: One that has too much to do is told later, too, but if so many attempts change nothing it cannot take these.
TRIES = 30


class Northbound(Protocol):
    """The northbound interface, as C{openmb.rpc.client.RPCClient} is one."""

    async def call(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        timeout: float | None,  # noqa: ASYNC109 - on a clock of its own, not asyncio's
        onNotice: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Any:
        """Ask for C{verb}; the reply's result."""


@dataclass(slots=True)
class Told:
    """
    What became of the events of all others for one middlebox.

    @ivar events: that it was told; C{news}: that it had not known.
    @ivar lost: that it will not be told: they were lost on the way here, given up because it was too slow or away too
        long, or it could make nothing of them.
    @ivar reason: why it was not told at last; empty: it was.
    """

    events: int = 0
    news: int = 0
    lost: int = 0
    reason: str = ""


class _Listener:
    """
    One of those who are told, with what it has not been told yet.

    @ivar most: events that it is told at once: fewer after a refusal, until it has taken some again.
    """

    def __init__(self, name: str) -> None:
        self.name, self.told = name, Told()
        self.waiting: deque[dict[str, Any]] = deque()
        self.busy = False
        self.most = BATCH
        self._full = 0

    def add(self, event: dict[str, Any]) -> None:
        """One more."""
        self.waiting.append(event)
        if len(self.waiting) > QUEUE_LIMIT:
            self.waiting.popleft()
            self.told.lost += 1

    def isLater(self, refusal: Refusal) -> bool:
        """Is it to be told the same again?"""
        self._full += refusal is Refusal.BUFFER_FULL
        return refusal in _AWAY or (refusal is Refusal.BUFFER_FULL and self._full <= TRIES)

    def accepted(self, some: list[dict[str, Any]], news: int) -> None:
        """It was told these."""
        self.told.news += news
        self.told.events, self.told.reason = self.told.events + len(some), ""
        self.most, self._full = min(2 * self.most, BATCH), 0

    def refused(self, some: list[dict[str, Any]], reason: str, isLater: bool) -> None:
        """
        It was not: they wait, in their order.

        @param isLater: it is told the same again.  Else one of them is at fault, or they are too long together, so it
            is told half as many; a single one is given up.
        """
        self.told.reason = reason
        if len(some) == 1 and not isLater:
            self.told.lost += 1
            return
        self.waiting.extendleft(reversed(some))
        if not isLater:
            self.most = len(some) // 2


class Relay:
    """
    One relay; it ends with L{stop}.

    @param controller: the northbound interface.
    @param names: the middleboxes, all of one kind.
    @param events: names of events; none: all.
    @param pause: lets so many seconds pass.
    @param begun: is told when every subscription has begun.
    @ivar told: by middlebox.
    """

    def __init__(
        self,
        controller: Northbound,
        names: Sequence[str],
        events: Sequence[str],
        pause: Callable[[float], Deferred[None]],
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        self._begun = begun
        self._controller, self._events, self._pause = controller, list(events), pause
        self._listeners = {name: _Listener(name) for name in names}
        self._subscriptions: dict[str, str] = {}
        self._over = False

    @property
    def told(self) -> dict[str, Told]:
        """What each was told so far."""
        return {name: each.told for name, each in self._listeners.items()}

    @property
    def waiting(self) -> int:
        """Events that somebody is still to be told, those under way not counted."""
        return sum(len(each.waiting) for each in self._listeners.values())

    @property
    def ready(self) -> bool:
        """Has every subscription begun?"""
        return len(self._subscriptions) == len(self._listeners)

    async def check(self) -> None:
        """
        Can every middlebox learn anything?

        @raise OperationError: one is not there, or its kind learns nothing.
        """
        for name in self._listeners:
            await self._controller.call("tell", {"middlebox": name, "events": []}, PATIENCE)

    async def run(self) -> None:
        """
        Relay until L{stop}, or until a subscription ends.

        @raise OperationError: one cannot begin: no such middlebox or event.
        """
        try:
            await gatherResults(
                [Deferred.fromCoroutine(self._follow(name)) for name in self._listeners], consumeErrors=True
            )
        except FirstError as error:
            error.subFailure.raiseException()
        finally:
            self._over = True

    async def stop(self) -> None:
        """
        End the subscriptions.

        @raise OperationError: the controller is gone; they have ended with it.
        """
        self._over = True
        for subscription in self._subscriptions.values():
            await self._controller.call("unsubscribe", {"subscription": subscription}, PATIENCE)

    async def _follow(self, name: str) -> None:
        what = {"middlebox": name, "events": self._events, "flows": "*"}
        await self._controller.call("subscribe", what, None, lambda notice: self._noticed(name, notice))

    def _noticed(self, name: str, notice: Mapping[str, Any]) -> None:
        others = [each for each in self._listeners.values() if each.name != name]
        if "subscription" in notice:
            self._subscriptions[name] = str(notice["subscription"])
            if self.ready:
                self._begun()
        elif "lost" in notice:
            for each in others:
                each.told.lost += int(notice["lost"])
        elif "event" in notice:
            for each in others:
                each.add({"event": notice["event"], "stamp": notice["stamp"], "fields": notice["fields"]})
                self._serve(each)

    def _serve(self, listener: _Listener) -> None:
        """See to it that somebody tells it what waits."""
        if not listener.busy and not self._over:
            listener.busy = True
            Deferred.fromCoroutine(self._tell(listener)).addErrback(self._threw, listener)

    def _threw(self, failure: Any, listener: _Listener) -> None:
        listener.busy, listener.told.reason = False, failure.getErrorMessage()

    async def _tell(self, listener: _Listener) -> None:
        while listener.waiting and not self._over:
            some = [listener.waiting.popleft() for _ in range(min(listener.most, len(listener.waiting)))]
            try:
                news = await self._controller.call("tell", {"middlebox": listener.name, "events": some}, PATIENCE)
            except (OperationError, FrameTooLarge) as error:
                isLater = isinstance(error, OperationError) and listener.isLater(error.refusal)
                listener.refused(some, str(error), isLater)
                if isLater:
                    await self._pause(PAUSE)
            else:
                listener.accepted(some, news)
        listener.busy = False
