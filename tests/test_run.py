"""The line of totals that ends every run of the tests."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.run import GROUP, LONG, Stopwatch, Totals, deal, modulesOf, runTogether, summarise


class SummaryTests(SynchronousTestCase):
    """Trial's last line, in all its forms."""

    def test_passed(self) -> None:
        """Successes and skips are counted."""
        self.assertEqual(summarise(["noise\n", "PASSED (skips=2, successes=7)\n"], 0), Totals(7, 0, 2))

    def test_errorsAreFailures(self) -> None:
        """Errors, failures and unexpected successes are all failures; expected failures count as skipped."""
        line = "FAILED (skips=1, expectedFailures=1, failures=2, errors=3, unexpectedSuccesses=1, successes=4)\n"
        self.assertEqual(summarise([line], 1), Totals(4, 6, 2))

    def test_lastLineCounts(self) -> None:
        """A test that prints what looks like a summary changes nothing: the last one counts."""
        lines = ["PASSED (successes=900)\n", "FAILED (failures=1, successes=2)\n"]
        self.assertEqual(summarise(lines, 1), Totals(2, 1, 0))

    def test_crashed(self) -> None:
        """A run that ends without a summary is a failure, whatever it printed before."""
        self.assertEqual(summarise(["a ... [OK]\n"], -11), Totals(0, 1, 0))

    def test_failingStatus(self) -> None:
        """An exit status that says failure is never counted as none."""
        self.assertEqual(summarise(["PASSED (successes=3)\n"], 1), Totals(3, 1, 0))

    def test_nothingRan(self) -> None:
        """A run without a single test is a failure."""
        self.assertEqual(summarise(["PASSED\n"], 0), Totals(0, 1, 0))

    def test_text(self) -> None:
        """The line that others read."""
        self.assertEqual(str(Totals(3, 1, 2)), "3 passed, 1 failed, 2 skipped")


class DealingTests(SynchronousTestCase):
    """Several processes."""

    def test_modules(self) -> None:
        """Packages and modules are taken apart; a class or a method is not, and stays with one process."""
        everything = modulesOf(["tests"])
        assert everything is not None
        self.assertIn("tests.test_run", everything)
        self.assertEqual(len(everything), len(set(everything)))
        self.assertEqual(set(LONG), set(LONG) & set(everything))
        self.assertEqual(["tests.test_run"], modulesOf(["tests.test_run", "tests.test_run"]))
        self.assertIsNone(modulesOf(["tests.test_run.DealingTests"]))

    def test_dealt(self) -> None:
        """Each module once, the long ones first and alone."""
        modules = [f"tests.test_{number}" for number in range(GROUP + 1)]
        groups = deal([*modules, LONG[1], LONG[0]])
        self.assertEqual([[LONG[0]], [LONG[1]], modules[:GROUP], modules[GROUP:]], groups)

    def test_together(self) -> None:
        """Totals are added up, a group that fails or crashes included; the time of each module is known."""
        folder = Path(self.mktemp())
        folder.mkdir()
        head = "from twisted.trial.unittest import SynchronousTestCase\nclass T(SynchronousTestCase):\n"
        bodies = {"good": "pass", "bad": "self.fail('x')", "worse": "import os; os._exit(3)"}
        for name, body in bodies.items():
            (folder / f"test_{name}.py").write_text(f"{head}    def test_one(self):\n        {body}\n")
        watch = Stopwatch()
        groups = [[str(folder / f"test_{name}.py")] for name in bodies]
        self.assertEqual(Totals(1, 2, 0), runTogether(groups, 2, watch))

    def test_watch(self) -> None:
        """From a module's name to the next one's."""
        now = iter((1.0, 3.0, 3.0, 3.5))
        watch = Stopwatch(lambda: next(now))
        for line in ("noise\n", "tests.a.test_b\n", "  Class\n", "tests.test_c\n"):
            watch.saw(line)
        watch.stop()
        self.assertEqual({"tests.a.test_b": 2.0, "tests.test_c": 0.5}, watch.seconds)
