"""Ctrl-C in every command that takes its time: one line, status 130, no traceback; real processes and a real signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType
from openmb.packets.pcap import PcapHeader, writeRecords
from openmb.testing.adapters import START, manyFlows
from openmb.testing.survival.gate import Gate
from openmb.testing.survival.points import Moment, Point, Step
from openmb.testing.survival.stage import LAUNCHER
from tests.integration.services import RunningServices

#: Seconds that a command may take to begin, and to end after the signal.
_PATIENCE = 120


class InterruptedTests(SynchronousTestCase):
    """Each command is interrupted while it waits."""

    def interrupted(self, *words: str, ready: Callable[[Path], bool] = lambda folder: True) -> None:
        """
        Run C{openmb} with these words and interrupt it.

        @param ready: is it at work?  It is given the directory where the command runs; what it prints is in C{said}.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        running = _start(folder, *words)
        self.addCleanup(_end, running)
        assert running.stdin is not None
        if "-" in words:
            running.stdin.write(PcapHeader(LinkType.ETHERNET, False, False).build())
            running.stdin.flush()
        self.wait(lambda: (folder / "begun").exists() and ready(folder), running, folder / "said")
        # a signal before the wait begins is one in its beginning: it must end the command too
        os.killpg(running.pid, signal.SIGINT)
        status = running.wait(_PATIENCE)
        text = (folder / "said").read_text()
        self.assertEqual(130, status, text)
        self.assertNotIn("Traceback", text)
        self.assertTrue(text.endswith("openmb: interrupted\n"), text)

    def wait(self, holds: Callable[[], bool], running: subprocess.Popen[bytes], said: Path) -> None:
        """Look again and again, as long as it runs."""
        deadline = time.monotonic() + _PATIENCE
        while not holds():
            self.assertIsNone(running.poll(), said.read_text())
            self.assertLess(time.monotonic(), deadline, said.read_text())
            time.sleep(0.02)

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

    def test_demo(self) -> None:
        """While its processes are at work."""
        self.interrupted("demo", ready=_wrote("results/bro1/conn.log"))

    def test_soak(self) -> None:
        """The same for hours."""
        self.interrupted("soak", "--results", "results", ready=_wrote("results/bro1/conn.log"))

    def test_survive(self) -> None:
        """Amid the runs."""
        words = ("--runs", "50", "--step", "closed", "--party", "source")
        self.interrupted("survive", *words, ready=_said("1/50"))

    def test_bench(self) -> None:
        """While processes are measured, and while the engine is."""
        self.interrupted("bench", "move", ready=_wrote("bench/sent.pcap"))
        self.interrupted("bench", "engine", "--runs", "100000", "--packets", "20000", ready=_wrote("bench/engine"))

    def test_fuzz(self) -> None:
        """Amid the inputs."""
        words = ("--target", "frames", "--target", "captures", "--bytes", "1000000000", "--packets", "0")
        self.interrupted("fuzz", *words)

    def test_replay(self) -> None:
        """One packet is sent, and the next one is hours later."""
        temporary = tempfile.TemporaryDirectory(prefix="openmb-")  # sockets have short names
        self.addCleanup(temporary.cleanup)
        root = Path(temporary.name)
        capture = root / "two.pcap"
        packets = manyFlows([1], rounds=2)
        packets.stamps[1] += 3600 * 1_000_000_000
        capture.write_bytes(PcapHeader(LinkType.ETHERNET, True, False).build() + writeRecords(packets, True))
        switch, said, ready = root / "switch", root / "said", root / "ready"
        words = ("openmb-switch", "--directory", str(switch), "--port", "in", "--announce", str(ready))
        with said.open("w") as file:
            serving = subprocess.Popen([sys.executable, "-m", "twisted", *words], stdout=file, stderr=file)
        self.addCleanup(serving.wait)
        self.addCleanup(serving.terminate)
        self.wait(ready.exists, serving, said)
        self.interrupted("replay", "--pcap", str(capture), "--switch", str(switch))


class InterruptedMoveTests(RunningServices):
    """Who asked for a move is interrupted in the middle of it."""

    def startController(self) -> None:
        """One that stops at a point of its moves."""
        self.gate = Gate(self.deployment.root / "gate", make=True)
        self.addCleanup(self.gate.close)
        arguments = [str(self.deployment.root / "gate"), "patient", *self.deployment.controllerArguments()]
        self.controller = self.children.start("controller", arguments, ("-m", LAUNCHER))

    async def test_move(self) -> None:
        """One line and status 130; the operation goes on to its end, and the flows are at the destination."""
        await self.begin()
        point = Point(Step.HOLDING, Moment.DECIDED)
        self.gate.arm(point)
        said = self.deployment.root / "said"
        words = ("move", "bro1", "bro2", "udp", "--socket", str(self.deployment.socket))
        moving = _start(self.deployment.root, *words)
        self.addCleanup(_end, moving)
        await self.until(f"{point} is reached", self.gate.reached)
        os.killpg(moving.pid, signal.SIGINT)
        await self.until("the command's end", lambda: moving.poll() is not None)
        self.assertEqual(130, moving.returncode, said.read_text())
        self.assertTrue(said.read_text().endswith("openmb: interrupted\n"), said.read_text())
        self.assertNotIn("Traceback", said.read_text())
        self.gate.release()
        await self.idle()
        (report,) = (await self.operations())["over"]
        self.assertEqual(("finished", ""), (report["stage"], report["reason"]))
        await self.feed(START + 200_000_000)
        await self.holds("bro2", 6)
        await self.stopMiddleboxes()
        self.assertEqual([], self.rows("bro1"))
        self.assertEqual([("4", "4")] * 6, [(row[16], row[18]) for row in self.rows("bro2")])


def _wrote(path: str) -> Callable[[Path], bool]:
    return lambda folder: (folder / path).exists()


def _said(text: str) -> Callable[[Path], bool]:
    return lambda folder: text in (folder / "said").read_text()


#: Says when it is about to begin, so that nobody interrupts the import of the standard library.  A shell that put the
#: tests into the background has them ignore Ctrl-C, and the commands would inherit that.
_PROGRAM = """
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from openmb.northbound import cli
pathlib.Path("begun").touch()
sys.exit(cli.main(sys.argv[1:]))
"""


def _start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """C{openmb} in a session of its own; what it prints goes to C{said}."""
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *words],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            env=dict(os.environ),
            start_new_session=True,
        )


def _end(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    if running.stdin is not None:
        running.stdin.close()
