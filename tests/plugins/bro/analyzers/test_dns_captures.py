"""The DNS analyser against real captures and the dns.log that Zeek wrote of them: every row, all columns but the id."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.bro.analyzers.analyzer import Sign
from openmb.plugins.bro.reporting.dnslog import DNS_COLUMNS
from tests.plugins.bro.analyzers.dnsreplay import replay
from tests.shared import needSharedFolder

#: Rows in each of Zeek's logs.
CAPTURES = {
    "bro/core.ipv6-frag": 3,
    "bro/opt.basic": 34,
    "bro/scripts.base.protocols.dns.flip": 1,
    "bro/scripts.base.protocols.dns.multiple-txt-strings": 1,
    "bro/scripts.base.protocols.dns.zero-responses": 1,
    "ndpi/6in4tunnel.pcap": 2,
    "ndpi/KakaoTalk_chat.pcap": 18,
    "ndpi/dns_long_domainname.pcap": 1,
    "ndpi/malware.pcap": 1,
    "ndpi/ocs.pcap": 8,
}

Row = tuple[str, ...]


def expected(log: Path) -> Counter[Row]:
    """The rows of a dns.log without the id."""
    lines = (line.split("\t") for line in log.read_text().splitlines() if not line.startswith("#"))
    return Counter((line[0], *line[2:]) for line in lines)


class CaptureTests(SynchronousTestCase):
    """Every row that Zeek writes, and no other."""

    def compare(self, capture: Path, log: Path, count: int) -> None:
        want = expected(log)
        connections = replay(capture)
        have = Counter(row for connection in connections for row in connection.texts())
        self.assertEqual(want.total(), count)
        self.assertEqual((have - want, want - have), (Counter(), Counter()), str(capture))
        self.assertEqual(sum(Sign.CONFIRMED in each.signs for each in connections if each.rows), self.services(log))

    def services(self, log: Path) -> int:
        """Connections that Zeek says speak DNS."""
        lines = (line.split("\t") for line in log.with_name("conn.log").read_text().splitlines() if line[0] != "#")
        return sum(line[7] == "dns" for line in lines)

    def test_suites(self) -> None:
        traces = needSharedFolder() / "traces"
        for name, count in CAPTURES.items():
            (capture,) = (path for path in (traces / name).iterdir() if path.suffix in (".pcap", ".pcapng"))
            self.compare(capture, traces / name / "dns.log", count)

    def test_generated(self) -> None:
        shared = needSharedFolder()
        capture = Path(self.mktemp())
        tool = [sys.executable, str(shared / "tools" / "gen_traffic.py"), "--packets", "60000", "--flows", "1500"]
        subprocess.run([*tool, "--seed", "1", "--out", str(capture)], check=True, capture_output=True)
        self.compare(capture, shared / "traces" / "generated" / "seed1-60000-1500" / "dns.log", 252)

    def test_columns(self) -> None:
        """Names and types as Zeek's."""
        lines = (needSharedFolder() / "traces" / "bro" / "opt.basic" / "dns.log").read_text().splitlines()
        names, types = (next(line for line in lines if line.startswith(head)) for head in ("#fields", "#types"))
        self.assertEqual(names.split("\t")[1:], [column.name for column in DNS_COLUMNS])
        self.assertEqual(types.split("\t")[1:], [column.type for column in DNS_COLUMNS])
