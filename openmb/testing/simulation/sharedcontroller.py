"""
A controller in miniature for clones and merges: what C{docs/protocol.md} asks of one, and nothing else.

It may be killed at any time: what is in its journal is all that the next one knows.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from openmb.state.taxonomy import Cell
from openmb.wire import messages as m

SOURCE, DESTINATION = m.Side.SOURCE, m.Side.DESTINATION


class Entry(enum.Enum):
    """What the journal says of an operation last."""

    OPEN = "open"
    COMMIT = "commit"
    COMMITTED = "committed"
    ABORT = "abort"


class Stage(enum.Enum):
    """Where an operation stands."""

    PREPARING = "preparing"
    EXPORTING = "exporting"
    INSTALLED = "installed"
    FINISHING = "finishing"
    COMMITTING = "committing"
    DELETING = "deleting"
    UNDOING = "undoing"


#: It can still be undone.
UNDECIDED = (Stage.PREPARING, Stage.EXPORTING, Stage.INSTALLED, Stage.FINISHING)


@dataclass(frozen=True, slots=True)
class SharedRequest:
    """One clone or merge."""

    operation: int
    sort: m.Sort
    cells: tuple[Cell, ...]
    ends: tuple[m.Peer, m.Peer]
    window: int


@dataclass
class Task:
    """
    One operation under way.

    @ivar commands: the last of each end, to be repeated.
    @ivar waiting: the ends that have still to say that they have undone it.
    """

    request: SharedRequest
    stage: Stage
    commands: dict[m.Side, list[m.Message]] = field(default_factory=lambda: {SOURCE: [], DESTINATION: []})
    dead: set[m.Side] = field(default_factory=set)
    waiting: set[m.Side] = field(default_factory=set)


class SharedController:
    """
    @param send: takes a message to the middlebox of that name, if it is connected.
    @param journal: outlives the controller.
    @param leases: milliseconds, of the source and of the destination.
    @param ended: told of each operation that is over, and whether it was carried out.
    """

    def __init__(
        self,
        send: Callable[[str, m.Message], None],
        journal: dict[int, tuple[Entry, SharedRequest]],
        leases: tuple[int, int],
        ended: Callable[[SharedRequest, bool], None],
    ) -> None:
        self._send, self._journal, self._leases, self._ended = send, journal, leases, ended
        self._connected: dict[str, m.Hello] = {}
        self.tasks = {number: self._recovered(*last) for number, last in journal.items()}

    def _recovered(self, entry: Entry, request: SharedRequest) -> Task:
        """An operation of an earlier controller; both ends are away until they return."""
        task = Task(request, Stage.UNDOING)
        if entry is Entry.COMMIT:
            task.stage = Stage.COMMITTING
            task.commands[DESTINATION] = [m.Commit(request.operation)]
        elif entry is Entry.COMMITTED:
            task.stage = Stage.DELETING
            task.commands[SOURCE] = [m.Delete(request.operation, 0)]
        else:
            self._undo(task)
        return task

    # -- the application

    def begin(self, request: SharedRequest) -> None:
        """Start it."""
        task = self.tasks[request.operation] = Task(request, Stage.PREPARING)
        self._write(task, Entry.OPEN)
        source, destination = request.ends
        asked = (request.operation, "*", request.cells, source, destination, request.window, self._leases[1])
        self._order(task, DESTINATION, m.Prepare(*asked, request.sort))

    def finish(self, operation: int) -> None:
        """A clone has been followed for long enough."""
        task = self.tasks.get(operation)
        if task is not None and task.stage is Stage.INSTALLED:
            task.stage = Stage.FINISHING
            self._order(task, SOURCE, m.Finish(operation))

    def abort(self, operation: int) -> None:
        """The application has changed its mind, perhaps too late."""
        task = self.tasks.get(operation)
        if task is not None and task.stage in UNDECIDED:
            self._write(task, Entry.ABORT)
            self._undo(task)

    # -- what is done

    def _write(self, task: Task, entry: Entry) -> None:
        self._journal[task.request.operation] = entry, task.request

    def _order(self, task: Task, side: m.Side, *messages: m.Message) -> None:
        task.commands[side] = list(messages)
        for message in messages:
            self._toEnd(task, side, message)

    def _toEnd(self, task: Task, side: m.Side, message: m.Message) -> None:
        peer = task.request.ends[side]
        hello = self._connected.get(peer.name)
        if hello is not None and hello.incarnation == peer.incarnation:
            self._send(peer.name, message)

    def _undo(self, task: Task) -> None:
        task.stage, task.waiting = Stage.UNDOING, {SOURCE, DESTINATION} - task.dead
        self._order(task, DESTINATION, m.Discard(task.request.operation, False))
        self._order(task, SOURCE, m.Unmark(task.request.operation, False))
        self._undone(task)

    def _undone(self, task: Task, *sides: m.Side) -> None:
        task.waiting.difference_update(sides)
        if task.stage is Stage.UNDOING and not task.waiting:
            self._close(task, False)

    def _close(self, task: Task, done: bool) -> None:
        if self.tasks.pop(task.request.operation, None) is not None:
            del self._journal[task.request.operation]
            for side in (SOURCE, DESTINATION):
                self._order(task, side, m.Close(task.request.operation))
            self._ended(task.request, done)

    # -- what is heard

    def receive(self, name: str, message: m.Message) -> None:
        """From the middlebox of that name."""
        task = self.tasks.get(int(getattr(message, "operation", 0)))
        if task is None:
            return
        if isinstance(message, m.StreamFrame | m.Credit):
            side = SOURCE if name == task.request.ends[DESTINATION].name else DESTINATION
            self._toEnd(task, side, message)
        elif isinstance(message, m.Refused):
            self._refused(task, name, message)
        else:
            self._told(task, message)

    def _told(self, task: Task, message: m.Message) -> None:
        operation, ends = task.request.operation, task.request.ends
        match message, task.stage:
            case m.Prepared(nonce=nonce), Stage.PREPARING:
                task.stage = Stage.EXPORTING
                request = task.request
                asked = (operation, "*", request.cells, *ends, request.window, self._leases[0], nonce, request.sort)
                self._order(task, SOURCE, m.Get(*asked))
            case m.Installed(), Stage.EXPORTING:
                task.stage = Stage.INSTALLED
                if task.request.sort is m.Sort.MERGE:
                    self.finish(operation)
            case m.FinishConfirmed(), Stage.FINISHING:
                self._write(task, Entry.COMMIT)
                task.stage = Stage.COMMITTING
                self._order(task, DESTINATION, m.Commit(operation))
            case m.Committed(), Stage.COMMITTING:
                self._write(task, Entry.COMMITTED)
                task.stage = Stage.DELETING
                self._order(task, SOURCE, m.Delete(operation, 0))
                self._deleted(task)
            case m.Deleted(), Stage.DELETING:
                self._close(task, True)
            case m.Discarded(), Stage.UNDOING:
                self._undone(task, DESTINATION)
            case m.Unmarked(), Stage.UNDOING:
                self._undone(task, SOURCE)

    def _deleted(self, task: Task) -> None:
        if task.stage is Stage.DELETING and SOURCE in task.dead:
            self._close(task, True)

    def _refused(self, task: Task, name: str, refused: m.Refused) -> None:
        """Before COMMIT that ends it; after it, only the destination can say that it does not own what it was given."""
        if task.stage is Stage.COMMITTING and name == task.request.ends[DESTINATION].name:
            self._write(task, Entry.ABORT)
            self._undo(task)
        elif task.stage is Stage.DELETING and refused.request == m.MessageType.DELETE:
            self._close(task, False)  # it has gone on alone: everything is there twice
        else:
            self.abort(refused.operation)

    # -- connections

    def connected(self, hello: m.Hello) -> None:
        """A middlebox is there, perhaps as a new process."""
        self._connected[hello.name] = hello
        for task in tuple(self.tasks.values()):
            for side in (SOURCE, DESTINATION):
                peer = task.request.ends[side]
                if peer.name == hello.name and peer.incarnation != hello.incarnation and side not in task.dead:
                    self._died(task, side)
                elif peer.name == hello.name:
                    self._back(task, side)

    def _back(self, task: Task, side: m.Side) -> None:
        """The same process: the last commands again, and the stream where it broke."""
        for message in task.commands[side]:
            self._toEnd(task, side, message)
        hello = self._connected.get(task.request.ends[DESTINATION].name)
        known = hello.operations if hello is not None else ()
        here = (status.received for status in known if status.operation == task.request.operation)
        if hello is not None:
            self._toEnd(task, SOURCE, m.Resume(task.request.operation, SOURCE, next(here, -1)))

    def _died(self, task: Task, side: m.Side) -> None:
        task.dead.add(side)
        if side is SOURCE and task.stage in (Stage.INSTALLED, Stage.FINISHING):
            task.stage = Stage.FINISHING
            self._order(task, DESTINATION, *task.commands[DESTINATION], m.SourceGone(task.request.operation))
        elif task.stage in UNDECIDED or (side is DESTINATION and task.stage is Stage.COMMITTING):
            self._write(task, Entry.ABORT)
            self._undo(task)
        self._undone(task, side)
        self._deleted(task)

    def lost(self, name: str) -> None:
        """A connection is gone."""
        self._connected.pop(name, None)
