"""
Many histories, spread over the processors.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat

from twisted.logger import globalLogBeginner

from openmb.testing.simulation.kinds import kindNamed
from openmb.testing.simulation.sharedhistory import simulateShared
from openmb.testing.simulation.world import Outcome, simulate

#: Seeds given to a process at once: enough that handing them over costs nothing.
CHUNK = 20
#: The campaign that is about clones and merges in place of moves; always of the counting kind.
SHARED = "shared"


@dataclass
class Campaign:
    """
    What came of many seeds.

    @ivar wrong: the outcomes that the oracle objects to.
    @ivar smallest: the fewest flows and packets of any history.
    """

    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[Outcome] = field(default_factory=list)
    smallest: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Enter one outcome."""
        self.seeds += 1
        self.counts.update(outcome.counts)
        for name in ("flows", "packets"):
            self.smallest[name] = min(self.smallest.get(name, outcome.counts[name]), outcome.counts[name])
        if outcome.wrong:
            self.wrong.append(outcome)


def logNothing() -> None:
    """In a worker: what is logged before logging begins is kept, and with it every history that logged it."""
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


def runSeed(kind: str, seed: int, focus: str = "") -> Outcome:
    """One history; what it raises becomes part of its outcome, with the seed that replays it."""
    try:
        return simulateShared(seed) if focus == SHARED else simulate(seed, kindNamed(kind), focus)
    except Exception as error:  # noqa: BLE001 - whatever breaks is what the simulation looks for; it is reported
        return Outcome(seed, (f"raised {type(error).__name__}: {error}",), Counter())


def runSeeds(kind: str, focus: str, seeds: list[int]) -> list[Outcome]:
    """Some histories, one after the other."""
    return [runSeed(kind, seed, focus) for seed in seeds]


def outcomes(kind: str, first: int, count: int, processes: int | None = None, focus: str = "") -> Iterator[Outcome]:
    """The outcomes of C{count} seeds from C{first} on, in order."""
    seeds = range(first, first + count)
    chunks = [list(seeds[start : start + CHUNK]) for start in range(0, count, CHUNK)]
    workers = min(processes or os.cpu_count() or 1, len(chunks))
    if workers <= 1:
        for chunk in chunks:
            yield from runSeeds(kind, focus, chunk)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=logNothing) as pool:
        for result in pool.map(runSeeds, repeat(kind), repeat(focus), chunks):
            yield from result


def campaign(
    kind: str,
    first: int,
    count: int,
    processes: int | None = None,
    seen: Callable[[Outcome], None] = lambda o: None,
    focus: str = "",
) -> Campaign:
    """Run C{count} seeds; C{seen} is told of each."""
    result = Campaign()
    for outcome in outcomes(kind, first, count, processes, focus):
        result.add(outcome)
        seen(outcome)
    return result
