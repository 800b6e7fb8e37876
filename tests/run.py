"""
Runs the tests with trial and ends with one line: C{N passed, N failed, N skipped}.

Trial runs in a process of its own, so that even a crash of the interpreter ends in that line and a failing exit status.
Everything that trial prints is passed on as it comes.  Usage: C{python -m tests.run [--jobs N] [what...]}.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \((?P<counts>[^)]*)\))?\s*$")
_COUNT = re.compile(r"(\w+)=(\d+)")
_FAILED = ("failures", "errors", "unexpectedSuccesses")
_SKIPPED = ("skips", "expectedFailures")


@dataclass(frozen=True, slots=True)
class Totals:
    """How many tests passed, failed (errors are failures) and were skipped."""

    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def summarise(lines: Iterable[str], status: int) -> Totals:
    """
    The totals of a trial run that printed C{lines} and exited with C{status}.

    A run that failed without naming a failure (it crashed, or found nothing to run) counts as one failure.
    """
    counts: dict[str, int] = {}
    for line in lines:
        found = _SUMMARY.match(line)
        if found:
            counts = {name: int(number) for name, number in _COUNT.findall(found["counts"] or "")}
    passed = counts.get("successes", 0)
    failed = sum(counts.get(name, 0) for name in _FAILED)
    if not failed and (status != 0 or not passed):
        failed = 1
    return Totals(passed, failed, sum(counts.get(name, 0) for name in _SKIPPED))


def runTrial(arguments: Sequence[str]) -> Totals:
    """Run trial with C{arguments}, pass on its output, and count."""
    command = [sys.executable, "-m", "twisted.trial", *arguments]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace", bufsize=1) as trial:
        if trial.stdout is None:
            raise RuntimeError("trial has no standard output")
        for line in trial.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    return summarise(lines, trial.returncode)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says, by default everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.run", description="Run the tests of OpenMB.")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes to spread the tests over")
    parser.add_argument("what", nargs="*", default=["tests"], help="packages, modules, classes or methods")
    options = parser.parse_args(arguments)
    spread = [f"--jobs={options.jobs}"] if options.jobs > 1 else []
    totals = runTrial([*spread, *options.what])
    print(totals, flush=True)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
