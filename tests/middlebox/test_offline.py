"""A middlebox over captures, alone."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.middlebox.offline import runOffline
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.stream import writeCapture
from openmb.testing.adapters import manyFlows
from tests.middlebox.rig import End


class OfflineTests(SynchronousTestCase):
    """What comes of a run."""

    def test_forwarded(self) -> None:
        """What an in-line kind sends on is counted where it goes nowhere; what another kind keeps is not."""
        path = Path(self.mktemp())
        writeCapture(path, [manyFlows()])
        for inline in (True, False):
            engine = End("a").engine
            engine.inline = inline
            ran = runOffline(engine, Decoder(), [openCapture(path)])
            self.assertEqual(len(manyFlows()) if inline else 0, ran.forwarded)
