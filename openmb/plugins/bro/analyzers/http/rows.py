"""
Pairing requests with replies: the rows of http.log.

The rules are those of the script that writes Zeek's http.log: a table of open rows by number, one number for the
request in progress and one for the reply in progress.  A row that is missing when something of its request or reply
comes is made anew.
"""

from __future__ import annotations

from typing import Self

from openmb.plugins.bro.analyzers.http.openrow import HTTPRow, OpenRow
from openmb.plugins.bro.analyzers.http.rowformat import packRows, unpackRows

__all__ = ["HTTPRow", "OpenRow", "Pairing"]

#: More open rows than this are written out before the next request is taken in.
MOST_PENDING = 100

#: Bytes of text in open rows beyond which no more requests are read: a record must fit into one frame.  Zeek has no
#: such bound.  Texts up to C{SHORT} are not worth a look: 100 rows of them stay below it.
HEAVIEST, SHORT = 128 << 10, 256


class Pairing:
    """
    The open rows of one connection.

    @ivar pending: open rows by number.
    @ivar request: number of the request in progress or last.
    @ivar response: number of the reply in progress or last.
    @ivar depth: how many rows were begun.
    @ivar written: finished rows that nobody has taken yet.
    """

    __slots__ = ("depth", "pending", "request", "response", "written")

    def __init__(self) -> None:
        self.pending: dict[int, OpenRow] = {}
        self.request = self.response = self.depth = 0
        self.written: list[HTTPRow] = []

    def current(self, originator: bool, now: int) -> OpenRow:
        """The row of the request or reply in progress, made at C{now} if it is missing."""
        number = self.request if originator else self.response
        row = self.pending.get(number)
        if row is None:
            self.depth += 1
            row = self.pending[number] = OpenRow(now, self.depth)
        return row

    def requested(self, method: bytes, uri: bytes, now: int) -> None:
        """A request line came."""
        self.request = max(self.request, self.response)
        if len(self.pending) > MOST_PENDING:
            self._writeUnanswered()
        self.request += 1
        row = self.current(True, now)
        row.method, row.uri = method, uri

    def heavy(self) -> bool:
        """Do the open rows hold more text than they may?"""
        return sum(row.weight() for row in self.pending.values()) > HEAVIEST

    def _writeUnanswered(self) -> None:
        """Too many rows are open: write all up to the last request, and match replies anew from there."""
        self.response = max(self.response, 1)
        for number in sorted(self.pending):
            if self.response <= number < self.request:
                self.written.append(self.pending.pop(number).row())
        self.response = max(self.response, self.request)

    def replied(self, version: bytes, code: int, reason: bytes, now: int) -> None:
        """A status line came."""
        row = self.pending.get(self.response)
        if row is None or (row.status is not None and not row.informational()):
            self.response += 1
        row = self.current(False, now)
        row.status, row.statusMessage, row.version = code, reason, version
        if row.informational():
            row.infoCode, row.infoMessage = code, reason

    def requestEnded(self, length: int, now: int) -> None:
        """The request in progress ended after C{length} bytes of body."""
        self.current(True, now).requestLength = length

    def replyEnded(self, length: int, now: int) -> None:
        """The reply in progress ended after C{length} bytes of body: unless an interim one, its row is complete."""
        row = self.current(False, now)
        row.responseLength = length
        if not row.informational():
            self.written.append(row.row())
            del self.pending[self.response]

    def close(self) -> None:
        """The connection is over: write every open row except number 0, which holds what belongs to no request."""
        for number in sorted(self.pending):
            if number != 0:
                self.written.append(self.pending[number].row())
        self.pending.clear()

    def take(self) -> list[HTTPRow]:
        """The rows written since the last call."""
        rows, self.written = self.written, []
        return rows

    def dump(self) -> bytes:
        """Everything but the finished rows, as C{rowformat.PAIRING} declares it; nothing where there is nothing."""
        if not self.depth and not self.request and not self.response:
            return b""
        return packRows((self.request, self.response, self.depth), self.pending)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """
        Open rows that were dumped elsewhere.

        @raise OperationError: C{BAD_REQUEST}, the bytes are no such dump.
        """
        pairing = cls()
        if data:
            (pairing.request, pairing.response, pairing.depth), pairing.pending = unpackRows(data)
        return pairing
