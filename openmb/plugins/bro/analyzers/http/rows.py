"""
Pairing requests with replies: the rows of http.log.

The rules are those of the script that writes Zeek's http.log: a table of open rows by number, one number for the
request in progress and one for the reply in progress.  A row that is missing when something of its request or reply
comes is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

#: More open rows than this are written out before the next request is taken in.
MOST_PENDING = 100

#: Bytes of text in open rows beyond which no more requests are read: a record must fit into one frame.  Zeek has no
#: such bound.  Texts up to C{SHORT} are not worth a look: 100 rows of them stay below it.
HEAVIEST, SHORT = 128 << 10, 256


@dataclass(frozen=True, slots=True)
class HTTPRow:
    """
    One row of http.log; None is an unset column.  Texts are as they came, escaping is the log writer's work.

    @ivar stamp: when the row was begun, nanoseconds since the epoch.
    @ivar depth: the row's number in its connection, from 1.
    @ivar uri: with C{%} escapes decoded.
    @ivar version: the reply's, as C{1.1}.
    @ivar requestLength: bytes of body; of a compressed body the bytes before decompression.
    @ivar responseLength: the same of the reply.
    @ivar proxied: headers that tell of a proxy, C{NAME -> value}, in order, none twice.
    """

    stamp: int
    depth: int
    method: bytes | None
    host: bytes | None
    uri: bytes | None
    status: int | None
    referrer: bytes | None = None
    version: bytes | None = None
    userAgent: bytes | None = None
    origin: bytes | None = None
    requestLength: int = 0
    responseLength: int = 0
    statusMessage: bytes | None = None
    infoCode: int | None = None
    infoMessage: bytes | None = None
    username: bytes | None = None
    proxied: tuple[bytes, ...] | None = None


_COLUMNS = tuple(HTTPRow.__dataclass_fields__)
_columns = attrgetter(*_COLUMNS)


class OpenRow:
    """A row that is not written yet; the attributes are those of L{HTTPRow}."""

    __slots__ = _COLUMNS

    stamp: int
    depth: int
    method: bytes | None
    host: bytes | None
    uri: bytes | None
    status: int | None
    referrer: bytes | None
    version: bytes | None
    userAgent: bytes | None
    origin: bytes | None
    requestLength: int
    responseLength: int
    statusMessage: bytes | None
    infoCode: int | None
    infoMessage: bytes | None
    username: bytes | None
    proxied: tuple[bytes, ...] | None

    def __init__(self, stamp: int, depth: int) -> None:
        self.stamp, self.depth = stamp, depth
        self.method = self.host = self.uri = self.status = self.referrer = self.version = self.userAgent = None
        self.origin = self.statusMessage = self.infoCode = self.infoMessage = self.username = self.proxied = None
        self.requestLength = self.responseLength = 0

    def row(self) -> HTTPRow:
        """The row as it stands."""
        return HTTPRow(*_columns(self))

    def weight(self) -> int:
        """Bytes of text."""
        texts = (self.method, self.host, self.uri, self.referrer, self.userAgent, self.origin, self.username)
        return sum(len(text) for text in (*texts, self.statusMessage, self.infoMessage, *(self.proxied or ())) if text)

    def informational(self) -> bool:
        """Is the last status an interim one (1xx)?"""
        return self.status is not None and 100 <= self.status <= 199


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
