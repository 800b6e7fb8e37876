"""Real captures against what real Zeek wrote for them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.plugins.bro.running import Row, decodeCapture, readLog, runDecoded
from tests.shared import needSharedFolder

#: Columns that Zeek fills in at random or that are not written yet.
LEFT_OUT = {"uid", "tunnel_parents", "service"}


def comparable(rows: list[Row]) -> Counter[tuple[str, ...]]:
    """Rows without what cannot be compared, and without rows of flows in tunnels."""
    flat = [row for row in rows if row.get("tunnel_parents", "-") in ("-", "(empty)")]
    return Counter(tuple(value for name, value in row.items() if name not in LEFT_OUT) for row in flat)


class CaptureTests(SynchronousTestCase):
    """Every row of conn.log, to the last column."""

    def _compare(self, capture: Path, expected: Path) -> tuple[int, int, list[tuple[str, ...]]]:
        """Rows that agree, rows in either, and those that do not agree."""
        folder = Path(self.mktemp())
        runDecoded(folder, decodeCapture(capture))
        want, have = comparable(readLog(expected)), comparable(readLog(folder / "conn.log"))
        return (want & have).total(), (want | have).total(), list(((want | have) - (want & have)).elements())

    def _compareFolder(self, name: str) -> None:
        for case in sorted((needSharedFolder() / "traces" / name).iterdir()):
            for capture in sorted(case.glob("*.pcap*")) if case.is_dir() else ():
                self.assertEqual(self._compare(capture, case / "conn.log")[2], [], capture.name)

    def test_zeekSuite(self) -> None:
        """The captures of Zeek's own test suite."""
        self._compareFolder("bro")

    def test_ndpiSuite(self) -> None:
        """The captures of nDPI's test suite."""
        self._compareFolder("ndpi")

    def test_generated(self) -> None:
        """60,000 packets of synthetic traffic."""
        shared = needSharedFolder()
        capture = Path(self.mktemp())
        tool = [sys.executable, str(shared / "tools" / "gen_traffic.py"), "--packets", "60000", "--flows", "1500"]
        subprocess.run([*tool, "--seed", "1", "--out", str(capture)], check=True, capture_output=True)
        agreeing, total, different = self._compare(
            capture, shared / "traces" / "generated" / "seed1-60000-1500" / "conn.log"
        )
        self.assertEqual((agreeing, different), (total, []))
        self.assertGreater(total, 1400)
