"""
How many packets an engine processes in one second of CPU time of its whole process: start, imports, logs and all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openmb.errors import OperationError, Refusal

#: Seconds of CPU time by what they went to, the most first.
Profile = tuple[tuple[str, float], ...]

_COUNT = re.compile(r"^(\d+) packets")


@dataclass(frozen=True, slots=True)
class Spent:
    """What one process took: seconds of CPU time (user and system), and its memory at most, in KiB."""

    seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class EngineResult:
    """
    Several runs over one capture.

    @ivar rates: packets per second of CPU time, ascending.
    @ivar memory: KiB at most.
    @ivar profile: seconds of CPU time by function, the most first, from one more run.
    """

    packets: int
    rates: tuple[float, ...]
    memory: int
    profile: Profile

    @property
    def median(self) -> float:
        """The median rate."""
        return self.rates[len(self.rates) // 2]


def runProcess(command: Sequence[str]) -> tuple[Spent, str]:
    """
    Run a command to its end; what it took and what it printed.

    @raise OperationError: it failed.
    """
    # Ctrl-C is for this process alone, which then ends that one
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stdout is not None  # a pipe was asked for
        try:
            text = process.stdout.read()
        except KeyboardInterrupt:
            process.kill()
            raise
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise OperationError(Refusal.BAD_REQUEST, f"{' '.join(command)} ended with status {process.returncode}")
    return Spent(usage.ru_utime + usage.ru_stime, usage.ru_maxrss), text


def engineArguments(capture: Path, logs: Path, checksums: bool) -> list[str]:
    """C{openmb run bro} over C{capture}: the module and its arguments."""
    options = [] if checksums else ["--no-checksums"]
    return ["openmb.northbound.cli", "run", "bro", "--pcap", str(capture), "--logs", str(logs), *options]


def measureEngine(capture: Path, logs: Path, runs: int, checksums: bool = True) -> EngineResult:
    """Run the engine C{runs} times after a warm-up, and once more with a profile."""
    logs.mkdir(parents=True, exist_ok=True)
    arguments = engineArguments(capture, logs, checksums)
    spent: list[Spent] = []
    packets = 0
    for _ in range(runs + 1):
        one, text = runProcess([sys.executable, "-m", *arguments])
        found = _COUNT.match(text)
        packets = int(found.group(1)) if found else 0
        spent.append(one)
    rates = tuple(sorted(packets / one.seconds for one in spent[1:]))
    return EngineResult(packets, rates, max(one.memory for one in spent), _profile(arguments, logs / "profile.json"))


def _profile(arguments: Sequence[str], place: Path) -> Profile:
    runProcess([sys.executable, "-m", "openmb.bench.sampled", str(place), *arguments])
    return readProfile(place)


def readProfile(place: Path) -> Profile:
    """What C{openmb.bench.sampled} has written, the most first."""
    found: dict[str, float] = json.loads(place.read_text(encoding="utf-8"))
    return tuple(sorted(found.items(), key=lambda item: -item[1]))
