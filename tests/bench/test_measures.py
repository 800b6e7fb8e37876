"""The measurements at tiny sizes: that they run, and that what they compare is compared."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from openmb.bench.engine import runProcess
from openmb.bench.report import profileText
from openmb.bench.sampled import whereabouts
from openmb.errors import OperationError
from openmb.northbound.commands.bench import command


class BenchCase(SynchronousTestCase):
    """Runs C{openmb bench} at a tiny size."""

    def bench(self, *arguments: str) -> tuple[dict[str, object], str]:
        results = Path(self.mktemp())
        ran = CliRunner().invoke(command, [*arguments, "--results", str(results)], standalone_mode=False)
        self.assertIsNone(ran.exception, ran.output)
        self.assertEqual(ran.return_value, 0, ran.output)
        return json.loads((results / "bench.json").read_text()), ran.output


class EngineTests(BenchCase):
    """The engine, and what is said about profiles."""

    def test_engine(self) -> None:
        """Every packet is processed in every run, and the time is accounted for."""
        document, text = self.bench("engine", "--packets", "2000", "--flows", "100", "--runs", "2")
        engine = document["engine"]
        assert isinstance(engine, dict)
        result = engine["own traffic"]
        self.assertGreaterEqual(result["packets"], 1900)
        self.assertEqual(len(result["rates"]), 2)
        self.assertIn("imports", result["profile"])
        self.assertIn("packets per CPU second", text)

    def test_failure(self) -> None:
        """A process that fails is an error, not a figure."""
        self.assertRaises(OperationError, runProcess, ["/bin/false"])

    def test_profile(self) -> None:
        """Shares are of the whole."""
        lines = list(profileText("title", (("one", 3.0), ("two", 1.0))))
        self.assertEqual([line.split()[2] for line in lines[1:]], ["75.0%", "25.0%"])
        self.assertEqual(whereabouts(None), "")


class FieldTests(BenchCase):
    """With switch, controller and Bros as processes of their own."""

    def test_move(self) -> None:
        """All flows move, and the logs are held against those of an instance that saw everything."""
        document, _ = self.bench("move", "--flows", "200", "--rate", "2000")
        move = document["move"]
        assert isinstance(move, dict)
        self.assertEqual(move["counts"]["deleted"], 200)
        self.assertEqual((move["equal"], move["rows"]["conn"]), (True, 200))
        self.assertEqual(set(move["memory"]), {"switch", "controller", "bro1", "bro2"})

    def test_latency(self) -> None:
        """Both kinds of turns have packets."""
        document, _ = self.bench("latency", "--flows", "200", "--rate", "2000", "--turns", "2")
        latency = document["latency"]
        assert isinstance(latency, dict)
        self.assertEqual(len(latency["gets"]), 2)
        self.assertGreater(latency["without"]["packets"], 100)
        self.assertGreater(latency["during"]["packets"], 0)
