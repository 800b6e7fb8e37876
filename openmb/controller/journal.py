"""
The journal on disk: one SQLite file, every decision durable when C{write} returns.

Write-ahead log, synchronous commits, and a lock for as long as it is open: two controllers with one journal would
decide against each other.  The schema has a version; a file of a newer version, or of somebody else, is refused and
left as it is.  Tables are made and changed without the write-ahead log, so that the version always stands in the file
itself, where it can be read without touching anything.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from zope.interface import implementer

from openmb.controller.journalfile import APPLICATION, VERSION, JournalLock, examine, explain, readOnly, tooNew
from openmb.controller.wantedtable import addWanted, isWanted, readWanted, routeFromText, routeToText, unwant, want
from openmb.errors import ConfigurationError, InvalidHeaderFields, OperationError, Refusal
from openmb.interfaces import Route
from openmb.operations.journal import KEY_LENGTH, Entry, IJournal, Step, wantedBy
from openmb.operations.outcome import readReport
from openmb.operations.values import Stage
from openmb.state.headers import HeaderFieldList
from openmb.wire.messages import Peer, Sort

#: Operations that are over and still remembered, for middleboxes that come back late.
REMEMBERED = 10_000
#: Operations that end before those beyond L{REMEMBERED} are forgotten again.
PRUNE_EVERY = 1000

#: Version 1; L{UPGRADES} make it the newest.
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
    "id, source, source_incarnation, destination, destination_incarnation, flows, token, step, "
    "route, previous, reason, sort, report"
)
_TIMES = "(SELECT {}(time) FROM decision WHERE decision.operation = operation.id)"
_SELECT = f"SELECT {_COLUMNS}, {_TIMES.format('min')}, {_TIMES.format('max')} FROM operation"

#: What values of the wrong kind lead to: SQLite keeps whatever a damaged file says.
_NONSENSE = (TypeError, ValueError, OverflowError)

#: Bytes of the token that drain markers carry.
TOKEN_LENGTH = 16

_SORTS = {sort.name.lower(): sort for sort in Sort}
_OPTIONAL = (str, type(None))
_KINDS: tuple[tuple[type, ...], ...] = (
    *((int,), (str,), (bytes,), (str,), (bytes,), (str,), (bytes,), (str,)),
    *(_OPTIONAL, _OPTIONAL, (str,), (str,), (str,)),
    *((int, float, type(None)), (int, float, type(None))),
)


def _addSort(database: sqlite3.Connection) -> None:
    """Since version 2 an operation may be a clone or a merge; before, all were moves."""
    database.execute("ALTER TABLE operation ADD COLUMN sort TEXT NOT NULL DEFAULT 'move'")


def _addKey(database: sqlite3.Connection) -> None:
    """Since version 3 the journal has a key, from which the secrets of sessions are made."""
    database.execute("ALTER TABLE controller ADD COLUMN key BLOB")
    database.execute("UPDATE controller SET key = ?", (secrets.token_bytes(KEY_LENGTH),))


def _addReport(database: sqlite3.Connection) -> None:
    """Since version 5 what an operation did is kept with its end."""
    database.execute("ALTER TABLE operation ADD COLUMN report TEXT NOT NULL DEFAULT ''")


#: From version N to N + 1.
UPGRADES: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _addSort, 2: _addKey, 3: addWanted, 4: _addReport}


@implementer(IJournal)
class SQLiteJournal:
    """
    A journal in a file.

    @ivar path: the file.
    @ivar epoch: see L{IJournal}; grows with every opening.
    @ivar key: see L{IJournal}; made with the file.
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
        self._connection: sqlite3.Connection | None = None
        examine(path, version)
        self._lock: JournalLock | None = JournalLock(path)
        try:
            with closing(_connect(path)) as database:
                _bringUpToDate(database, path, version, upgrades)
                _readAll(database)
                readWanted(database)
                self.epoch = _nextEpoch(database)
                self.key = _readKey(database)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise ConfigurationError(explain(path, error)) from error
            if isinstance(error, _NONSENSE):
                raise ConfigurationError(f"journal {path} is damaged: {error}") from error
            raise

    @property
    def _database(self) -> sqlite3.Connection:
        """
        Opened when it is first needed, and not before: a service puts itself into the background between its making
        and its start, and SQLite's connections do not survive that.
        """
        if self._lock is None:
            raise OperationError(Refusal.JOURNAL_FAILED, f"journal {self.path} is closed")
        if self._connection is None:
            self._connection = _connect(self.path)
            _logAhead(self._connection)
        return self._connection

    def write(self, entry: Entry) -> None:
        """See L{IJournal}."""
        try:
            with _transaction(self._database) as database:
                self._write(entry)
                change = wantedBy(entry, lambda route: isWanted(database, route))
                if change is not None:
                    (want if change.isWanted else unwant)(database, change.route)
        except (sqlite3.Error, *_NONSENSE) as error:
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
            entry.sort.name.lower(),
            entry.report,
        )
        places = ", ".join("?" * len(row))
        self._database.execute(
            f"INSERT INTO operation ({_COLUMNS}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET "
            "step = excluded.step, route = excluded.route, previous = excluded.previous, reason = excluded.reason, "
            "report = excluded.report",
            row,
        )
        self._database.execute(
            "INSERT INTO decision (operation, step, reason, time) VALUES (?, ?, ?, ?)",
            (identifier, entry.step.value, entry.reason, time.time()),
        )
        if entry.step is Step.CLOSED:
            self._closed += 1
            if self._closed % PRUNE_EVERY == 0:
                _prune(self._database)

    def want(self, route: Route) -> None:
        """See L{IJournal}."""
        self._change(want, route)

    def unwant(self, route: Route) -> None:
        """See L{IJournal}."""
        self._change(unwant, route)

    def _change(self, how: Callable[[sqlite3.Connection, Route], None], route: Route) -> None:
        try:
            with _transaction(self._database) as database:
                how(database, route)
        except (sqlite3.Error, *_NONSENSE) as error:
            raise OperationError(Refusal.JOURNAL_FAILED, f"journal {self.path}: {error}") from error

    def wanted(self) -> tuple[Route, ...]:
        """See L{IJournal}."""
        try:
            return readWanted(self._database)
        except (sqlite3.Error, *_NONSENSE) as error:
            raise OperationError(Refusal.JOURNAL_FAILED, f"journal {self.path}: {error}") from error

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
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _entries(self, condition: str, parameters: tuple[Any, ...]) -> tuple[Entry, ...]:
        rows = self._rows(f"{_SELECT} {condition}", parameters)
        try:
            return tuple(_entry(row) for row in rows)
        except _NONSENSE as error:
            raise OperationError(Refusal.JOURNAL_FAILED, f"journal {self.path} is damaged: {error}") from error

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> Iterable[Any]:
        try:
            return self._database.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise OperationError(Refusal.JOURNAL_FAILED, f"journal {self.path}: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        database.close()
        raise
    return database


def _logAhead(database: sqlite3.Connection) -> None:
    """Write-ahead log, from now on."""
    database.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of it, durable at the end, or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite itself ends it at a full disk
            database.execute("ROLLBACK")
        raise


def _bringUpToDate(
    database: sqlite3.Connection, path: Path, version: int, upgrades: Mapping[int, Callable[..., None]]
) -> None:
    """Make the tables, or change them to those of C{version}."""
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found > version:
        raise ConfigurationError(tooNew(path, found, version))
    if found == version:
        return
    database.execute("PRAGMA journal_mode = DELETE")
    with _transaction(database):
        if not found:
            for statement in _SCHEMA.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION}")
        for step in range(max(found, 1), version):
            upgrades[step](database)
        database.execute(f"PRAGMA user_version = {version}")


