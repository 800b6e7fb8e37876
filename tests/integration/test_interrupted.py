"""Ctrl-C in every command that takes its time: one line, status 130, no traceback; real processes and a real signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType
from openmb.packets.pcap import PcapHeader

#: Seconds that a command may take to begin, and to end after the signal.
_PATIENCE = 120


class InterruptedTests(SynchronousTestCase):
    """Each command is interrupted while it waits."""

    def interrupted(self, *words: str, ready: str = "") -> None:
        """
        Run C{openmb} with these words and interrupt it.

        @param ready: what it prints when it is at work; empty: as soon as it sleeps.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        said = (folder / "said").open("w+")
        self.addCleanup(said.close)
        running = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *words],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=dict(os.environ),
            start_new_session=True,
        )
        self.addCleanup(_end, running)
        assert running.stdin is not None
        if "-" in words:
            running.stdin.write(PcapHeader(LinkType.ETHERNET, False, False).build())
            running.stdin.flush()
        deadline = time.monotonic() + _PATIENCE
        while ready not in (folder / "said").read_text() or not (folder / "begun").exists():
            self.assertIsNone(running.poll(), (folder / "said").read_text())
            self.assertLess(time.monotonic(), deadline, (folder / "said").read_text())
            time.sleep(0.02)
        # a signal before the wait begins is one in its beginning: it must end the command too
        os.killpg(running.pid, signal.SIGINT)
        status = running.wait(_PATIENCE)
        text = (folder / "said").read_text()
        self.assertEqual(130, status, text)
        self.assertNotIn("Traceback", text)
        self.assertTrue(text.endswith("openmb: interrupted\n"), text)

    def controller(self) -> str:
        """A socket at which somebody listens who never answers."""
        path = Path(self.mktemp()).absolute()
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(os.path.relpath(path))
        listening.listen()
        return str(path)

    def test_asking(self) -> None:
        """Commands that wait for the controller."""
        for words in (("move", "a", "b", "*"), ("clone", "a", "b"), ("events", "--follow"), ("status",)):
            self.interrupted(*words, "--socket", self.controller())

    def test_run(self) -> None:
        """A run over a stream that does not go on."""
        self.interrupted("run", "bro", "--pcap", "-")

    def test_simulate(self) -> None:
        """Many processes."""
        self.interrupted("simulate", "--seeds", "100000")

    def test_relay(self) -> None:
        self.interrupted("relay", "a", "b", "--socket", self.controller())


#: Says when it is about to begin, so that nobody interrupts the import of the standard library.  A shell that put the
#: tests into the background has them ignore Ctrl-C, and the commands would inherit that.
_PROGRAM = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from openmb.northbound import cli
pathlib.Path("begun").touch()
sys.exit(cli.main(sys.argv[1:]))
"""


def _end(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    if running.stdin is not None:
        running.stdin.close()
