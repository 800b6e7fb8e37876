"""
The introspection events of a Bro middlebox: what its logs would say, told while it happens.

While nobody listens a tracker reports to the logs alone, and nothing of this is called.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.interfaces import Announce
from openmb.plugins.bro.analyzers.dns.names import codeName, typeName
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.fastpath.lanes import Lanes
from openmb.plugins.bro.policies.logs import Notice
from openmb.plugins.bro.reporting.connections import CONNECTION_COLUMNS, addressText, beginningOf, connectionRows
from openmb.plugins.bro.reporting.logs import readable
from openmb.plugins.bro.reporting.uid import ConnectionIDs
from openmb.plugins.bro.service import Service
from openmb.plugins.bro.tracking.identity import Identity
from openmb.plugins.bro.tracking.talks import IOutput
from openmb.state.announcements import Announced, Announcement, Datum, Field, FieldType, Subject

_HOST = struct.Struct("<2Q")
_T, _W, _R = FieldType.TEXT, FieldType.WHOLE, FieldType.REAL
_CONNECTION = (
    Field("uid", _T, "the connection's id, as in the logs"),
    Field("orig_h", _T, "the originator's address"),
    Field("orig_p", _W, "its port"),
    Field("resp_h", _T, "the responder's address"),
    Field("resp_p", _W, "its port"),
)
CONNECTION_REMOVED = Announcement(
    "connection-removed",
    Subject.FLOW,
    "A connection has ended and its row of conn.log is written; the stamp is that of its last packet.",
    (
        *_CONNECTION,
        Field("proto", _T, "tcp, udp, icmp, …"),
        Field("service", _T, "services found, separated by commas"),
        Field("duration", _R, "seconds"),
        Field("orig_bytes", _W, "payload of the originator"),
        Field("resp_bytes", _W, "payload of the responder"),
        Field("conn_state", _T, "how it ended, as in conn.log"),
        Field("history", _T, "as in conn.log"),
        Field("orig_pkts", _W, "packets of the originator"),
        Field("resp_pkts", _W, "packets of the responder"),
    ),
)
SERVICE_FOUND = Announcement(
    "service-found",
    Subject.FLOW,
    "What a connection says was recognised.",
    (*_CONNECTION, Field("service", _T, "the service, as conn.log names it")),
)
HTTP_REQUEST = Announcement(
    "http-request",
    Subject.FLOW,
    "A request and its response are complete and their row of http.log is written.",
    (
        *_CONNECTION,
        Field("trans_depth", _W, "which request of the connection"),
        Field("method", _T, "the method"),
        Field("host", _T, "value of the Host header"),
        Field("uri", _T, "what was asked for"),
        Field("status_code", _W, "of the response"),
        Field("request_body_len", _W, "bytes of the request's body"),
        Field("response_body_len", _W, "bytes of the response's body"),
    ),
)
DNS_QUERY = Announcement(
    "dns-query",
    Subject.FLOW,
    "A query is answered, or will not be, and its row of dns.log is written.",
    (
        *_CONNECTION,
        Field("query", _T, "the name"),
        Field("qtype_name", _T, "the type asked for"),
        Field("rcode_name", _T, "the answer's code"),
        Field("rtt", _R, "seconds until the answer"),
    ),
)
NOTICE = Announcement(
    "notice",
    Subject.HOST,
    "A notice was written: the stamp is its ts.",
    (
        Field("note", _T, "which, as in notice.log: Scan::Address_Scan, …"),
        Field("msg", _T, "in words"),
        Field("src", _T, "about whom"),
        Field("dst", _T, "to whom, where that is one host"),
        Field("p", _W, "on which port, where that is one"),
    ),
)
ANNOUNCEMENTS = (CONNECTION_REMOVED, SERVICE_FOUND, HTTP_REQUEST, DNS_QUERY, NOTICE)

_NAMES = {column.name: place for place, column in enumerate(CONNECTION_COLUMNS)}
_PLACES = tuple(_NAMES.get(each.name, _NAMES.get(f"id.{each.name}", -1)) for each in CONNECTION_REMOVED.fields)
_DURATION = [each.name for each in CONNECTION_REMOVED.fields].index("duration")
_MILLION = 1_000_000


def noticesTo(announce: Announce) -> Callable[[list[Notice]], None]:
    """What hands notices to C{announce}."""
    return lambda notices: announce([_noticed(each) for each in notices])


def _noticed(notice: Notice) -> Announced:
    victim = None if notice.victim is None else addressText(*notice.victim)
    values = notice.name, notice.message, addressText(*notice.source), victim, notice.port
    return Announced(NOTICE.name, notice.stamp * 1000, _HOST.pack(*notice.source), values)


class Announcer:
    """
    Stands between a tracker and its logs while somebody listens; provides C{IOutput}.

    @param output: the logs.
    @param failed: takes what went wrong here: rows that are written must not be written again because of it.
    """

    def __init__(
        self,
        output: IOutput,
        ids: ConnectionIDs,
        wanted: frozenset[str],
        announce: Announce,
        failed: Callable[[Exception], None],
    ) -> None:
        self._output, self._ids, self._wanted, self._announce, self._failed = output, ids, wanted, announce, failed

    def connections(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        """See C{IOutput}."""
        self._output.connections(keys, rows)
        if CONNECTION_REMOVED.name in self._wanted:
            self._tell(lambda: self._removed(keys, rows))

    def messages(self, identity: Identity, rows: list[HTTPRow | DNSRow]) -> None:
        """See C{IOutput}."""
        self._output.messages(identity, rows)
        if self._wanted & {HTTP_REQUEST.name, DNS_QUERY.name}:
            self._tell(lambda: [one for row in rows if (one := self._said(identity, row)) is not None])

    def requests(self, lanes: Lanes, rows: NDArray[np.int32]) -> None:
        """See C{IOutput}; while somebody listens, no connection is on the fast path, and no row comes from there."""
        self._output.requests(lanes, rows)

    def found(self, identity: Identity, services: Sequence[int], stamp: int) -> None:
        """C{services} were recognised, at C{stamp} (nanoseconds)."""
        if SERVICE_FOUND.name in self._wanted:
            self._tell(lambda: [self._about(SERVICE_FOUND, identity, stamp, Service(each).text) for each in services])

    def _tell(self, events: Callable[[], list[Announced]]) -> None:
        try:
            self._announce(events())
        except Exception as error:  # noqa: BLE001 - whatever it is, the rows are written
            self._failed(error)

    def _removed(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> list[Announced]:
        octets, last = keys.tobytes(), rows["last"].tolist()
        found = []
        for place, values in enumerate(connectionRows(self._ids, keys, rows)):
            said: list[Any] = [values[each] for each in _PLACES]
            if said[_DURATION] is not None:
                said[_DURATION] /= _MILLION
            key = octets[40 * place : 40 * place + 40]
            found.append(Announced(CONNECTION_REMOVED.name, last[place] * 1000, key, tuple(said)))
        return found

    def _about(self, event: Announcement, identity: Identity, stamp: int, *values: Datum) -> Announced:
        """An event about one connection."""
        return Announced(event.name, stamp, identity.key, (*beginningOf(self._ids, identity), *values))

    def _said(self, identity: Identity, row: HTTPRow | DNSRow) -> Announced | None:
        """The event of a row, if it is wanted."""
        if isinstance(row, HTTPRow):
            if HTTP_REQUEST.name not in self._wanted:
                return None
            words = (_text(row.method), _text(row.host), _text(row.uri))
            sizes = (row.status, row.requestLength, row.responseLength)
            return self._about(HTTP_REQUEST, identity, row.stamp, row.depth, *words, *sizes)
        if DNS_QUERY.name not in self._wanted:
            return None
        kind = None if row.queryType is None else typeName(row.queryType)
        code = None if row.code is None else codeName(row.code)
        trip = None if row.roundTrip is None else row.roundTrip / _MILLION
        return self._about(DNS_QUERY, identity, row.stamp, _text(row.query), kind, code, trip)


def _text(value: bytes | str | None) -> str | None:
    return readable(value) if isinstance(value, bytes) else value
