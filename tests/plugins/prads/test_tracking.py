"""
Connections and counters of traffic equal the real program's, all checks off.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.capture import openCapture
from openmb.packets.loads import plainArrays
from openmb.plugins.prads import decoding
from openmb.plugins.prads.connections import connectionLine, endOrder, endStatus
from openmb.plugins.prads.records import ROW
from openmb.plugins.prads.statistics import Counter, statisticsText
from openmb.state.table import FlowTable
from tests.plugins.prads.needing import missing
from tests.shared import sharedCaptures

_track: Any = decoding.track


def realOutput(capture: Path, log: Path) -> list[str]:
    """What the real program prints with C{-x} and no checks, SIGALRM blocked."""
    found = shutil.which("prads")
    if found is None:
        raise missing("the real program is not here: install the Debian package prads")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        ran = subprocess.run(
            [found, "-X", "-x", "-l", str(log), "-r", str(capture)], capture_output=True, check=True, timeout=120
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return ran.stdout.decode("latin-1").splitlines()


def ourOutput(capture: Path) -> tuple[list[str], list[str]]:
    """The lines of ended connections and those of the statistics."""
    table, counters = FlowTable(ROW), np.zeros(len(Counter), np.int64)
    for batch in openCapture(capture).batches(4096):
        table.reserve(len(batch))
        _track(*plainArrays(batch), counters, table.arrays, table.rows, np.zeros(len(batch), decoding.FOUND))
    slots = table.slots()
    keys, rows = table.flowKeys(slots), table.rows[slots]
    order = endOrder(keys, rows)
    lines = [connectionLine(keys[i], rows[i], endStatus(keys[i], rows[i])) for i in order.tolist()]
    return lines, statisticsText(counters).splitlines()


class TrackingTests(SynchronousTestCase):
    """The real program is the oracle."""

    def test_captures(self) -> None:
        """Every shared capture of full packets, but those that the real program does not survive."""
        compared, different = 0, []
        for capture in sharedCaptures():
            if capture.name.startswith(("crash_", "trunc_")) or capture.suffix not in (".pcap", ".pcapng"):
                continue
            real = realOutput(capture, Path(self.mktemp()))
            lines, statistics = ourOutput(capture)
            realLines = [line for line in real if line[:1].isdigit() and not line.endswith("[New]")]
            # assets are no part of what is tracked here
            theirs = [line for line in real if line.startswith("-- Total") and "assets" not in line]
            ours = [line for line in statistics if line.startswith("-- Total") and "assets" not in line]
            compared += 1
            if lines != realLines or theirs != ours:
                different.append((capture.name, len(lines), len(realLines), set(ours) ^ set(theirs)))
        self.assertGreater(compared, 0)
        self.assertEqual(different, [])

    def test_crashes(self) -> None:
        """Captures that the real program does not survive are read whole."""
        captures = [capture for capture in sharedCaptures() if capture.name.startswith("crash_")]
        self.assertGreater(len(captures), 0)
        for capture in captures:
            packets = sum(len(batch) for batch in openCapture(capture).batches(4096))
            self.assertIn(f"libpcap    :{packets:12}", ourOutput(capture)[1][1])
