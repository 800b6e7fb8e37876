"""
What the engine takes for the mixture, and whether what it wrote in that very run is right.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from openmb.bench.engine import Spent, engineArguments, runProcess
from openmb.bench.web.check import Agreement, checkLogs
from openmb.bench.web.mixture import truthOf

#: Real Zeek 8.2.2 on an HTTP-heavy capture of this mix: packets and CPU seconds. Measured elsewhere, by others, on
#: another machine and another capture: a ratio to it is an orientation, not a comparison.
ZEEK_PACKETS, ZEEK_SECONDS = 1_150_000, 57.0
#: MiB that the same program took at most for `gen_traffic.py` (for the HTTP-heavy capture no figure is known).
ZEEK_MEMORY = 133.0


@dataclass(frozen=True, slots=True)
class WebRun:
    """One run: what it took, and each log against the truth."""

    spent: Spent
    logs: tuple[Agreement, ...]

    @property
    def isRight(self) -> bool:
        """Every log is complete."""
        return all(log.isComplete for log in self.logs)


@dataclass(frozen=True, slots=True)
class WebResult:
    """Several runs over one capture, after a warm-up with a small one."""

    connections: int
    packets: int
    bytes: int
    runs: tuple[WebRun, ...]

    @property
    def rate(self) -> float:
        """Packets per CPU second, the median of the runs."""
        return sorted(self.packets / run.spent.seconds for run in self.runs)[len(self.runs) // 2]

    @property
    def memory(self) -> float:
        """MiB at most."""
        return max(run.spent.memory for run in self.runs) / 1024

    @property
    def isRight(self) -> bool:
        """Every run wrote what it had to."""
        return all(run.isRight for run in self.runs)


def measureWeb(connections: int, seed: int, runs: int, keep: Path | None = None) -> WebResult:
    """
    Make a capture, run the engine over it C{runs} times, and check the logs of each run.

    Capture and logs are in a temporary folder that is removed. The capture is made by a process of its own and the
    truth worked out afterwards: a process's memory at most counts what its parent held when it was started.

    @param keep: a folder for the temporary one; None: the system's.
    """
    with tempfile.TemporaryDirectory(prefix="openmb-web-", dir=keep) as name:
        folder = Path(name)
        capture = _capture(folder / "web.pcap", connections, seed)
        _run(_capture(folder / "small.pcap", 100, seed), folder / "warm")
        spent = [_run(capture, folder / str(number)) for number in range(runs)]
        truth = truthOf(connections, seed)
        checked = tuple(WebRun(each, checkLogs(folder / str(number), truth)) for number, each in enumerate(spent))
        return WebResult(connections, truth.packets, capture.stat().st_size, checked)


def _capture(path: Path, connections: int, seed: int) -> Path:
    runProcess([sys.executable, "-m", "openmb.bench.web.mixture", str(path), str(connections), str(seed)])
    return path


def _run(capture: Path, logs: Path) -> Spent:
    logs.mkdir()
    spent, _ = runProcess([sys.executable, "-m", *engineArguments(capture, logs, checksums=True)])
    return spent
