"""
What an engine reports: conn.log, http.log and dns.log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OutputFailed
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.fastpath.conversion import rowOf
from openmb.plugins.bro.fastpath.lanes import Lanes
from openmb.plugins.bro.reporting.connections import BEGINNING, CONNECTION_COLUMNS, beginningOf, connectionRows
from openmb.plugins.bro.reporting.dnslog import DNS_COLUMNS, dnsValues
from openmb.plugins.bro.reporting.locality import PRIVATE, LocalNetworks
from openmb.plugins.bro.reporting.logfile import LogFile
from openmb.plugins.bro.reporting.logs import Column, Scalar, Value
from openmb.plugins.bro.reporting.messagetext import queryLine, requestLine
from openmb.plugins.bro.reporting.rowtext import RowText
from openmb.plugins.bro.reporting.uid import ConnectionIDs
from openmb.plugins.bro.tracking.identity import WORDS, Identity, portsOf

_OF_FILES = ("fuids", "filenames", "mime_types")

HTTP_COLUMNS = (
    *BEGINNING,
    Column("trans_depth", "count"),
    Column("method", "string"),
    Column("host", "string"),
    Column("uri", "string"),
    Column("referrer", "string"),
    Column("version", "string"),
    Column("user_agent", "string"),
    Column("origin", "string"),
    Column("request_body_len", "count"),
    Column("response_body_len", "count"),
    Column("status_code", "count"),
    Column("status_msg", "string"),
    Column("info_code", "count"),
    Column("info_msg", "string"),
    Column("tags", "set[enum]"),
    Column("username", "string"),
    Column("password", "string"),
    Column("proxied", "set[string]"),
    *(Column(f"{side}_{what}", "vector[string]") for side in ("orig", "resp") for what in _OF_FILES),
)

#: Bodies are not taken apart as files, and passwords not kept: these columns are always unset, and no tags are given.
_NO_TAGS: tuple[Scalar, ...] = ()
_NO_FILES: list[Value] = [None] * 6


def columnsOf(row: HTTPRow) -> list[Value]:
    """What a request's row has after the ends of its connection."""
    return [
        row.depth,
        row.method,
        row.host,
        row.uri,
        row.referrer,
        row.version,
        row.userAgent,
        row.origin,
        row.requestLength,
        row.responseLength,
        row.status,
        row.statusMessage,
        row.infoCode,
        row.infoMessage,
        _NO_TAGS,
        row.username,
        None,
        row.proxied,
        *_NO_FILES,
    ]


class BroLogs:
    """
    The logs of one engine; provides L{openmb.plugins.bro.tracking.talks.IOutput}.

    @param directory: where they are written; None: nowhere.
    @param local: which addresses are local.
    @param rotation: microseconds of packet time after which files are rotated; 0: never.
    @param level: of compression, 1 to 9; 0: none.
    @param patience: seconds that rows may wait before the operating system gets them.
    @param tunnelled: conn.log has rows of flows inside tunnels too.
    """

    def __init__(
        self,
        directory: Path | None,
        asJSON: bool,
        ids: ConnectionIDs,
        append: bool = False,
        local: LocalNetworks = PRIVATE,
        rotation: int = 0,
        level: int = 0,
        patience: float = 0.0,
        tunnelled: bool = False,
    ) -> None:
        self._ids, self._local, self._tunnelled, self._text = ids, local, tunnelled, RowText(ids, local)
        # a connection's rows come soon after each other
        self._connectionText = lru_cache(maxsize=8192)(self._findText)
        self._patience, self._flushed = patience, time.monotonic()
        self.conn = LogFile(directory, "conn", CONNECTION_COLUMNS, asJSON, append, rotation, level)
        self.http = LogFile(directory, "http", HTTP_COLUMNS, asJSON, append, rotation, level)
        self.dns = LogFile(directory, "dns", DNS_COLUMNS, asJSON, append, rotation, level)
        self.others: tuple[LogFile, ...] = ()  # of policies

    def adjust(self, local: LocalNetworks, patience: float, tunnelled: bool) -> None:
        """Go by these from the next row on."""
        self._local, self._patience, self._tunnelled = local, patience, tunnelled
        self._text = RowText(self._ids, local)

    def connections(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """Rows of conn.log, all or none; those of flows inside tunnels only where they are wanted."""
        if not self._tunnelled and rows["tunnelled"].any():
            plain = rows["tunnelled"] == 0
            keys, rows = keys[plain], rows[plain]
        ready = self._text.format(keys, rows) if self.conn.takesText else None
        if ready is None:
            self.conn.writeAll(list(connectionRows(self._ids, keys, rows, self._local)), rows["last"].tolist())
        else:
            self.conn.writeBlock(*ready, rows["last"])

    def messages(self, identity: Identity, rows: list[HTTPRow | DNSRow]) -> None:
        """Rows of http.log and dns.log."""
        requests = [row for row in rows if isinstance(row, HTTPRow)]
        queries = [row for row in rows if isinstance(row, DNSRow)]
        if self.http.takesText:
            connection = self._connectionText(identity.key, identity.start, identity.swapped)
            ports = portsOf(identity.words, identity.swapped)
            asked = [requestLine(row, connection) for row in requests]
            looked = [queryLine(row, connection, ports) for row in queries]
            self.http.writeLines(asked, [row.stamp // 1000 for row in requests])
            self.dns.writeLines(looked, [row.stamp // 1000 for row in queries])
        else:
            self._values(identity, requests, queries)

    def _findText(self, key: bytes, start: int, swapped: bool) -> bytes:
        """Id and ends of a connection as they stand in every row about it, a tab after each."""
        identity = Identity(WORDS.unpack(key), start, swapped)
        return "".join(f"{field}\t" for field in beginningOf(self._ids, identity)).encode()

    def _values(self, identity: Identity, requests: list[HTTPRow], queries: list[DNSRow]) -> None:
        """The same for logs whose format wants values."""
        beginning = beginningOf(self._ids, identity)
        self.http.writeAll([[row.stamp // 1000, *beginning, *columnsOf(row)] for row in requests])
        self.dns.writeAll([dnsValues(row, beginning[0], beginning[1:]) for row in queries])

    def requests(self, lanes: Lanes, rows: NDArray[np.int32]) -> None:
        """Rows of http.log from the fast path."""
        made = self._text.requests(lanes, rows) if self.http.takesText else None
        if made is not None:
            self.http.writeBlock(made.block, made.ends, lanes.requests["stamp"][rows] // 1000)
            return
        for node in rows.tolist():
            request = lanes.requests[node]
            identity = Identity(request["key"].tolist(), int(request["start"]), bool(request["swapped"]))
            self.messages(identity, [rowOf(lanes, node)])

    @property
    def _files(self) -> tuple[LogFile, ...]:
        return self.conn, self.http, self.dns, *self.others

    def flush(self) -> None:
        """
        Hand all rows to the operating system, unless they may wait.

        @raise OutputFailed: it does not take those of some log; they are kept.
        """
        if self._patience:
            now = time.monotonic()
            if now < self._flushed + self._patience:
                return
            self._flushed = now
        _all(*(log.flush for log in self._files))

    def close(self) -> None:
        """
        End the files.

        @raise OutputFailed: as L{flush}; may be called again.
        """
        _all(*(log.close for log in self._files))


def _all(*calls: Callable[[], None]) -> None:
    """Each of C{calls}, whatever the others raise."""
    failed: list[str] = []
    for call in calls:
        try:
            call()
        except OutputFailed as error:
            failed.append(str(error))
    if failed:
        raise OutputFailed("; ".join(failed))
