"""
Runs the tests with trial and ends with one line: C{N passed, N failed, N skipped}.

Trial runs in processes of its own, so that even a crash of the interpreter ends in that line and a failing exit status.
With C{--jobs N} the modules are dealt out to N of them: those that take long first, each in a process of its own, then
the others in groups, to whichever is free.  A module's tests stay together, since some share what is dear to make.
Everything that trial prints is passed on: by one process as it comes, by several when a group has ended.  The modules
that took longest are listed in the end.  Usage: C{python -m tests.run [--jobs N] [what...]}.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

#: The repository.
ROOT = Path(__file__).parents[1]
#: Modules that take longest, in that order: the last ones to begin should be short.
LONG = (
    "tests.testing.test_simulation",
    "tests.integration.test_demo",
    "tests.testing.test_shared_simulation",
    "tests.testing.test_fuzzing",
    "tests.testing.test_fuzz_faults",
    "tests.test_readme",
    "tests.integration.test_hostile_wire",
    "tests.integration.test_starting",
    "tests.integration.test_interrupted",
)
#: How many of the others are run by one process after the other, and how many of the slowest are listed.
GROUP, LISTED = 16, 15

_SUMMARY = re.compile(r"^(?:PASSED|FAILED)(?: \((?P<counts>[^)]*)\))?\s*$")
_COUNT = re.compile(r"(\w+)=(\d+)")
_MODULE = re.compile(r"^tests(?:\.\w+)+$")
_FAILED = ("failures", "errors", "unexpectedSuccesses")
_SKIPPED = ("skips", "expectedFailures")


@dataclass(frozen=True, slots=True)
class Totals:
    """How many tests passed, failed (errors are failures) and were skipped."""

    passed: int
    failed: int
    skipped: int

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

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


class Stopwatch:
    """
    How long each module takes, by the lines that trial prints: it names a module when its first test begins.

    @ivar seconds: by module.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._module, self._since = "", 0.0
        self.seconds: dict[str, float] = {}

    def saw(self, line: str) -> None:
        """A line has come."""
        if _MODULE.match(line.rstrip()):
            self.stop()
            self._module, self._since = line.rstrip(), self._now()

    def stop(self) -> None:
        """The module that is running has ended."""
        if self._module:
            self.seconds[self._module] = self.seconds.get(self._module, 0.0) + self._now() - self._since
        self._module = ""


def runTrial(arguments: Sequence[str], watch: Stopwatch, say: Callable[[str], object]) -> Totals:
    """Run trial with C{arguments}, hand each line that it prints to C{say}, and count."""
    command = [sys.executable, "-m", "twisted.trial", *arguments]
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1
    ) as trial:
        if trial.stdout is None:
            raise RuntimeError("trial has no standard output")
        for line in trial.stdout:
            watch.saw(line)
            say(line)
            lines.append(line)
    watch.stop()
    return summarise(lines, trial.returncode)


def modulesOf(what: Sequence[str], root: Path = ROOT) -> list[str] | None:
    """The modules that C{what} (packages and modules) is made of, in order; None: some of it is neither."""
    found: dict[str, None] = {}
    for name in what:
        path = root.joinpath(*name.split("."))
        if path.is_dir():
            files = sorted(path.rglob("test_*.py"))
        elif path.with_suffix(".py").is_file():
            files = [path.with_suffix(".py")]
        else:
            return None
        found.update(dict.fromkeys(".".join(file.relative_to(root).with_suffix("").parts) for file in files))
    return list(found)


def deal(modules: Sequence[str]) -> list[list[str]]:
    """Groups of modules, in the order in which they are to begin."""
    long = [[name] for name in LONG if name in modules]
    others = [name for name in modules if name not in LONG]
    return long + [others[place : place + GROUP] for place in range(0, len(others), GROUP)]


def runTogether(groups: Sequence[Sequence[str]], jobs: int, watch: Stopwatch) -> Totals:
    """Run each group by itself, C{jobs} of them at a time, each at work in a directory of its own."""
    places: SimpleQueue[int] = SimpleQueue()
    for place in range(jobs):
        places.put(place)

    def run(group: Sequence[str]) -> Totals:
        place, own, lines = places.get(), Stopwatch(), list[str]()
        try:
            totals = runTrial([f"--temp-directory=_trial_temp.{place}", *group], own, lines.append)
        finally:
            places.put(place)
        watch.seconds.update(own.seconds)
        sys.stdout.write("".join(lines))
        sys.stdout.flush()
        return totals

    with ThreadPoolExecutor(jobs) as pool:
        return sum(pool.map(run, groups), Totals(0, 0, 0))


def _pass(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says, by default everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.run", description="Run the tests of OpenMB.")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes to deal the modules out to")
    parser.add_argument("what", nargs="*", default=["tests"], help="packages, modules, classes or methods")
    options = parser.parse_args(arguments)
    watch, modules = Stopwatch(), modulesOf(options.what)
    if options.jobs > 1 and modules is not None:
        totals = runTogether(deal(modules), options.jobs, watch)
    else:
        totals = runTrial(options.what, watch, _pass)
    slowest = sorted(watch.seconds.items(), key=lambda each: -each[1])[:LISTED]
    print(f"{sum(watch.seconds.values()):.0f} s of tests; the modules that took longest:")
    print("\n".join(f"{seconds:8.1f} s  {name}" for name, seconds in slowest))
    print(totals, flush=True)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
