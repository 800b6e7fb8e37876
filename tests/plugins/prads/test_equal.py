"""Our files equal what the real program writes, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.prads.homenets import DEFAULT as EVERYWHERE
from openmb.plugins.prads.statistics import Counter
from openmb.plugins.prads.tasks import DEFAULT, Does
from tests.plugins.prads.running import (
    EVERYTHING_ON,
    decodeCapture,
    different,
    makePrads,
    ourLines,
    realLines,
)
from tests.shared import sharedCaptures, sharedFolder

#: Flags of the real program, and what they are for ours: by default, with everything, and three lists of networks.
MODES: tuple[tuple[tuple[str, ...], Does, str], ...] = (
    ((), DEFAULT, EVERYWHERE),
    (("-M", "-A"), EVERYTHING_ON, EVERYWHERE),
    *(
        (("-a", homes), DEFAULT, homes)
        for homes in (
            "10.0.0.0/8,192.168.0.0/255.255.0.0",
            "fe80::/64,2001:db8::/48",
            "10.0.0.0/9,fe80::/10,172.16.0.0/12,2001::/35",
        )
    ),
)


class EqualTests(SynchronousTestCase):
    """The real program is the oracle."""

    def compare(
        self,
        captures: Iterable[Path],
        modes: Iterable[int] = range(len(MODES)),
        files: Iterable[str] = ("assets", "connections", "statistics"),
    ) -> None:
        """These files, in each mode."""
        found, count = [], 0
        for capture in captures:
            for mode in modes:
                flags, does, homes = MODES[mode]
                real = realLines(capture, Path(self.mktemp()), *flags)
                ours = ourLines(capture, Path(self.mktemp()), does, homes)
                count += 1
                for name in files:
                    text = different(getattr(ours, name), getattr(real, name))
                    if text:
                        found.append(f"{capture.name} {' '.join(flags)}, {name}: {text}")
        self.assertGreater(count, 0)
        self.assertEqual([], found)

    def test_captures(self) -> None:
        """Every shared capture but those that the real program does not survive."""
        self.compare(each for each in sharedCaptures() if not each.name.startswith("crash_"))

    def test_reports(self) -> None:
        """The small captures made after public bug reports."""
        shared = sharedFolder()
        if shared is None or not (shared / "reports").exists():
            raise self.skipTest("the shared folder is not here")
        captures = sorted((shared / "reports").glob("*.pcap"))
        # from 2038 on the real program writes no connections
        self.compare(each for each in captures if not each.name.startswith("24_"))
        self.compare((each for each in captures if each.name.startswith("24_")), files=("assets", "statistics"))

    def test_generated(self) -> None:
        """Generated traffic of three seeds."""
        shared = sharedFolder()
        tool = None if shared is None else shared / "tools" / "gen_traffic.py"
        if tool is None or not tool.exists():
            raise self.skipTest("the shared folder is not here")
        captures = []
        for seed in (3, 4, 5):
            capture = Path(self.mktemp())
            command = [sys.executable, str(tool), "--packets", "12000", "--flows", "900", "--seed", str(seed)]
            subprocess.run([*command, "--out", str(capture)], check=True, capture_output=True, timeout=120)
            captures.append(capture)
        self.compare(captures)

    def test_crashes(self) -> None:
        """Captures that the real program does not survive are read whole; what made no sense is counted."""
        captures = [each for each in sharedCaptures() if each.name.startswith("crash_")]
        self.assertGreater(len(captures), 0)
        malformed = 0
        for capture in captures:
            middlebox, packets = makePrads(None), 0
            for batch in decodeCapture(capture):
                self.assertEqual((), middlebox.process(batch, None).failed)
                packets += len(batch)
            middlebox.finish()
            self.assertEqual(packets, int(middlebox.shares.total[Counter.PACKETS]))
            malformed += int(middlebox.shares.total[Counter.MALFORMED])
        self.assertGreater(malformed, 0)
