"""C{twistd openmb-switch}: options, and the real program."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from openmb.netctl.embedded.client import EmbeddedNetwork
from openmb.netctl.embedded.service import SwitchSettings
from openmb.netctl.embedded.stamps import StampMode
from openmb.netctl.embedded.tap import Options, settingsOf
from tests.netctl.embedded.running import REACTOR


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def settings(self, *arguments: str) -> SwitchSettings:
        options = Options()
        options.parseOptions(arguments)
        return settingsOf(options)

    def test_defaults(self) -> None:
        """A directory is enough."""
        self.assertEqual(SwitchSettings(Path("/x"), StampMode.ARRIVAL, 4 << 20, 10.0, ()), self.settings("-d", "/x"))

    def test_all(self) -> None:
        """Everything said."""
        words = ["-d", "/x", "--stamps=capture", "--queue=64", "--grace=2.5", "--port=a", "--port=b", "-p", "a"]
        found = self.settings(*words)
        self.assertEqual(SwitchSettings(Path("/x"), StampMode.CAPTURE, 65536, 2.5, ("a", "b")), found)

    def test_wrong(self) -> None:
        """What cannot be is a usage error."""
        for more in ("--stamps never", "--queue 0", "--grace x", "--grace nan", "--port a/b", "--port control"):
            self.assertRaises(UsageError, self.settings, "-d", "/x", *more.split())
        self.assertRaises(UsageError, self.settings)


class _Program(ProcessProtocol):
    """The running program: what it said, and its end."""

    def __init__(self) -> None:
        self.said = b""
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[str] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.said += data
        if b"switch is ready" in self.said and not self.ready.called:
            self.ready.callback(None)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if not self.ready.called:
            self.ready.errback(AssertionError(self.said.decode()))
        self.ended.callback(reason.getErrorMessage())


class ProgramTests(TestCase):
    """A real process."""

    timeout = 120

    async def test_run(self) -> None:
        """It starts, answers on its control socket, and ends on SIGTERM, leaving no socket."""
        directory = Path(tempfile.mkdtemp(prefix="omb"))
        self.addCleanup(shutil.rmtree, directory)
        program = _Program()
        words = [sys.executable, "-m", "twisted", "openmb-switch", "--directory", str(directory / "s"), "--port", "a"]
        spawner: Any = reactor
        spawner.spawnProcess(program, sys.executable, words, env=os.environ, path=os.getcwd())
        await program.ready
        network = EmbeddedNetwork(directory / "s" / "control.sock", REACTOR)
        self.assertEqual(["a"], [report["name"] for report in await network.ports()])
        network.close()
        transport: Any = program.transport
        transport.signalProcess("TERM")
        self.assertIn("signal 15", await program.ended)
        self.assertEqual([], list((directory / "s").iterdir()))
