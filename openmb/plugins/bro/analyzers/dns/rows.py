"""
Pairing queries with replies: the rows of dns.log.

The rules are those of the script that writes Zeek's dns.log: a query waits for the first reply with its number, a reply
for the first query.  One of the queries waits by itself, the others in a table by number: this decides the order in
which they are written.
"""

from __future__ import annotations

from collections import deque
from typing import Self

from openmb.plugins.bro.analyzers.dns.entries import DNSRow, OpenRow
from openmb.plugins.bro.analyzers.dns.format import MOST_PENDING, Waiting, packWaiting, unpackWaiting, weigh

__all__ = ["HEAVIEST", "DNSRow", "Queries"]

#: Bytes that open rows take in a dump; beyond, all are written and forgotten.  Zeek has no such bound.
HEAVIEST = 120 << 10

_Table = dict[int, deque[OpenRow]]


class Queries:
    """
    The messages of one connection that wait for their answers.

    @ivar written: finished rows that nobody has taken yet.
    """

    __slots__ = ("_first", "_queries", "_replies", "_weight", "written")

    def __init__(self) -> None:
        self._first: OpenRow | None = None
        self._queries: _Table = {}
        self._replies: _Table = {}
        self._weight = 0  # of all open rows whose message was read
        self.written: list[DNSRow] = []

    def begun(self, identifier: int, isReply: bool, tcp: bool, now: int) -> OpenRow:
        """A message came: its row, an open one or a new one.  L{ended} must follow."""
        row = self._answered(identifier) if isReply else _pop(self._replies, identifier)
        if row is not None:
            self._weight -= weigh(row)
            row.paired = True
            return row
        row = OpenRow(now, identifier, tcp)
        if isReply:
            self._add(self._replies, row)
        elif self._first is None:
            self._first = row
        else:
            self._add(self._queries, row)
        return row

    def ended(self, row: OpenRow) -> None:
        """The message that L{begun} gave C{row} for was read."""
        if row.paired:
            self.written.append(row.row())
            return
        self._weight += weigh(row)
        if self._weight > HEAVIEST:
            self.close()

    def _answered(self, identifier: int) -> OpenRow | None:
        """The query that a reply is for."""
        first, queries = self._first, self._queries
        if first is None or first.identifier != identifier:
            return _pop(queries, identifier)
        # the oldest of the same number follows, else any: here the oldest number
        self._first = _pop(queries, identifier if identifier in queries else next(iter(queries))) if queries else None
        return first

    def _add(self, table: _Table, row: OpenRow) -> None:
        """Let C{row} wait; what waits too long is written out."""
        waiting = table.get(row.identifier)
        if waiting is None:
            if len(table) > MOST_PENDING:
                self._writeAll(table)
            waiting = table[row.identifier] = deque()
        elif len(waiting) > MOST_PENDING:
            self._write(waiting)
        waiting.append(row)

    def _write(self, waiting: deque[OpenRow]) -> None:
        for row in waiting:
            self._weight -= weigh(row)
            self.written.append(row.row())
        waiting.clear()

    def _writeAll(self, table: _Table) -> None:
        for waiting in table.values():
            self._write(waiting)
        table.clear()

    @property
    def isOpen(self) -> bool:
        """Does any row wait?"""
        return bool(self._first or self._queries or self._replies)

    def close(self) -> None:
        """The connection is over: write every open row, queries first."""
        if self._first is not None:
            self._write(deque((self._first,)))
            self._first = None
        self._writeAll(self._queries)
        self._writeAll(self._replies)

    def take(self) -> list[DNSRow]:
        """The rows written since the last call."""
        rows, self.written = self.written, []
        return rows

    def dump(self) -> bytes:
        """The open rows, as L{openmb.plugins.bro.analyzers.dns.format.WAITING} declares them."""
        return packWaiting(Waiting(self._first, _listed(self._queries), _listed(self._replies)))

    @classmethod
    def load(cls, data: bytes) -> Self:
        """
        The inverse of L{dump}.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump.
        """
        waiting = unpackWaiting(data, HEAVIEST)
        queries = cls()
        queries._first = waiting.first
        queries._queries, queries._replies = _table(waiting.queries), _table(waiting.replies)
        queries._weight = waiting.weight
        return queries


def _pop(table: _Table, identifier: int) -> OpenRow | None:
    """The oldest of that number, which no longer waits."""
    waiting = table.get(identifier)
    if waiting is None:
        return None
    row = waiting.popleft()
    if not waiting:
        del table[identifier]
    return row


def _listed(table: _Table) -> list[OpenRow]:
    return [row for waiting in table.values() for row in waiting]


def _table(rows: list[OpenRow]) -> _Table:
    table: _Table = {}
    for row in rows:
        table.setdefault(row.identifier, deque()).append(row)
    return table
