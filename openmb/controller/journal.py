"""
The journal on disk: one SQLite file, every decision durable when C{write} returns.

Write-ahead log, synchronous commits, and an exclusive lock for as long as it is open: two controllers with one journal
would decide against each other.  The schema has a version; a file of a newer version, or of somebody else, is refused
and left as it is.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from zope.interface import implementer

from openmb.errors import ConfigurationError, InvalidHeaderFields, OperationError, Refusal
from openmb.interfaces import Route
from openmb.operations.journal import Entry, IJournal, Step
from openmb.state.headers import HeaderFieldList
from openmb.wire.messages import Peer

#: In the file's header: "OMBj", so that no other SQLite file passes for a journal.
APPLICATION = 0x4F4D426A
VERSION = 1
#: Operations that are over and still remembered, for middleboxes that come back late.
REMEMBERED = 10_000
#: Operations that end before those beyond L{REMEMBERED} are forgotten again.
PRUNE_EVERY = 1000

_SCHEMA = """
CREATE TABLE controller (only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL);
INSERT INTO controller VALUES (1, 0);
CREATE TABLE operation (
    opened INTEGER PRIMARY KEY AUTOINCREMENT,
    id INTEGER NOT NULL UNIQUE,
    source TEXT NOT NULL, source_incarnation BLOB NOT NULL,
    destination TEXT NOT NULL, destination_incarnation BLOB NOT NULL,
    flows TEXT NOT NULL, token BLOB NOT NULL,
    step TEXT NOT NULL, route TEXT, previous TEXT, reason TEXT NOT NULL
);
CREATE TABLE decision (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    operation INTEGER NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    step TEXT NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL
);
CREATE INDEX decisions ON decision (operation);
"""
_COLUMNS = (
    "id, source, source_incarnation, destination, destination_incarnation, flows, token, step, route, previous, reason"
)

#: What values of the wrong kind lead to: SQLite keeps whatever a damaged file says.
_NONSENSE = (TypeError, ValueError, OverflowError)

_OPTIONAL = (str, type(None))
_KINDS: tuple[tuple[type, ...], ...] = (
    *((int,), (str,), (bytes,), (str,), (bytes,), (str,), (bytes,), (str,)),
    *(_OPTIONAL, _OPTIONAL, (str,)),
)

#: From version N to N + 1.
UPGRADES: Mapping[int, Callable[[sqlite3.Connection], None]] = {}


@implementer(IJournal)
class SQLiteJournal:
    """
    A journal in a file.

    @ivar path: the file.
    @ivar epoch: see L{IJournal}; grows with every opening.
    """

    def __init__(
        self, path: Path, version: int = VERSION, upgrades: Mapping[int, Callable[..., None]] = UPGRADES
    ) -> None:
        """
        Open the journal at C{path}, or make one that only this user can read.

        @raise ConfigurationError: it is of a newer version, no journal, damaged, in use, or cannot be read or written.
        """
        self.path = path
        self._closed = 0
        _examine(path, version)
        try:
            _touch(path)
            self._database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            try:
                self._prepare(version, upgrades)
            except BaseException:
                self._database.close()
                raise
        except sqlite3.Error as error:
            raise ConfigurationError(_explain(path, error)) from error
        except OSError as error:
            raise ConfigurationError(f"journal {path} cannot be opened: {error.strerror}") from error
        except _NONSENSE as error:
            raise ConfigurationError(f"journal {path} is damaged: {error}") from error

    def _prepare(self, version: int, upgrades: Mapping[int, Callable[..., None]]) -> None:
        database = self._database
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("BEGIN IMMEDIATE")
        try:
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if not found:
                for statement in _SCHEMA.split(";\n"):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION}")
                found = 1
            for step in range(found, version):
                upgrades[step](database)
            database.execute(f"PRAGMA user_version = {version}")
            (last,) = database.execute("SELECT epoch FROM controller").fetchone()
            self.epoch = max(int(last) + 1, int(time.time()))
            database.execute("UPDATE controller SET epoch = ?", (self.epoch,))
            self._prune()
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def write(self, entry: Entry) -> None:
        """See L{IJournal}."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._write(entry)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise OperationError(Refusal.JOURNAL_FAILED, f"journal {self.path}: {error}") from error

    def _write(self, entry: Entry) -> None:
        identifier = _signed(entry.operation)
        row = (
            identifier,
            entry.source.name,
            entry.source.incarnation,
            entry.destination.name,
            entry.destination.incarnation,
            entry.flows,
            entry.token,
            entry.step.value,
            _routeText(entry.route),
            _routeText(entry.previous),
            entry.reason,
        )
        places = ", ".join("?" * len(row))
        self._database.execute(
            f"INSERT INTO operation ({_COLUMNS}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET "
            "step = excluded.step, route = excluded.route, previous = excluded.previous, reason = excluded.reason",
            row,
        )
        self._database.execute(
            "INSERT INTO decision (operation, step, reason, time) VALUES (?, ?, ?, ?)",
            (identifier, entry.step.value, entry.reason, time.time()),
        )
        if entry.step is Step.CLOSED:
            self._closed += 1
            if self._closed % PRUNE_EVERY == 0:
                self._prune()

    def _prune(self) -> None:
        """Forget the operations that were over the longest ago."""
        self._database.execute(
            "DELETE FROM operation WHERE step = 'closed' AND opened <= "
            "(SELECT opened FROM operation WHERE step = 'closed' ORDER BY opened DESC LIMIT 1 OFFSET ?)",
            (REMEMBERED,),
        )

    def unfinished(self) -> tuple[Entry, ...]:
        """See L{IJournal}."""
        return self._entries("WHERE step != 'closed' ORDER BY opened", ())

    def outcomes(self, limit: int) -> tuple[Entry, ...]:
        """See L{IJournal}."""
        return self._entries("WHERE step = 'closed' ORDER BY opened DESC LIMIT ?", (limit,))[::-1]

    def decisions(self, operation: int) -> tuple[tuple[Step, str, float], ...]:
        """Every decision about one operation: step, reason, and when it was taken (seconds since 1970)."""
        rows = self._rows(
            "SELECT step, reason, time FROM decision WHERE operation = ? ORDER BY number", (_signed(operation),)
        )
        return tuple((Step(step), reason, moment) for step, reason, moment in rows)

    def close(self) -> None:
        """See L{IJournal}."""
        self._database.close()

    def _entries(self, condition: str, parameters: tuple[Any, ...]) -> tuple[Entry, ...]:
        rows = self._rows(f"SELECT {_COLUMNS} FROM operation {condition}", parameters)
        try:
            return tuple(_entry(row) for row in rows)
        except _NONSENSE as error:
            raise OperationError(Refusal.JOURNAL_FAILED, f"journal {self.path} is damaged: {error}") from error

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> Iterable[Any]:
        try:
            return self._database.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise OperationError(Refusal.JOURNAL_FAILED, f"journal {self.path}: {error}") from error


