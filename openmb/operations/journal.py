"""
What the controller writes down before it acts.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from zope.interface import Attribute, Interface, implementer

from openmb.interfaces import Route
from openmb.wire.messages import Peer, Sort

#: Bytes of a journal's key.
KEY_LENGTH = 32


class Step(enum.Enum):
    """The decisions of an operation, each durable before its act (table in C{docs/recovery.md})."""

    OPEN = "open"
    SWITCHING = "switching"
    ROUTE = "route"
    COMMIT = "commit"
    DRAINING = "draining"
    COMMITTED = "committed"
    ABORT = "abort"
    BACK = "back"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One decision, with everything that a controller must know to act on it after a restart.

    @ivar token: 16 bytes that this operation's drain markers carry.
    @ivar route: the new route, from L{Step.ROUTE} on; None before.
    @ivar previous: the rule that it replaces, from L{Step.ROUTE} on; None: there was none.
    @ivar sort: what the operation does.
    @ivar report: for L{Step.CLOSED}: what it did (C{openmb.operations.outcome.reportText}).
    @ivar began: when it was opened, seconds since 1970; 0: not known. The journal knows it, nobody writes it.
    @ivar ended: when the last decision was taken, likewise.
    @ivar reason: why, for L{Step.ABORT} and L{Step.BACK}; for L{Step.CLOSED} the stage it ended in
        (C{openmb.operations.values.Stage}).
    """

    operation: int
    step: Step
    source: Peer
    destination: Peer
    flows: str
    token: bytes
    route: Route | None = None
    previous: Route | None = None
    reason: str = ""
    sort: Sort = Sort.MOVE
    report: str = ""
    began: float = field(default=0.0, compare=False)
    ended: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class WantedChange:
    """What an entry changes in the routes that are wanted: C{route} is, or none in its place is."""

    route: Route
    isWanted: bool


def wantedBy(entry: Entry, isWanted: Callable[[Route], bool]) -> WantedChange | None:
    """What C{entry} changes in the routes of which C{isWanted} tells whether they are wanted."""
    route = entry.route
    if route is None or entry.step not in (Step.COMMIT, Step.BACK):
        return None
    if entry.step is Step.COMMIT:
        return WantedChange(route, True)
    if not isWanted(route):
        return None
    return WantedChange(route, False) if entry.previous is None else WantedChange(entry.previous, True)


class IJournal(Interface):
    """Where decisions are written."""

    epoch: int = Attribute("greater than that of every controller that used this journal before")
    key: bytes = Attribute("32 random bytes, the same for every controller that uses this journal: makes secrets")

    def write(entry: Entry) -> None:
        """
        Make C{entry} durable; returns only then.

        @raise OperationError: C{JOURNAL_FAILED}, it could not be written; the caller must not act.
        """

    def want(route: Route) -> None:
        """
        C{route} is wanted from now on, instead of the one that it replaces, if any, and behind all others; durable.

        Who writes L{Step.COMMIT} wants the entry's new route by that; with L{Step.BACK} its old one is wanted (or
        none), if the new one was.

        @raise OperationError: C{JOURNAL_FAILED}, and nothing has changed.
        """

    def unwant(route: Route) -> None:
        """No route with the place of C{route} is wanted any more.  @raise OperationError: as L{want}."""

    def wanted() -> tuple[Route, ...]:
        """The routes that are wanted, in the order in which they were."""

    def unfinished() -> tuple[Entry, ...]:
        """The last entry of each operation that is not L{Step.CLOSED}, in the order in which they were opened."""

    def outcomes(limit: int) -> tuple[Entry, ...]:
        """The L{Step.CLOSED} entries of the last C{limit} operations that are over, the oldest first."""

    def close() -> None:
        """Write no more."""


@implementer(IJournal)
class MemoryJournal:
    """
    Keeps the entries in a list: for tests, simulation, and a controller that nobody needs to recover.

    @ivar entries: everything written, in order.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._wanted: list[Route] = []
        self.epoch = 1
        self.key = secrets.token_bytes(KEY_LENGTH)

    def write(self, entry: Entry) -> None:
        self.entries.append(entry)
        change = wantedBy(entry, self._wanted.__contains__)
        if change is not None:
            (self.want if change.isWanted else self.unwant)(change.route)

    def want(self, route: Route) -> None:
        self.unwant(route)
        self._wanted.append(route)

    def unwant(self, route: Route) -> None:
        self._wanted = [each for each in self._wanted if not each.replaces(route)]

    def wanted(self) -> tuple[Route, ...]:
        return tuple(self._wanted)

    def _last(self) -> dict[int, Entry]:
        return {entry.operation: entry for entry in self.entries}

    def unfinished(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self._last().values() if entry.step is not Step.CLOSED)

    def outcomes(self, limit: int) -> tuple[Entry, ...]:
        closed = [entry for entry in self.entries if entry.step is Step.CLOSED]
        return tuple(closed[-limit:])

    def close(self) -> None:
        """Nothing to close: a test may read it again."""
