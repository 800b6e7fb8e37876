"""The command line: what it finds, how it ends, and what it says when things go wrong."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import click
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import CaptureError, ConfigurationError, InvalidHeaderFields, OperationError, Refusal
from openmb.northbound.cli import LazyGroup, main, openmb, statusOf
from openmb.northbound.commands.route import checkWhere
from openmb.packets.batch import packetBatch
from openmb.packets.stream import writeCapture
from tests.northbound.counting import DROP_IN, addDropIns
from tests.packets.build import ethernet, ip4, tcp


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it printed."""

    status: int
    output: str
    errors: str


def command(*arguments: str) -> Ran:
    """Run C{openmb} with these arguments."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(arguments)
    return Ran(status, output.getvalue(), errors.getvalue())


class FrameTests(SynchronousTestCase):
    """The group itself."""

    def test_version(self) -> None:
        """The version is that of the package."""
        self.assertEqual(command("--version"), Ran(0, "openmb, version 0.1.0\n", ""))

    def test_everyModuleIsACommand(self) -> None:
        """Each module of the folder gives a click command of the module's name."""
        context = click.Context(openmb)
        if not isinstance(openmb, LazyGroup):
            self.fail("openmb is not lazy")
        names = openmb.list_commands(context)
        self.assertIn("run", names)
        for name in names:
            found = openmb.get_command(context, name)
            if found is None:
                self.fail(f"{name} gives no command")
            self.assertEqual(found.name, name)

    def test_help(self) -> None:
        """Help names the commands and is no failure."""
        ran = command("--help")
        self.assertEqual((ran.status, ran.errors), (0, ""))
        self.assertIn("Run a kind of middlebox over captures", ran.output)

    def test_unknownCommand(self) -> None:
        """A command that does not exist is wrong usage."""
        ran = command("walk")
        self.assertEqual(ran.status, 2)
        self.assertIn("No such command 'walk'", ran.errors)

    def test_statuses(self) -> None:
        """Each kind of error has its status."""
        self.assertEqual(statusOf(CaptureError("x")), 3)
        self.assertEqual(statusOf(ConfigurationError("x")), 3)
        self.assertEqual(statusOf(InvalidHeaderFields("x")), 2)
        self.assertEqual(statusOf(OperationError(Refusal.DEADLINE, "x")), 1)


class FlowsTests(SynchronousTestCase):
    """Which flows, and where to: nothing is taken for everything, or for nowhere."""

    def test_empty(self) -> None:
        """An empty list of fields is wrong usage; the text says how everything is spelt.  Nobody is asked."""
        for words in (("route", "", "bro1"), ("move", "a", "b", " "), ("stats", "a", ""), ("events", "-f", "")):
            ran = command(*words, "--socket", "/nowhere/openmb.sock")
            self.assertEqual(2, ran.status, words)
            self.assertIn("'*' selects everything", ran.errors)

    def test_nowhere(self) -> None:
        """A route without a path is wrong usage, unless it says that it drops; then a path is."""
        wrong: list[tuple[str, ...]] = [(), ("--drop", "bro1"), ("--drop", "--egress", "out"), ("--drop", "--remove")]
        for words in wrong:
            ran = command("route", "*", *words, "--socket", "/nowhere/openmb.sock")
            self.assertEqual(2, ran.status, words)
            self.assertIn("--drop", ran.errors)
        checkWhere((), None, drop=True, remove=False)
        checkWhere((), None, drop=False, remove=True)
        checkWhere((), "out", drop=False, remove=False)
        checkWhere(("bro1",), None, drop=False, remove=False)


