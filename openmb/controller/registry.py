"""
Who is connected: one session for each middlebox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from openmb.errors import OperationError, Refusal
from openmb.state.taxonomy import Cell
from openmb.wire.messages import Hello, Message, OperationStatus, Peer, Side, Sort


@dataclass(slots=True, eq=False)
class Session:
    """
    One registered middlebox.

    @ivar hello: what it said of itself; its governing configuration may change.
    @ivar send: takes messages for it.
    @ivar close: ends its connection, for the reason given.
    @ivar piled: how many bytes wait for it in memory, since it does not take them.
    @ivar changing: ids of the changes of its configuration that are not answered yet.
    @ivar warnings: what an operator must know of it, as it says.
    @ivar statuses: what it said of operations in HELLO, by operation and side.
    """

    hello: Hello
    send: Callable[[Message], None]
    close: Callable[[str], None] = lambda reason: None
    piled: Callable[[], int] = lambda: 0
    changing: set[int] = field(default_factory=set)
    warnings: tuple[str, ...] = ()
    statuses: dict[tuple[int, Side], OperationStatus] = field(init=False)

    def __post_init__(self) -> None:
        self.statuses = {(each.operation, each.side): each for each in self.hello.operations}

    @property
    def name(self) -> str:
        return self.hello.name

    @property
    def peer(self) -> Peer:
        """Name and incarnation."""
        return Peer(self.hello.name, self.hello.incarnation)


class Registry:
    """The sessions by name, and the names that were seen before."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._known: set[str] = set()

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def add(self, session: Session) -> Session | None:
        """Register C{session}; the session that it replaces, if any."""
        earlier = self._sessions.get(session.name)
        self._sessions[session.name] = session
        self._known.add(session.name)
        return earlier

    def remove(self, session: Session) -> bool:
        """Forget C{session}; false when another one has taken its place."""
        if self._sessions.get(session.name) is not session:
            return False
        del self._sessions[session.name]
        return True

    @property
    def names(self) -> frozenset[str]:
        """Who is connected."""
        return frozenset(self._sessions)

    def get(self, name: str) -> Session | None:
        """The session of C{name}, or None."""
        return self._sessions.get(name)

    def find(self, name: str) -> Session:
        """
        The session of C{name}.

        @raise OperationError: it was never seen, or is not connected now.
        """
        session = self._sessions.get(name)
        if session is not None:
            return session
        if name in self._known:
            raise OperationError(Refusal.DISCONNECTED, f"middlebox {name} is not connected")
        raise OperationError(Refusal.UNKNOWN_MIDDLEBOX, f"no middlebox {name} has registered")


def checkPair(source: Session, destination: Session) -> None:
    """
    Can records go from one to the other?

    @raise OperationError: same middlebox, different kinds, record layouts or governing configuration; or what governs
        one of them is just being changed.
    """
    ours, theirs = source.hello, destination.hello
    if ours.name == theirs.name:
        raise OperationError(Refusal.SAME_MIDDLEBOX, f"{ours.name} is source and destination")
    if ours.kind != theirs.kind:
        raise OperationError(
            Refusal.DIFFERENT_KINDS, f"{ours.name} is of kind {ours.kind}, {theirs.name} of kind {theirs.kind}"
        )
    if set(ours.layouts) != set(theirs.layouts):
        raise OperationError(
            Refusal.INCOMPATIBLE_RECORDS, f"{ours.name} and {theirs.name} have different versions of their records"
        )
    for session in (source, destination):
        if session.changing:
            reason = f"the configuration of {session.name} is being changed; try again when that is answered"
            raise OperationError(Refusal.WRONG_STATE, reason)
    if ours.governing != theirs.governing:
        raise OperationError(
            Refusal.INCOMPATIBLE_RECORDS,
            f"{ours.name} and {theirs.name} differ in the configuration that governs records (openmb config get)",
        )


def sharedCells(source: Session, sort: Sort) -> tuple[Cell, ...]:
    """
    Which shared state a clone or a merge is about.

    @raise OperationError: C{BAD_REQUEST}, the kind has none of it.
    """
    there = {layout.cell for layout in source.hello.layouts}
    cells = tuple(cell for cell in sort.cells if cell in there)
    if not cells:
        what = "shared supporting state" if sort is Sort.CLONE else "shared state"
        raise OperationError(Refusal.BAD_REQUEST, f"{source.hello.kind} has no {what}")
    return cells
