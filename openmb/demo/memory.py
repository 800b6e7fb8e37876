"""
How much memory processes take, over time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: A slope below this counts as flat, in KiB per minute: 6 MiB in an hour, of processes of 150 MiB.
FLAT = 100.0


def residentOf(process: int) -> int | None:
    """The resident memory of a process in KiB (C{VmRSS}); None: it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), None)


@dataclass(frozen=True, slots=True)
class Trend:
    """
    One process's memory.

    @ivar start: @ivar middle: @ivar end: KiB, each the median of a tenth of the samples after the warm-up.
    @ivar highest: KiB.
    @ivar slope: KiB per minute over the second half of the samples, by least squares.
    """

    start: int
    middle: int
    end: int
    highest: int
    slope: float

    @property
    def flat(self) -> bool:
        """Does it not grow any more?"""
        return self.slope < FLAT


@dataclass
class MemoryWatch:
    """Samples of each process: seconds, and KiB."""

    samples: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def sample(self, now: float, processes: Mapping[str, int]) -> None:
        """Look at all processes."""
        for name, process in processes.items():
            resident = residentOf(process)
            if resident is not None:
                self.samples.setdefault(name, []).append((now, resident))

    def trends(self, warm: float) -> dict[str, Trend]:
        """The trend of each process, without the first C{warm} seconds; none where fewer than ten samples are left."""
        found: dict[str, Trend] = {}
        for name, samples in self.samples.items():
            kept = np.array([each for each in samples if each[0] >= samples[0][0] + warm], np.float64)
            if len(kept) >= 10:
                found[name] = _trend(kept[:, 0], kept[:, 1])
        return found


def _trend(times: NDArray[np.float64], kib: NDArray[np.float64]) -> Trend:
    tenth, middle = max(len(kib) // 10, 1), len(kib) // 2
    parts = (kib[:tenth], kib[middle - tenth // 2 : middle - tenth // 2 + tenth], kib[-tenth:])
    late = times >= times[middle]
    slope = float(np.polyfit((times[late] - times[late][0]) / 60, kib[late], 1)[0])
    start, mid, end = (int(np.median(part)) for part in parts)
    return Trend(start, mid, end, int(kib.max()), slope)