class ValueTests(SynchronousTestCase):
    """Numbers that make no sense are wrong usage; nobody is asked, nothing hangs."""

    def test_seconds(self) -> None:
        for value in ("-5", "0", "nan", "inf", "-inf", "1e12", "soon"):
            for words in (("move", "a", "b", "*"), ("clone", "a", "b"), ("merge", "a", "b"), ("switch-over", "1")):
                ran = command(*words, f"--patience={value}", "--socket", "/nowhere/openmb.sock")
                self.assertEqual(2, ran.status, (words, value))
                self.assertIn("--patience", ran.errors)

    def test_priority(self) -> None:
        for value in ("-1", "65536", "high"):
            for words in (("route", "*", "a"), ("move", "a", "b", "*"), ("switch-over", "1")):
                ran = command(*words, f"--priority={value}", "--socket", "/nowhere/openmb.sock")
                self.assertEqual(2, ran.status, (words, value))

    def test_speed(self) -> None:
        """Also where 0 is allowed."""
        ran = command("replay", "--pcap", "x", "--switch", "x", "--speed", "nan")
        self.assertEqual(2, ran.status)

    def test_optionsOfKinds(self) -> None:
        """A kind's option out of range is wrong usage, in one line."""
        for words in (("bro", "--max-flows", "0"), ("bro", "--grace", "nan"), ("prads", "--max-hosts", "0")):
            with as_file(files("openmb.demo") / "traces" / "demo.pcap") as capture:
                ran = command("run", *words, "--pcap", str(capture))
            self.assertEqual((2, ""), (ran.status, ran.output), words)
            self.assertIn(words[1], ran.errors)

    def test_networks(self) -> None:
        """Networks that are none are wrong usage; in a file, they are the file's fault."""
        path = Path(self.mktemp())
        path.write_text("1.2.3.4/99\n")
        with as_file(files("openmb.demo") / "traces" / "demo.pcap") as capture:
            for words, status in (
                (("bro", "--local-nets", "1.2.3.4/99"), 2),
                (("bro", "--local-nets", "x" * 5000), 2),
                (("bro", "--local-nets", str(path)), 3),
                (("prads", "-a", "1.2.3.4/99"), 2),
            ):
                ran = command("run", *words, "--pcap", str(capture))
                self.assertEqual((status, "", 1), (ran.status, ran.output, ran.errors.count("\n")), ran.errors)

    def test_names(self) -> None:
        """Names and kinds that cannot be any are wrong usage, and nothing is made."""
        folder = Path(self.mktemp())
        for words in (("middlebox", "bro", "a/b"), ("middlebox", "b/c", "a"), ("controller", "--name", "authority")):
            ran = command("certs", *words, "--directory", str(folder))
            self.assertEqual(2, ran.status, ran.errors)
        self.assertEqual(2, command("keys", "new", "b/c", str(folder)).status)
        self.assertFalse(folder.exists())


