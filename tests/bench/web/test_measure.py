"""The measurement of the mixture at a tiny size."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from openmb.bench.engine import Spent
from openmb.bench.web.check import Agreement
from openmb.bench.web.measure import WebResult, WebRun
from openmb.bench.web.report import webText, webToPlain
from openmb.northbound.commands.bench import command

RIGHT = Agreement("http.log", 10, 10, 10, (), (), ())
WRONG = Agreement("dns.log", 10, 9, 8, ("a row",), ("another",), (("rtt", 1),))


class MeasureTests(SynchronousTestCase):
    """The command, and what is told of its result."""

    def test_command(self) -> None:
        """Every run is checked, the exit status says the verdict, and nothing big is left behind."""
        results = Path(self.mktemp())
        arguments = ["web", "--flows", "60", "--runs", "2", "--seed", "9", "--results", str(results)]
        ran = CliRunner().invoke(command, arguments, standalone_mode=False)
        self.assertIsNone(ran.exception, ran.output)
        web = json.loads((results / "bench.json").read_text())["web"]
        self.assertEqual(ran.return_value, 0 if web["right"] else 1)
        self.assertEqual([log["log"] for log in web["runs"][0]["logs"]], ["conn.log", "http.log", "dns.log"])
        self.assertEqual(len(web["runs"]), 2)
        for run in web["runs"]:
            http = run["logs"][1]
            self.assertEqual((http["agreeing"], http["found"]), (http["expected"], http["expected"]))
        self.assertEqual([path.name for path in results.iterdir()], ["bench.json"])

    def test_verdict(self) -> None:
        """One wrong log in one run is enough; figures taken elsewhere are called so."""
        spent = Spent(2.0, 204800)
        good, bad = WebRun(spent, (RIGHT,)), WebRun(Spent(4.0, 102400), (RIGHT, WRONG))
        result = WebResult(5, 1_000_000, 7_000_000, (good, bad))
        plain, text = webToPlain(result), "\n".join(webText(result))
        self.assertEqual((good.isRight, bad.isRight, plain["right"]), (True, False, False))
        self.assertEqual((plain["memory"], plain["packetsPerSecond"]), (200, 500_000))
        for part in ("taken elsewhere", "logs WRONG", "rtt 1", "missing: a row", "surplus: another", "8 of 10 rows"):
            self.assertIn(part, text)
