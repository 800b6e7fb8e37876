"""All clients together, in their namespace: C{python -m tools.recorder.clients FOLDER}, where FOLDER holds the keys."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from tools.recorder.held import HOLDERS, bulk, slowReader
from tools.recorder.others import closedUDP, dig, echo, lateLookup, lookup, ping, scan, shell
from tools.recorder.plan import DURATION, SERVERS, Draw, Parties, visitsPerSecond
from tools.recorder.web import aborted, browse, curl, form, odd, pipelined, refused, single

Visit = Callable[[Draw, Parties], Awaitable[None]]
# how often each, relative to the others, and how large a share talks IPv6
VISITS: tuple[tuple[Visit, float, float], ...] = (
    (single, 30, 0.06),
    (curl, 9, 0.06),
    (browse, 6, 0.04),
    (pipelined, 4, 0.04),
    (odd, 7, 0.04),
    (form, 4, 0.0),
    (aborted, 4, 0.04),
    (refused, 7, 0.0),
    (lookup, 25, 0.1),
    (lateLookup, 4, 0.0),
    (dig, 6, 0.1),
    (closedUDP, 1.5, 0.0),
    (ping, 1.2, 0.2),
    (echo, 0.5, 0.2),
    (scan, 6, 0.0),
)


def visitTimes(draw: Draw) -> Iterator[float]:
    """The moments of the short visits: a Poisson process of the planned rate."""
    moment = 0.5
    while moment < DURATION - 0.8:
        yield moment
        moment += draw.random.expovariate(visitsPerSecond(moment))


def schedule(draw: Draw, folder: Path, start: float) -> Iterator[tuple[float, Callable[[], Awaitable[None]]]]:
    """Everything that happens: seconds after the start, and what."""
    kinds, weights = [kind for kind, _, _ in VISITS], [weight for _, weight, _ in VISITS]
    shares = {kind: share for kind, _, share in VISITS}
    for moment in visitTimes(draw):
        kind = draw.random.choices(kinds, weights)[0]
        yield moment, functools.partial(kind, draw, draw.parties(shares[kind]))
    for holder, count, begin, end in HOLDERS:
        for _ in range(count * len(SERVERS)):
            yield begin + draw.between(0.0, 2.0), functools.partial(holder, draw, draw.parties(0.05), start + end)
    for _ in range(32):
        yield draw.between(1.0, DURATION - 9.0), functools.partial(shell, draw, draw.parties(0.1), folder)
    for large, count in ((slowReader, 4), (bulk, 4)):
        for _ in range(count):
            yield draw.between(8.0, 40.0), functools.partial(large, draw, draw.parties(0.0))


async def later(moment: float, what: Callable[[], Awaitable[None]]) -> None:
    """Do C{what} at a moment of the event loop's clock."""
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
    await what()


async def main(folder: Path) -> int:
    """Run the whole schedule; what went wrong is printed, and counts."""
    start = asyncio.get_running_loop().time()
    tasks = [asyncio.ensure_future(later(start + moment, what)) for moment, what in schedule(Draw(10), folder, start)]
    finished, unfinished = await asyncio.wait(tasks, timeout=DURATION + 1.0)
    for task in unfinished:
        task.cancel()
    problems = [problem for task in finished if (problem := task.exception()) is not None]
    for problem in problems[:20]:
        print(f"client: {problem!r}", file=sys.stderr)
    print(f"{len(finished)} activities finished, {len(unfinished)} cut off, {len(problems)} went wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