class SocketTests(SynchronousTestCase):
    """Where the controller's socket is."""

    def ask(self, *words: str, variable: str | None = None) -> tuple[str, int]:
        """Ask for the status, in a process of its own; what is said, and the exit status."""
        env = {name: value for name, value in os.environ.items() if name != "OPENMB_SOCKET"}
        if variable is not None:
            env["OPENMB_SOCKET"] = variable
        ran = subprocess.run(
            [sys.executable, "-m", "openmb.northbound.cli", *words],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return ran.stdout + ran.stderr, ran.returncode

    def test_hint(self) -> None:
        """An error names where it looked, and how to say otherwise."""
        for words, variable in (
            (("--socket", "/nowhere/x.sock", "status"), None),
            (("status", "--socket", "/nowhere/x.sock"), "/other"),
            (("status",), "/nowhere/x.sock"),
            (("relay", "a", "b"), "/nowhere/x.sock"),
        ):
            said, status = self.ask(*words, variable=variable)
            self.assertEqual(1, status)
            self.assertEqual(1, said.count("\n"), said)
            self.assertIn("looked for /nowhere/x.sock", said)
            for part in ("/nowhere/x.sock", "--socket", "OPENMB_SOCKET"):
                self.assertIn(part, said)


class KeysTests(SynchronousTestCase):
    """C{openmb keys}."""

    def test_dropCurrent(self) -> None:
        """The key that seals stays; what to do first is said."""
        path = Path(self.mktemp())
        self.assertEqual(0, command("keys", "new", "bro", str(path)).status)
        before = path.read_text()
        ran = command("keys", "drop", str(path), "1")
        self.assertEqual((3, before), (ran.status, path.read_text()))
        self.assertIn("is current", ran.errors)
        self.assertIn("openmb keys rotate", ran.errors)


class ChecksumTests(SynchronousTestCase):
    """C{openmb run} over a capture made where its packets were sent."""

    def run_(self, wrong: int, *options: str) -> str:
        """What is said on standard error of 200 packets, so many of them with a wrong checksum."""
        path = Path(self.mktemp())
        packets = [ethernet(ip4(tcp(b"x", spoil=int(place < wrong)))) for place in range(200)]
        writeCapture(path, [packetBatch(packets, list(range(1, 201)))])
        ran = command("run", "bro", "--pcap", str(path), *options)
        self.assertEqual(0, ran.status)
        return ran.errors

    def test_warned(self) -> None:
        """Nearly all are wrong: a line that names the flag; none with the flag, or if only many are."""
        self.assertIn("--no-checksums", self.run_(190))
        self.assertEqual("", self.run_(190, "--no-checksums"))
        self.assertEqual("", self.run_(150))


class RunTests(SynchronousTestCase):
    """C{openmb run}, with a kind that counts packets."""

    def setUp(self) -> None:
        addDropIns(self, counting_kind=DROP_IN)
        self.logs = Path(self.mktemp())

    def _overDemo(self, *arguments: str) -> Ran:
        with as_file(files("openmb.demo") / "traces" / "demo.pcap") as capture:
            return command("run", "counting", "--pcap", str(capture), "--logs", str(self.logs), *arguments)

    def test_counts(self) -> None:
        """The capture's packets all pass through the middlebox."""
        self.logs.mkdir()
        ran = self._overDemo()
        self.assertEqual((ran.status, ran.errors), (0, ""))
        self.assertEqual((self.logs / "count").read_text(), "31532")
        self.assertTrue(ran.output.startswith("31532 packets: 0 malformed"))

    def test_kindsOwnOptions(self) -> None:
        """Options that the command does not know reach the kind, wherever they stand."""
        self.logs.mkdir()
        self.assertEqual(self._overDemo("--loud", "--no-checksums").status, 0)
        self.assertEqual((self.logs / "count").read_text(), "31532!")

    def test_unknownOption(self) -> None:
        """An option that neither knows is wrong usage."""
        ran = self._overDemo("--whisper")
        self.assertEqual(ran.status, 2)
        self.assertIn("whisper", ran.errors)

    def test_unusableFolder(self) -> None:
        """What the kind cannot use is one line and status 3, even if the error's text has more lines."""
        ran = self._overDemo()
        self.assertEqual(ran, Ran(3, "", f"openmb: {self.logs} is not a folder: make it first\n"))

    def test_unknownKind(self) -> None:
        """A kind that is not there is wrong usage; the text names those that are."""
        ran = command("run", "nosuch", "--pcap", "x")
        self.assertEqual((ran.status, ran.output), (2, ""))
        self.assertIn("no plugin 'nosuch'; found: ", ran.errors)
        self.assertIn("counting", ran.errors)

    def test_missingCapture(self) -> None:
        """A capture that does not exist is one line and status 3."""
        self.logs.mkdir()
        ran = command("run", "counting", "--pcap", "missing.pcap", "--logs", str(self.logs))
        self.assertEqual(ran.status, 3)
        self.assertEqual(ran.errors.count("\n"), 1)
        self.assertIn("missing.pcap", ran.errors)

    def test_notACapture(self) -> None:
        """A file that is no capture is one line and status 3."""
        self.logs.mkdir()
        junk = self.logs / "junk"
        junk.write_bytes(b"this is not a capture at all")
        ran = command("run", "counting", "--pcap", str(junk), "--logs", str(self.logs))
        self.assertEqual((ran.status, ran.errors.count("\n")), (3, 1))

    def test_compressed(self) -> None:
        """A compressed capture is said to be one."""
        self.logs.mkdir()
        path = self.logs / "x.pcap.gz"
        path.write_bytes(gzip.compress(b"anything"))
        ran = command("run", "counting", "--pcap", str(path), "--logs", str(self.logs))
        self.assertEqual((3, 1), (ran.status, ran.errors.count("\n")))
        self.assertIn("gzip -dc", ran.errors)

    def test_unknownLinkType(self) -> None:
        """A link type that nobody knows is a line that names it and those that are."""
        self.logs.mkdir()
        path = self.logs / "x.pcap"
        writeCapture(path, [packetBatch([b"x"], [1], 195)])
        ran = command("run", "counting", "--pcap", str(path), "--logs", str(self.logs))
        self.assertEqual((3, "", 1), (ran.status, ran.output, ran.errors.count("\n")))
        self.assertIn("195", ran.errors)
        self.assertIn("ETHERNET (1)", ran.errors)

    def test_twoCaptures(self) -> None:
        """A second capture needs its own C{--pcap}."""
        self.logs.mkdir()
        path = self.logs / "x.pcap"
        writeCapture(path, [packetBatch([b"x"], [1])])
        ran = self._overDemo(str(path))
        self.assertEqual(2, ran.status)
        self.assertIn("its own --pcap", ran.errors)

    def test_inLine(self) -> None:
        """What an in-line kind sends on must go somewhere."""
        with as_file(files("openmb.demo") / "traces" / "demo.pcap") as capture:
            ran = command("run", "smartre", "--role", "encoder", "--pcap", str(capture))
        self.assertEqual((2, ""), (ran.status, ran.output))
        self.assertIn("--out", ran.errors)

    def test_importFails(self) -> None:
        """A drop-in that cannot be imported: the cause is said."""
        addDropIns(self, broken_kind="import nothing_of_that_name\n")
        ran = command("run", "broken", "--pcap", "x")
        self.assertEqual(2, ran.status)
        self.assertIn("nothing_of_that_name", ran.errors)
        self.assertNotEqual([], self.flushLoggedErrors(ModuleNotFoundError))

    def test_help(self) -> None:
        """Help for a kind shows the kind's own options too."""
        ran = command("run", "counting", "--help")
        self.assertEqual(ran.status, 0)
        self.assertIn("--pcap", ran.output)
        self.assertIn("--loud", ran.output)
