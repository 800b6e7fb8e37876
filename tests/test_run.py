"""The line of totals that ends every run of the tests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.run import Totals, summarise


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
