"""The counting kind as a plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from openmb.errors import ConfigurationError
from openmb.interfaces import IMiddleboxPlugin
from openmb.packets.pcap import writeRecords
from openmb.packets.stream import PcapStreamWriter
from openmb.testing.adapters import manyFlows
from openmb.testing.counterplugin import FLOWS, TOTALS, CounterPlugin, writeDropIn


class CounterPluginTests(SynchronousTestCase):
    """C{CounterPlugin}."""

    def test_interface(self) -> None:
        """It is a plugin."""
        self.assertTrue(verifyObject(IMiddleboxPlugin, CounterPlugin()))

    def test_unwritable(self) -> None:
        """A place that cannot be written to is a mistake of whoever set it."""
        plugin = CounterPlugin()
        options = plugin.makeOptions()
        options.parseOptions(["--logs", os.devnull])
        self.assertRaises(ConfigurationError, plugin.makeMiddlebox, options)

    def test_dropIn(self) -> None:
        """The command line knows the kind when the folder is on the path, and runs it over a capture."""
        folder = Path(self.mktemp())
        folder.mkdir()
        packets = manyFlows()
        capture = folder / "flows.pcap"
        capture.write_bytes(PcapStreamWriter(packets.link).header() + bytes(writeRecords(packets, True)))
        place = os.pathsep.join([str(writeDropIn(folder).absolute()), *sys.path])
        command = ("-m", "openmb.northbound.cli", "run", "counter", "--pcap", str(capture), "--logs", str(folder))
        run = subprocess.run(
            [sys.executable, *command], env={**os.environ, "PYTHONPATH": place}, capture_output=True, text=True
        )
        self.assertEqual(0, run.returncode, run.stderr)
        self.assertEqual(6, len((folder / FLOWS).read_text("ascii").splitlines()))
        self.assertEqual("6\t24\n", (folder / TOTALS).read_text("ascii"))
