"""
The HTTP parser against real captures and the http.log that Zeek wrote of them.

Compared are connections to the HTTP ports that began with a SYN.  Left out: rows of connections to other ports, inside
tunnels, or whose first packet is missing; and rows of a parser that was attached again after a violation.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.reporting.logs import TSVFormat
from openmb.plugins.bro.reporting.output import HTTP_COLUMNS, columnsOf
from tests.plugins.bro.replay import Result, replay
from tests.plugins.bro.running import readLog
from tests.shared import sharedFolder

#: Columns that are not compared: Zeek makes the id up, and files are not looked at.
LEFT_OUT = {"uid", *(column.name for column in HTTP_COLUMNS[-6:])}

#: Rows expected in each capture, and how many of them must agree.
CAPTURES = {
    "bro/core.tcp-padding": (1, 1),
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
    "ndpi/trickbot.pcap": (1, 1),
    "ndpi/zattoo.pcap": (8, 8),
}
Row = tuple[str, ...]
FORMAT = TSVFormat("http", HTTP_COLUMNS)


def comparable(rows: Iterable[dict[str, str]]) -> Counter[Row]:
    """Rows without what is not compared."""
    return Counter(tuple(value for name, value in row.items() if name not in LEFT_OUT) for row in rows)


def shown(result: Result, row: HTTPRow) -> dict[str, str]:
    """A row as the log shows it."""
    ends = (result.originator, result.originatorPort, result.responder, result.responderPort)
    fields = FORMAT.row([row.stamp // 1000, "uid", *ends, *columnsOf(row)])[:-1].split("\t")
    return dict(zip((column.name for column in HTTP_COLUMNS), fields, strict=True))


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
        return comparable(shown(result, row) for result in replay(capture, useSkip) for row in result.rows)

    def compare(self, useSkip: bool) -> None:
        for name, (expected, agreeing) in CAPTURES.items():
            theirs, ours = comparable(readLog(self.traces / name / "http.log")), self.rows(name, useSkip)
            self.assertEqual(theirs.total(), expected, name)
            self.assertEqual((theirs & ours).total(), agreeing, f"{name}: {ours - theirs} for {theirs - ours}")
            self.assertEqual(ours.total(), agreeing, name)

    def test_everyByte(self) -> None:
        self.compare(False)

    def test_bodiesPassedOver(self) -> None:
        self.compare(True)

    def test_generated(self) -> None:
        """60,000 packets of synthetic traffic, with junk after requests and replies that it cuts off."""
        shared, capture = self.traces.parent, Path(self.mktemp())
        tool = [sys.executable, str(shared / "tools" / "gen_traffic.py"), "--packets", "60000", "--flows", "1500"]
        subprocess.run([*tool, "--seed", "1", "--out", str(capture)], check=True, capture_output=True)
        theirs = comparable(readLog(self.traces / "generated" / "seed1-60000-1500" / "http.log"))
        ours = comparable(shown(result, row) for result in replay(capture, False) for row in result.rows)
        self.assertEqual((theirs.total(), ours - theirs, theirs - ours), (456, Counter(), Counter()))
