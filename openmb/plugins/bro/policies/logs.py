"""
The logs of policies: notice.log, known_hosts.log, known_services.log, stats.log and weird.log.

Unlike the others they are made with their first row only, as Zeek makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.policies.ledger import Counted, Fact, Note
from openmb.plugins.bro.policies.observations import Address
from openmb.plugins.bro.reporting.connections import BEGINNING, addressText, beginningOf
from openmb.plugins.bro.reporting.logfile import LogFile
from openmb.plugins.bro.reporting.logs import Column, Value
from openmb.plugins.bro.reporting.uid import ConnectionIDs
from openmb.plugins.bro.service import Service
from openmb.plugins.bro.tracking.identity import Identity
from openmb.plugins.bro.tracking.weirds import Weird

NOTICE_COLUMNS = (
    Column("ts", "time"),
    Column("uid", "string"),
    Column("id.orig_h", "addr"),
    Column("id.orig_p", "port"),
    Column("id.resp_h", "addr"),
    Column("id.resp_p", "port"),
    Column("fuid", "string"),
    Column("file_mime_type", "string"),
    Column("file_desc", "string"),
    Column("proto", "enum"),
    Column("note", "enum"),
    Column("msg", "string"),
    Column("sub", "string"),
    Column("src", "addr"),
    Column("dst", "addr"),
    Column("p", "port"),
    Column("n", "count"),
    Column("peer_descr", "string"),
    Column("actions", "set[enum]"),
    Column("email_dest", "set[string]"),
    Column("suppress_for", "interval"),
    Column("remote_location.country_code", "string"),
    Column("remote_location.region", "string"),
    Column("remote_location.city", "string"),
    Column("remote_location.latitude", "double"),
    Column("remote_location.longitude", "double"),
)
HOST_COLUMNS = (Column("ts", "time"), Column("host", "addr"))
SERVICE_COLUMNS = (
    *HOST_COLUMNS,
    Column("port_num", "port"),
    Column("port_proto", "enum"),
    Column("service", "set[string]"),
)
WEIRD_COLUMNS = (
    *BEGINNING,
    Column("name", "string"),
    Column("addl", "string"),
    Column("notice", "bool"),
    Column("peer", "string"),
    Column("source", "string"),
)
STATS_COLUMNS = (
    Column("ts", "time"),
    *(
        Column(name, "count")
        for name in (
            "tcp_conns",
            "udp_conns",
            "icmp_conns",
            "other_conns",
            "pkts",
            "ip_bytes",
            "established",
            "failed_attempts",
            "http_requests",
            "dns_queries",
            "notices",
            "suppressed_notices",
            "forgotten",
        )
    ),
)
#: Microseconds for which a notice is not repeated about the same host: Zeek's C{Notice::default_suppression_interval}.
SUPPRESSED_FOR = 3600 * 1_000_000
_NAMES = {
    Note.ADDRESS_SCAN: "Scan::Address_Scan",
    Note.PORT_SCAN: "Scan::Port_Scan",
    Note.PASSWORD_GUESSING: "SSH::Password_Guessing",
}
_PROTOCOLS = {6: "tcp", 17: "udp"}


@dataclass(frozen=True, slots=True)
class Notice:
    """
    One row of notice.log.

    @ivar stamp: microseconds.
    @ivar source: who does it; C{victim}, C{port}: to whom, None where there are many.
    """

    note: Note
    stamp: int
    message: str
    detail: str
    source: Address
    victim: Address | None = None
    port: int | None = None

    @property
    def name(self) -> str:
        """As Zeek calls it."""
        return _NAMES[self.note]


class PolicyLogs:
    """
    The files.

    @param directory: None: rows are counted and dropped.
    @param shape: format, append, rotation and compression, as in L{LogFile}.
    """

    def __init__(self, directory: Path | None, *shape: int) -> None:
        asJSON, append, rotation, level = shape

        def log(path: str, columns: tuple[Column, ...]) -> LogFile:
            return LogFile(directory, path, columns, bool(asJSON), bool(append), rotation, level, sparse=True)

        self.notice = log("notice", NOTICE_COLUMNS)
        self.hosts = log("known_hosts", HOST_COLUMNS)
        self.services = log("known_services", SERVICE_COLUMNS)
        self.stats = log("stats", STATS_COLUMNS)
        self.weird = log("weird", WEIRD_COLUMNS)

    @property
    def files(self) -> tuple[LogFile, ...]:
        """All of them."""
        return self.notice, self.hosts, self.services, self.stats, self.weird

    def notices(self, notices: list[Notice]) -> None:
        """Rows of notice.log."""
        self.notice.writeAll([_noticeValues(each) for each in notices])

    def fact(self, fact: Fact, stamp: int) -> None:
        """A row of known_hosts.log or known_services.log."""
        host = addressText(*fact.address)
        if not fact.protocol:
            self.hosts.writeAll([[stamp, host]])
            return
        names = (Service(fact.service).text.upper(),) if fact.service else ()
        self.services.writeAll([[stamp, host, fact.port, _PROTOCOLS[fact.protocol], names]])

    def weirds(self, told: NDArray[Any], ids: ConnectionIDs) -> None:
        """Rows of weird.log."""
        rows: list[list[Value]] = []
        for each in told:
            weird, identity = Weird(int(each["weird"])), _identityOf(each)
            end: list[Value] = [weird.text, None, False, "openmb", weird.source]
            rows.append([int(each["stamp"]) // 1000, *beginningOf(ids, identity), *end])
        self.weird.writeAll(rows)

    def totals(self, stamp: int, counts: list[int]) -> None:
        """The row of stats.log."""
        self.stats.writeAll([[stamp, *(counts[each] for each in Counted)]])


def _identityOf(told: np.void) -> Identity:
    return Identity(told["key"].tolist(), int(told["start"]), bool(told["swapped"]))


def _noticeValues(notice: Notice) -> list[Value]:
    victim = None if notice.victim is None else addressText(*notice.victim)
    about: list[Value] = [notice.message, notice.detail, addressText(*notice.source), victim, notice.port]
    action: list[Value] = [None, None, ("Notice::ACTION_LOG",), (), SUPPRESSED_FOR]
    return [notice.stamp, *[None] * 9, notice.name, *about, *action, *[None] * 5]
