"""
Runs targets: seeded inputs, a deadline for each, memory watched, everything that is no answer kept as a finding.
"""

from __future__ import annotations

import random
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from openmb.testing.fuzzing import packettargets, texttargets, wiretargets
from openmb.testing.fuzzing.mutate import Mutator
from openmb.testing.fuzzing.target import Target

#: Seconds that one input may take.
DEADLINE = 10
#: Inputs that one seed of the campaign stands for.
CHUNK = 50
#: Targets that go first, since they leave bytes undone.
SLOW = ("journals", "keyrings", "certificates", "options")
#: Findings of one target that are kept; more are only counted.
KEPT = 20


class Hang(BaseException):
    """An input took longer than L{DEADLINE}; no C{except Exception} of the code under test may catch it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that is no answer.

    @ivar seed: runs the chunk again that it came in.
    """

    target: str
    seed: int
    data: bytes
    reason: str


@dataclass
class Tally:
    """
    What came of one target.

    @ivar accepted: inputs that raised nothing.
    @ivar grown: KiB by which the process has grown between the first tenth of the inputs and the end.
    """

    inputs: int = 0
    bytes: int = 0
    seconds: float = 0.0
    accepted: int = 0
    grown: int = 0
    findings: list[Finding] = field(default_factory=list)
    found: int = 0


def makeTargets(folder: Path) -> dict[str, Target]:
    """All targets, by name; C{folder} is for the files that some of them need."""
    made: list[Target] = [
        texttargets.options(),
        wiretargets.records("bro"),
        wiretargets.records("counter"),
        texttargets.headerFieldLists(),
        wiretargets.frames(),
        wiretargets.connections(),
        wiretargets.streamParts(),
        wiretargets.seals(),
        wiretargets.markers(),
        texttargets.localProtocol(),
        packettargets.requests(),
        packettargets.dumps(),
        packettargets.shells(),
    ]
    needing: Sequence[Callable[[Path], Target]] = (
        texttargets.keyrings,
        texttargets.certificates,
        texttargets.journals,
        packettargets.captures,
        packettargets.streams,
    )
    for make in needing:
        own = folder / make.__name__
        own.mkdir()
        made.append(make(own))
    made.sort(key=lambda target: target.name not in SLOW)
    return {target.name: target for target in made}


def void(_: object) -> None:
    """Nothing."""


@contextmanager
def watch() -> Iterator[Callable[[], None]]:
    """Makes a hang an exception; call what this yields before each input."""

    def late(signal_: int, frame: FrameType | None) -> None:
        raise Hang(f"not done after {DEADLINE} s")

    before = signal.signal(signal.SIGALRM, late)
    try:
        yield lambda: void(signal.alarm(DEADLINE))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def runChunk(target: Target, seed: int, tally: Tally, limit: int = CHUNK) -> None:
    """The inputs of one seed."""
    mutator = Mutator(random.Random(f"{target.name} {seed}"), target.seeds, target.words)
    began = time.perf_counter()
    with watch() as soon:
        for _ in range(limit):
            data = mutator.make()
            tally.inputs += 1
            tally.bytes += len(data)
            soon()
            try:
                target.run(data)
                tally.accepted += 1
            except target.allowed:
                pass
            except (Exception, Hang) as error:  # noqa: BLE001 - whatever is no answer is what is looked for
                tally.found += 1
                if len(tally.findings) < KEPT:
                    tally.findings.append(Finding(target.name, seed, data, describe(error)))
    tally.seconds += time.perf_counter() - began


def describe(error: BaseException) -> str:
    """What was raised, and the last lines of where."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__}: {error} ({places})"


def resident() -> int:
    """KiB that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def campaign(
    total: int,
    first: int = 0,
    names: Sequence[str] = (),
    seen: Callable[[str, Tally], None] = lambda name, tally: None,
) -> dict[str, Tally]:
    """
    Fuzz until C{total} bytes of input were tried, shared among the targets called C{names} (none: all).

    Each target gets the same number of bytes, but no more than a few minutes; what a slow one leaves undone goes to
    those that come after it.
    """
    with tempfile.TemporaryDirectory(prefix="openmb-fuzz-") as folder:
        targets = makeTargets(Path(folder))
        chosen = [targets[name] for name in (names or targets)]
        tallies = {target.name: Tally() for target in chosen}
        for number, target in enumerate(chosen):
            done = sum(tally.bytes for tally in tallies.values())
            share = (total - done) // (len(chosen) - number)
            runTarget(target, share, first, tallies[target.name])
            seen(target.name, tallies[target.name])
    return tallies


def runTarget(target: Target, share: int, first: int, tally: Tally, patience: float = 240.0) -> None:
    """One target until C{share} bytes were tried, or C{patience} seconds are over."""
    seed, early = first, 0
    while not tally.inputs or (tally.bytes < share and tally.seconds < patience):
        runChunk(target, seed, tally)
        seed += 1
        if not early and (tally.bytes > share / 10 or tally.seconds > patience / 10):
            early = resident()
    tally.grown = resident() - early if early else 0
