"""
The HTTP parser against real captures and the http.log that Zeek wrote of them.

Compared are connections to the HTTP ports that began with a SYN.  Left out: rows of connections to other ports, inside
tunnels, or whose first packet is missing; and rows of a parser that was attached again after a violation.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from openmb.plugins.bro.analyzers.http.parser import HTTPRow
from tests.plugins.bro.replay import Result, replay
from tests.shared import sharedFolder

COLUMNS = (
    "ts",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "trans_depth",
    "method",
    "host",
    "uri",
    "status_code",
)
MORE = ("referrer", "version", "user_agent", "origin", "status_msg", "info_code", "info_msg", "username", "proxied")

#: Rows expected in each capture, and how many of them must agree.
CAPTURES = {
    "bro/core.tcp.miss-end-data": (1, 1),
    "bro/opt.basic": (14, 14),
    "bro/scripts.base.protocols.http.100-continue": (1, 1),
    "bro/scripts.base.protocols.http.http-methods": (49, 26),  # 23 by a second parser after a violation
    "bro/scripts.base.protocols.http.http-no-crlf": (5, 5),
    "bro/scripts.base.protocols.http.http-pipelining": (5, 5),
    "ndpi/KakaoTalk_chat.pcap": (2, 2),
    "ndpi/WebattackSQLinj.pcap": (9, 9),
    "ndpi/aimini-http.pcap": (6, 6),
    "ndpi/http_auth.pcap": (1, 1),
    "ndpi/log4j-webapp-exploit.pcap": (3, 3),
    "ndpi/ocs.pcap": (6, 6),
    "ndpi/zattoo.pcap": (8, 8),
}
#: Captures without gzip bodies, whose lengths must agree too.
EXACT_LENGTHS = ("bro/opt.basic", "bro/scripts.base.protocols.http.http-no-crlf", "ndpi/ocs.pcap", "ndpi/zattoo.pcap")

Row = tuple[str, ...]


def columns(folder: Path, names: tuple[str, ...]) -> Counter[Row]:
    """The named columns of an http.log."""
    fields: list[str] = []
    rows: Counter[Row] = Counter()
    for line in (folder / "http.log").read_text().splitlines():
        if line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif not line.startswith("#"):
            values = dict(zip(fields, line.split("\t"), strict=True))
            rows[tuple(values[name] for name in names)] += 1
    return rows


def shown(value: bytes | int | None) -> str:
    """A column as the log shows it."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    text = value.replace(b"\\", b"\\\\").decode("latin-1")
    return re.sub("[^ -~]", lambda match: f"\\x{ord(match[0]):02x}", text) or "(empty)"


def line(result: Result, row: HTTPRow) -> Row:
    """A row as L{columns} gives it, C{COLUMNS}, C{MORE} and the two lengths."""
    seconds, rest = divmod(row.stamp // 1000, 1_000_000)
    ends = (result.originator, str(result.originatorPort), result.responder, str(result.responderPort))
    shownColumns: tuple[bytes | int | None, ...] = (
        row.depth,
        row.method,
        row.host,
        row.uri,
        row.status,
        row.referrer,
        row.version,
        row.userAgent,
    )
    shownColumns += (row.origin, row.statusMessage, row.infoCode, row.infoMessage, row.username)
    proxied = "-" if row.proxied is None else ",".join(shown(text).replace(",", "\\x2c") for text in row.proxied)
    texts = tuple(shown(value) for value in shownColumns)
    return (f"{seconds}.{rest:06d}", *ends, *texts, proxied, str(row.requestLength), str(row.responseLength))


class CaptureTests(SynchronousTestCase):
    """Every row that Zeek writes, in every column."""

    def setUp(self) -> None:
        shared = sharedFolder()
        if shared is None:
            raise SkipTest("the shared captures are not there: set OPENMB_SHARED")
        self.traces = shared / "traces"

    def rows(self, name: str, useSkip: bool) -> Counter[Row]:
        """Our rows of a capture."""
        (capture,) = (path for path in (self.traces / name).iterdir() if path.suffix in (".pcap", ".pcapng"))
        return Counter(line(result, row) for result in replay(capture, useSkip) for row in result.rows)

    def compare(self, useSkip: bool) -> None:
        for name, (expected, agreeing) in CAPTURES.items():
            theirs = columns(self.traces / name, COLUMNS + MORE)
            ours = Counter(row[:-2] for row in self.rows(name, useSkip).elements())
            self.assertEqual(theirs.total(), expected, name)
            self.assertEqual((theirs & ours).total(), agreeing, f"{name}: {ours - theirs} for {theirs - ours}")
            self.assertEqual(ours.total(), agreeing, name)

    def test_everyByte(self) -> None:
        self.compare(False)

    def test_bodiesPassedOver(self) -> None:
        self.compare(True)

    def test_lengths(self) -> None:
        for name in EXACT_LENGTHS:
            names = (*COLUMNS, *MORE, "request_body_len", "response_body_len")
            self.assertEqual(self.rows(name, True), columns(self.traces / name, names), name)
