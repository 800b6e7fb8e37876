"""
One row of http.log, finished and not.
"""

from __future__ import annotations

from operator import attrgetter
from typing import NamedTuple


class HTTPRow(NamedTuple):
    """
    One row of http.log; None is an unset column.  Texts are as they came, escaping is the log writer's work.

    @ivar stamp: when the row was begun, nanoseconds since the epoch.
    @ivar depth: the row's number in its connection, from 1.
    @ivar uri: with C{%} escapes decoded.
    @ivar version: the reply's, as C{1.1}.
    @ivar requestLength: bytes of body; of a gzip or deflate body after decompression.
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


_COLUMNS = HTTPRow._fields
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
        return HTTPRow._make(_columns(self))

    def weight(self) -> int:
        """Bytes of text."""
        texts = (self.method, self.host, self.uri, self.referrer, self.userAgent, self.origin, self.username)
        return sum(len(text) for text in (*texts, self.statusMessage, self.infoMessage, *(self.proxied or ())) if text)

    def informational(self) -> bool:
        """Is the last status an interim one (1xx)?"""
        return self.status is not None and 100 <= self.status <= 199