def _nextEpoch(database: sqlite3.Connection) -> int:
    """An epoch of this controller's own."""
    _logAhead(database)
    with _transaction(database):
        (last,) = database.execute("SELECT epoch FROM controller").fetchone()
        epoch = max(int(last) + 1, int(time.time()))
        database.execute("UPDATE controller SET epoch = ?", (epoch,))
        _prune(database)
    return epoch


def _readKey(database: sqlite3.Connection) -> bytes:
    (key,) = database.execute("SELECT key FROM controller").fetchone()
    if not isinstance(key, bytes) or len(key) != KEY_LENGTH:
        raise ValueError("its key is not one")
    return key


def _prune(database: sqlite3.Connection) -> None:
    """Forget the operations that were over the longest ago."""
    database.execute(
        "DELETE FROM operation WHERE step = 'closed' AND opened <= "
        "(SELECT opened FROM operation WHERE step = 'closed' ORDER BY opened DESC LIMIT 1 OFFSET ?)",
        (REMEMBERED,),
    )


def unfinishedIn(path: Path) -> int:
    """
    How many operations in the journal at C{path} are not over; reads only, also while a controller writes there.

    @raise ConfigurationError: it is no journal that this version can read, or an entry in it makes no sense.
    """
    examine(path)
    if not path.stat().st_size:
        return 0
    try:
        with closing(readOnly(path)) as database:
            return sum(entry.step is not Step.CLOSED for entry in _readAll(database))
    except sqlite3.Error as error:
        raise ConfigurationError(explain(path, error)) from error
    except _NONSENSE as error:
        raise ConfigurationError(f"journal {path} is damaged: {error}") from error


def _readAll(database: sqlite3.Connection) -> list[Entry]:
    """The last entry of every operation: none may make no sense, or a controller would fail when it takes them up."""
    return [_entry(row) for row in database.execute(_SELECT).fetchall()]


def _signed(identifier: int) -> int:
    """A 64-bit id as SQLite stores it."""
    return identifier - (1 << 64) if identifier >> 63 else identifier


def _name(identifier: Any) -> str:
    """An operation's id, or what stands in its place, as it is shown everywhere."""
    return f"{identifier & (1 << 64) - 1:016x}" if isinstance(identifier, int) else repr(identifier)


def _entry(row: Any) -> Entry:
    if not all(isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=True)):
        raise TypeError(f"a value of the wrong kind in operation {_name(row[0])}")
    identifier, source, sourceIncarnation, destination, destinationIncarnation, flows, token, step, new, old, why = row[
        :11
    ]
    sort, report, began, ended = row[11:]
    if sort not in _SORTS:
        raise ValueError(f"operation {_name(row[0])}: no operation is a {sort}")
    if len(token) != TOKEN_LENGTH:
        raise ValueError(f"a token of {len(token)} bytes in operation {_name(row[0])}")
    try:
        HeaderFieldList.parse(flows)
    except InvalidHeaderFields as error:
        raise ValueError(f"operation {_name(row[0])}: {error}") from error
    if Step(step) is Step.CLOSED:
        readReport(report, identifier, Stage(why), _SORTS[sort])
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
        _SORTS[sort],
        report,
        float(began or 0),
        float(ended or 0),
    )


def _routeText(route: Route | None) -> str | None:
    return None if route is None else routeToText(route)


def _route(text: str | None) -> Route | None:
    return None if text is None else routeFromText(text)
