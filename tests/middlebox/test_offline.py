"""A middlebox over captures, alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import CaptureError
from openmb.middlebox.offline import runOffline
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.stream import writeCapture
from openmb.testing.adapters import manyFlows
from tests.middlebox.rig import End


class OfflineTests(SynchronousTestCase):
    """What comes of a run."""

    def test_unknownLinkType(self) -> None:
        """Of a stream too; where only some packets have one it is a remark."""
        path, pipe = Path(self.mktemp()), Path(self.mktemp())
        writeCapture(path, [packetBatch([b"x"], [1], 195)])
        os.mkfifo(pipe)
        writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
        writer.start()
        self.addCleanup(writer.join, 5)
        for each in (path, pipe):
            error = self.assertRaises(CaptureError, runOffline, End("a").engine, Decoder(), [openCapture(each)])
            self.assertIn("link type 195 is not known", str(error))

        class Mixed:
            path = Path("mixed")
            remarks: list[str] = []

            def batches(self, limit: int = 4096) -> Iterator[PacketBatch]:
                yield packetBatch([b"x"], [1], 195)
                yield manyFlows()

        ran = runOffline(End("a").engine, Decoder(), [Mixed()])
        self.assertEqual(("mixed: packets of link type 195 are not decoded",), ran.remarks)

    def test_forwarded(self) -> None:
        """What an in-line kind sends on is counted where it goes nowhere; what another kind keeps is not."""
        path = Path(self.mktemp())
        writeCapture(path, [manyFlows()])
        for inline in (True, False):
            engine = End("a").engine
            engine.inline = inline
            ran = runOffline(engine, Decoder(), [openCapture(path)])
            self.assertEqual(len(manyFlows()) if inline else 0, ran.forwarded)