def unfinishedIn(path: Path) -> int:
    """
    How many operations in the journal at C{path} are not over; reads only, also while a controller has it open.

    @raise ConfigurationError: it is no journal that this version can read, or a controller keeps it locked.
    """
    _examine(path, VERSION)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", timeout=0.2, uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM operation WHERE step != 'closed'").fetchone()[0])
    except sqlite3.Error as error:
        raise ConfigurationError(_explain(path, error)) from error


def _examine(path: Path, version: int) -> None:
    """
    Look at the file's header without opening it as a database, which could change it.

    @raise ConfigurationError: not a journal, or of a newer version.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"journal {path} cannot be read: {error.strerror}") from error
    if not head:
        return
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        raise ConfigurationError(f"{path} is not a journal: give --journal another name, or move that file away")
    found, application = int.from_bytes(head[60:64], "big"), int.from_bytes(head[68:72], "big")
    if application not in (0, APPLICATION) or (application == 0 and found):
        raise ConfigurationError(f"{path} is the database of another program: give --journal another name")
    if found > version:
        raise ConfigurationError(
            f"journal {path} was written by a newer OpenMB (version {found}, this one knows {version}): "
            "run that one, or let it finish its operations and start with a new journal"
        )


def _touch(path: Path) -> None:
    """Make the file, readable for this user alone: it holds the tokens of drain markers."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.close(descriptor)


def _explain(path: Path, error: sqlite3.Error) -> str:
    if "locked" in str(error):
        return f"journal {path} is in use by another controller: stop it first, or give this one a journal of its own"
    return f"journal {path} cannot be used: {error}"


def _signed(identifier: int) -> int:
    """A 64-bit id as SQLite stores it."""
    return identifier - (1 << 64) if identifier >> 63 else identifier


def _entry(row: Any) -> Entry:
    if not all(isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=True)):
        raise TypeError(f"a value of the wrong kind in operation {row[0]}")
    identifier, source, sourceIncarnation, destination, destinationIncarnation, flows, token, step, new, old, why = row
    return Entry(
        identifier & (1 << 64) - 1,
        Step(step),
        Peer(source, sourceIncarnation),
        Peer(destination, destinationIncarnation),
        flows,
        token,
        _route(new),
        _route(old),
        why,
    )


def _routeText(route: Route | None) -> str | None:
    if route is None:
        return None
    values = {"flows": str(route.flows), "path": route.path, "table": route.table}
    return json.dumps({**values, "priority": route.priority, "egress": route.egress})


def _route(text: str | None) -> Route | None:
    if text is None:
        return None
    try:
        plain = json.loads(text)
        flows = HeaderFieldList.parse(plain["flows"])
        return Route(flows, tuple(plain["path"]), plain["table"], plain["priority"], plain["egress"])
    except (ValueError, KeyError, TypeError, InvalidHeaderFields) as error:
        raise OperationError(
            Refusal.JOURNAL_FAILED, f"the journal holds a route that makes no sense: {text}"
        ) from error
