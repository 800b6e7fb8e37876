"""PRADS is measured beside the real program, and what both write is compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.bench.assets import AssetsResult, Side, measureAssets, synPackets
from openmb.bench.report import assetsText
from openmb.bench.traffic import writeCapture
from openmb.packets.decode import Decoder
from tests.plugins.prads.running import realLines, rules


class MeasureTests(SynchronousTestCase):
    """Small captures."""

    def test_syns(self) -> None:
        """So many connections of so many hosts."""
        headers = Decoder(checksums=False, reassemble=False).decode(synPackets(5000, 2500, 1000)).headers
        self.assertEqual(1000, len(np.unique(headers["source_low"])))
        self.assertEqual(2500, len(np.unique(headers[["source_low", "destination_low", "source_port"]])))

    def test_measured(self) -> None:
        """Both run, and write the same."""
        rules()  # raises unless the real program's files are here
        folder = Path(self.mktemp())
        folder.mkdir()
        capture = folder / "own.pcap"
        packets = writeCapture(capture, 50, 600)
        realLines(capture, folder / "log")
        found = measureAssets(capture, folder, 1, 3000)
        self.assertEqual((), found.different)
        self.assertEqual(packets, found.packets)
        self.assertLess(found.real.memory, found.ours.memory)

    def test_text(self) -> None:
        """What differs is said."""
        side = Side((1.0, 2.0, 3.0), 2048, 100.0, 200.0)
        text = "\n".join(assetsText(AssetsResult(5, side, side, (4.0, 6.0, 7.0), ("assets",))))
        self.assertIn("6.00 times as fast (from 4.00 to 7.00)", text)
        self.assertIn("DIFFERENT: assets", text)
