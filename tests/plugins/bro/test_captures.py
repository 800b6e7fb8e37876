"""Real captures against what real Zeek wrote for them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.bro.service import Service
from tests.plugins.bro.running import Row, decodeCapture, end, makeBro, readLog, runDecoded
from tests.shared import needSharedFolder

#: Columns that Zeek fills in at random, and those of files, which are not looked at.
LEFT_OUT = {"uid", "tunnel_parents"} | {
    f"{side}_{what}" for side in ("orig", "resp") for what in ("fuids", "filenames", "mime_types")
}
#: Services that are detected here; Zeek has more.
SERVICES = {service.text for service in Service if service not in (Service.NONE, Service.RDP)}
LOGS = ("conn.log", "http.log", "dns.log")

Comparable = tuple[str, ...]


def comparable(rows: list[Row]) -> Counter[Comparable]:
    """Rows without what cannot be compared, and without rows of flows in tunnels."""
    found: Counter[Comparable] = Counter()
    for row in rows:
        if row.get("tunnel_parents", "-") in ("-", "(empty)"):
            if "service" in row:
                names = [name for name in row["service"].split(",") if name in SERVICES]
                row = {**row, "service": ",".join(names) or "-"}
            found[tuple(value for name, value in row.items() if name not in LEFT_OUT)] += 1
    return found


class CaptureTests(SynchronousTestCase):
    """Every row of conn.log, http.log and dns.log, to the last column."""

    def _compare(self, capture: Path, expected: Path) -> dict[str, tuple[Counter[Comparable], Counter[Comparable]]]:
        """For each log Zeek's rows that are missing here, and rows here that Zeek has not; and how many agree."""
        folder = Path(self.mktemp())
        runDecoded(folder, decodeCapture(capture))
        found = {}
        for log in LOGS:
            want, have = comparable(readLog(expected / log)), comparable(readLog(folder / log))
            self.agreeing[log] += (want & have).total()
            found[log] = (want - have, have - want)
        return found

    def setUp(self) -> None:
        self.agreeing: Counter[str] = Counter()

    def _compareFolder(self, name: str) -> None:
        for case in sorted((needSharedFolder() / "traces" / name).iterdir()):
            for capture in sorted(case.glob("*.pcap*")) if case.is_dir() else ():
                for log, (missing, surplus) in self._compare(capture, case).items():
                    self.assertEqual((Counter(), Counter()), (missing, surplus), (case.name, log))

    def test_zeekSuite(self) -> None:
        """The captures of Zeek's own test suite."""
        self._compareFolder("bro")
        self.assertEqual({"conn.log": 196, "http.log": 78, "dns.log": 40}, self.agreeing)

    def test_ndpiSuite(self) -> None:
        """The captures of nDPI's test suite."""
        self._compareFolder("ndpi")
        self.assertEqual({"conn.log": 299, "http.log": 37, "dns.log": 30}, self.agreeing)

    def test_tunnelledConnections(self) -> None:
        """With the option conn.log has the rows of flows inside a tunnel, equal to Zeek's but for the tunnel's id."""
        case = needSharedFolder() / "traces" / "ndpi" / "6in4tunnel.pcap"
        folder = Path(self.mktemp())
        middlebox = makeBro(folder, tunnelled=True)
        for packets in decodeCapture(case / "6in4tunnel.pcap"):
            middlebox.process(packets, None)
        end(middlebox)
        expected = [{**row, "tunnel_parents": "-"} for row in readLog(case / "conn.log")]
        self.assertEqual(10, len(expected))
        self.assertEqual(comparable(expected), comparable(readLog(folder / "conn.log")))

    def test_generated(self) -> None:
        """60,000 packets of synthetic traffic, with junk after requests and replies that it cuts off."""
        shared = needSharedFolder()
        capture = Path(self.mktemp())
        tool = [sys.executable, str(shared / "tools" / "gen_traffic.py"), "--packets", "60000", "--flows", "1500"]
        subprocess.run([*tool, "--seed", "1", "--out", str(capture)], check=True, capture_output=True)
        found = self._compare(capture, shared / "traces" / "generated" / "seed1-60000-1500")
        self.assertEqual({log: (Counter(), Counter()) for log in LOGS}, found)
        self.assertEqual({"conn.log": 1422, "http.log": 456, "dns.log": 252}, self.agreeing)
