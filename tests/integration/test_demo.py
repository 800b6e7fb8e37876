"""The demonstration as users run it: a command, real processes, TLS, the capture that comes with the package."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from openmb.demo.runner import FOLDERS
from openmb.demo.verdict import compare
from openmb.plugins.prads.settings import SIGNATURES
from tests.plugins.prads.needing import missing

#: Fast enough for a test, slow enough for packets to meet the switch-over.
SPEED = "8"


class DemoTests(TestCase):
    """C{openmb demo}."""

    timeout = 300

    async def test_bro(self) -> None:
        """The logs agree, everything that the table counts has happened, and a changed row would have been seen."""
        results = Path(self.mktemp())
        arguments = ["-m", "openmb.northbound.cli", "demo", "bro", "--speed", SPEED, "--results", str(results)]
        out, error, status = await getProcessOutputAndValue(sys.executable, arguments, env=None)
        self.assertEqual(status, 0, (out + error).decode(errors="replace"))
        measured = json.loads((results / "results.json").read_text())
        self.checkCounts(measured)
        self.checkTampered(results)

    async def test_prads(self) -> None:
        """Both instances find what one finds, without and with the relay, which has something to tell."""
        if not SIGNATURES.is_dir():
            raise missing("no signature files: install the Debian package prads")
        results = Path(self.mktemp())
        arguments = ["-m", "openmb.northbound.cli", "demo", "prads", "--speed", SPEED, "--results", str(results)]
        out, error, status = await getProcessOutputAndValue(sys.executable, arguments, env=None)
        self.assertEqual(status, 0, (out + error).decode(errors="replace"))
        measured = json.loads((results / "results.json").read_text())
        alone, relayed = measured["alone"], measured["relayed"]
        for half in (alone, relayed):
            self.assertTrue(half["equal"])
            self.assertGreater(half["facts"], 250)
            self.assertGreater(min(half["split"]), 0)
            self.assertEqual(half["packets"][0], half["packets"][1])
        self.assertGreater(alone["repeats"], 20)
        self.assertLessEqual(relayed["repeats"], alone["repeats"])
        for name, told in relayed["told"].items():
            self.assertGreater(told["news"], 0, name)
            self.assertEqual((0, ""), (told["lost"], told["reason"]), name)
        self.assertIs(measured["asRealProgram"], None if shutil.which("prads") is None else True)

    async def test_smartre(self) -> None:
        """Half of the receivers move to another decoder and back, and every packet arrives once, as it was."""
        results = Path(self.mktemp())
        arguments = ["-m", "openmb.northbound.cli", "demo", "smartre", "--speed", SPEED, "--results", str(results)]
        out, error, status = await getProcessOutputAndValue(sys.executable, arguments, env=None)
        self.assertEqual(status, 0, (out + error).decode(errors="replace"))
        measured = json.loads((results / "results.json").read_text())
        sent = measured["sent"]
        self.assertGreaterEqual(sent, 9000)
        self.assertEqual((sent, 0, 0), tuple(measured[name] for name in ("arrived", "missing", "surplus")))
        self.assertGreater(measured["second"], 500)
        self.assertEqual((0, True), (measured["undecodable"], measured["good"]))
        self.assertGreater(measured["saved"], 0.3)
        clone, merge = measured["reports"]
        self.assertGreater(clone["records"], 50)
        self.assertGreater(merge["records"], 50)
        steps = [step for step, _ in measured["steps"]]
        self.assertEqual(2, steps.count("changing the route"))
        # packets came all the while
        places = [place for _, place in measured["steps"][:-1]]
        self.assertLess(steps.index("two decoders"), steps.index("one decoder again"))
        self.assertGreaterEqual(sent - places[-1], 3000)

    def checkCounts(self, measured: dict[str, Any]) -> None:
        """Two moves, each with records, events, and requests that waited for their replies."""
        self.assertTrue(measured["equal"])
        self.assertEqual(measured["packets"], 31532)
        self.assertGreater(measured["rows"]["conn"], 3000)
        self.assertGreater(measured["rows"]["http"], 3000)
        self.assertGreater(measured["rows"]["dns"], 900)
        for log, (first, second) in measured["rowsByInstance"].items():
            self.assertGreater(min(first, second), 0, log)
        there, back = measured["moves"]
        self.assertEqual((there["source"], back["source"]), ("bro1", "bro2"))
        for name in ("deleted", "records", "bytes"):
            self.assertGreater(min(there[name], back[name]), 0, name)
        # which of the two moves meets packets on the way depends on the machine
        for name in ("reprocessed", "redirected", "held", "pendingRequests", "pendingQueries"):
            self.assertGreater(there[name] + back[name], 0, name)
        self.assertEqual(there["lost"] + back["lost"], 0)

    def checkTampered(self, results: Path) -> None:
        """One digit changed in one row of these very logs is found."""
        first, second, reference = (results / folder for folder in FOLDERS.values())
        self.assertTrue(compare([first, second], reference).equal)
        for path in sorted(first.glob("*.log")):
            whole = path.read_text()
            for old, new in (("\t10.9.0.20\t", "\t10.9.0.21\t"), ("#fields\tts", "#fields\ttime")):
                self.assertIn(old, whole)
                path.write_text(whole.replace(old, new, 1))
                verdict = compare([first, second], reference)
                self.assertEqual([path.stem], [name for name, log in verdict.logs.items() if not log.equal])
            path.write_text(whole)
        self.assertTrue(compare([first, second], reference).equal)

    async def test_notACapture(self) -> None:
        """What is no capture is told in a line, before anything is started."""
        arguments = ["-m", "openmb.northbound.cli", "demo", "--pcap", __file__, "--results", self.mktemp()]
        _, error, status = await getProcessOutputAndValue(sys.executable, arguments, env=None)
        self.assertEqual(status, 3)
        self.assertIn(b"is not a capture", error)
