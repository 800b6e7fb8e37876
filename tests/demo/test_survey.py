"""What is found out about a capture before it is replayed."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.demo.runner import ownCapture
from openmb.demo.survey import survey
from openmb.errors import CaptureError
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.capture import openCapture
from openmb.packets.stream import PcapStreamWriter


class SurveyTests(SynchronousTestCase):
    """The server whose flows are to move."""

    def test_ownCapture(self) -> None:
        """The demonstration's capture: one of its two servers, every packet counted."""
        found = survey(openCapture(ownCapture()))
        self.assertEqual(len(found.stamps), 31532)
        self.assertIn(found.server, ("10.9.0.10", "10.9.0.20"))
        self.assertEqual(found.flows, f"ip,nw_dst={found.server}")

    def test_nothingToMove(self) -> None:
        """A capture without connections cannot be demonstrated with."""
        batch: PacketBatch = packetBatch([bytes(60)], [1])
        writer = PcapStreamWriter(1)
        path = Path(self.mktemp())
        path.write_bytes(bytes(writer.header()) + bytes(writer.records(batch)))
        self.assertRaises(CaptureError, survey, openCapture(path))
