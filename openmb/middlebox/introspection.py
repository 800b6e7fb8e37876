"""
Introspection events on their way from the engine to the controller.

Each subscription has a filter here: names, flows, and a bounded queue for what the controller does not take at once.
Packets never wait for it: when a queue is full its oldest events are dropped, which their numbers show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.middlebox.capabilities import Capabilities
from openmb.state.announcements import TEXT_LIMIT, Announced, Announcement, Datum, Subject
from openmb.state.flowkey import FLOW_KEY, HOST_KEY
from openmb.state.headers import HeaderFieldList
from openmb.wire import messages as m

#: Subscriptions at most; about as many bytes go into one message.
FILTERS, MESSAGE_LIMIT = 64, 64 << 10
#: What an event without its texts counts for.
_EVENT_SIZE, _FIELD_SIZE = 64, 32


@dataclass(slots=True)
class Filter:
    """
    One subscription.

    @ivar names: the events that it wants.
    @ivar limit: bytes that may wait.
    @ivar selected: how many it has selected so far; they are numbered from 0.
    """

    names: frozenset[str]
    flows: HeaderFieldList
    limit: int
    selected: int = 0
    _waiting: deque[tuple[m.Event, int]] = field(default_factory=deque)
    _size: int = 0

    def add(self, event: m.Event, size: int) -> None:
        """One more; the oldest are dropped if there is no room."""
        self._waiting.append((event, size))
        self.selected += 1
        self._size += size
        while self._size > self.limit:
            self._size -= self._waiting.popleft()[1]

    def take(self) -> tuple[int, tuple[m.Event, ...]]:
        """The oldest events that wait, as many as go into one message, and the number of the first."""
        first, taken, size = self.selected - len(self._waiting), [], 0
        while self._waiting and size < MESSAGE_LIMIT:
            event, cost = self._waiting.popleft()
            size += cost
            taken.append(event)
        self._size -= size
        return first, tuple(taken)

    @property
    def isEmpty(self) -> bool:
        """Does nothing wait?"""
        return not self._waiting


class Introspection:
    """
    The subscriptions of one middlebox.

    @param tell: takes what is wrong with an engine's events.
    @param limit: bytes that may wait for the controller, of each subscription.
    @ivar ready: does the controller take messages now?
    """

    def __init__(
        self, capabilities: Capabilities, send: Callable[[m.Message], None], tell: Callable[[str], None], limit: int
    ) -> None:
        self._capabilities, self._send, self._tell, self._limit = capabilities, send, tell, limit
        self._known = {each.name: each for each in capabilities.announcer.announcements}
        self._filters: dict[int, Filter] = {}
        self.ready: Callable[[], bool] = lambda: True

    def enable(self, identifier: int, names: Sequence[str], flows: HeaderFieldList) -> None:
        """
        Begin a subscription, or go on with it.

        @raise OperationError: no such event, flows finer than the native key, or too many subscriptions.
        """
        wanted = frozenset(names or self._known)
        if unknown := sorted(wanted - self._known.keys()):
            have = ", ".join(sorted(self._known)) or "none"
            raise OperationError(Refusal.BAD_REQUEST, f"no event {unknown[0]!r}; there are: {have}")
        self._capabilities.perflow.check(flows)
        present = self._filters.get(identifier)
        if present is not None and (present.names, present.flows) == (wanted, flows):
            return
        if present is None and len(self._filters) >= FILTERS:
            raise OperationError(Refusal.BUFFER_FULL, f"there are {FILTERS} subscriptions")
        self._filters[identifier] = Filter(wanted, flows, self._limit)
        self._listen()

    def disable(self, identifier: int) -> None:
        """End a subscription, if there is one."""
        if self._filters.pop(identifier, None) is not None:
            self._listen()

    def disableAll(self) -> None:
        """End all: whoever wanted them is gone."""
        if self._filters:
            self._filters.clear()
            self._listen()

    def _listen(self) -> None:
        wanted: frozenset[str] = frozenset().union(*(each.names for each in self._filters.values()))
        self._capabilities.announcer.listen(wanted, self._announced)

    def _announced(self, events: Sequence[Announced]) -> None:
        """The engine announces; what is wrong with that is told, and costs only the event."""
        good = [event for event in events if self._isGood(event)]
        for each in self._filters.values():
            chosen = [event for event in good if event.name in each.names]
            for event in _selected(each.flows, chosen, self._known):
                each.add(*_packed(event, self._known[event.name]))

    def _isGood(self, event: Announced) -> bool:
        known = self._known.get(event.name)
        isFitting = known is not None and known.fits(event.values) and len(event.key) == _KEY_SIZES[known.subject]
        if isFitting and -(1 << 63) <= event.stamp < 1 << 63:
            return True
        self._tell(f"the engine's event {event.name!r} is not as it was declared")
        return False

    def learn(self, events: Sequence[m.Event]) -> int:
        """
        Others have announced these; how many are news to the engine.

        @raise OperationError: one of them is no event of this kind, or the engine can make nothing of it; then nothing
            is learned.
        """
        return self._capabilities.learner.learn([self._unpacked(event) for event in events])

    def _unpacked(self, event: m.Event) -> Announced:
        known, names = self._known.get(event.name), tuple(each.name for each in event.fields)
        values = tuple(each.value for each in event.fields)
        if known is None or names != tuple(each.name for each in known.fields) or not known.fits(values):
            raise OperationError(Refusal.BAD_REQUEST, f"{event.name!r} with these fields is no event of this kind")
        return Announced(event.name, event.stamp, b"", values)

    def flush(self) -> None:
        """Send what waits, as long as the controller takes it."""
        for identifier, each in self._filters.items():
            while not each.isEmpty and self.ready():
                self._send(m.Events(identifier, *each.take()))


_KEY_SIZES = {Subject.FLOW: FLOW_KEY.itemsize, Subject.HOST: HOST_KEY.itemsize, Subject.MIDDLEBOX: 0}


def _selected(
    flows: HeaderFieldList, events: Sequence[Announced], known: dict[str, Announcement]
) -> Iterable[Announced]:
    """Those of C{events} that are about C{flows}, in order."""
    if not flows.constrained or not events:
        return events
    subjects = [known[event.name].subject for event in events]
    chosen = np.zeros(len(events), np.bool_)
    for subject, dtype, match in (
        (Subject.FLOW, FLOW_KEY, flows.matchKeys),
        (Subject.HOST, HOST_KEY, flows.matchHosts),
    ):
        places = [place for place, each in enumerate(subjects) if each is subject]
        if places:
            keys: NDArray[np.void] = np.frombuffer(b"".join(events[place].key for place in places), dtype)
            chosen[places] = match(keys)
    return [event for event, isChosen in zip(events, chosen.tolist(), strict=True) if isChosen]


def _packed(event: Announced, known: Announcement) -> tuple[m.Event, int]:
    """As it travels, and what it counts for."""
    values = tuple(map(_fitting, event.values))
    fields = tuple(m.EventField(each.name, value) for each, value in zip(known.fields, values, strict=True))
    texts = sum(len(value) for value in values if isinstance(value, str))
    return m.Event(event.name, event.stamp, fields), _EVENT_SIZE + _FIELD_SIZE * len(fields) + texts


def _fitting(value: Datum) -> Datum:
    """C{value} within the bounds of the wire: texts are cut, numbers beyond 64 bits and fractions of nothing unset."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")[:TEXT_LIMIT].decode("utf-8", "ignore")
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        return None
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
