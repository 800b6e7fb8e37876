"""
Runs targets: seeded inputs, a deadline for each, memory watched, everything that is no answer kept as a finding.
"""

from __future__ import annotations

import functools
import gc
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from openmb.netctl.embedded.heap import trimHeap
from openmb.testing.fuzzing import packettargets, setuptargets, smartretargets, texttargets, wiretargets
from openmb.testing.fuzzing.controllers import controllers
from openmb.testing.fuzzing.hosts import hosts
from openmb.testing.fuzzing.mutate import Mutator
from openmb.testing.fuzzing.shrink import shrink
from openmb.testing.fuzzing.target import Target

#: Seconds that one input may take.
DEADLINE = 10
#: Inputs that one seed of the campaign stands for.
CHUNK = 50
#: Targets that go first, since they leave bytes undone.
SLOW = (
    "journals",
    "keyrings",
    "certificates",
    "credentials",
    "options",
    "services",
    "local sockets",
    "hosts",
    "controllers",
)
#: Kinds of findings of one target that are kept; more are only counted.
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
    @ivar findings: one of each kind; C{found} are all that there were.
    @ivar grown: KiB by which the process has grown between the first tenth of the inputs and the end.
    """

    inputs: int = 0
    bytes: int = 0
    seconds: float = 0.0
    accepted: int = 0
    grown: int = 0
    findings: list[Finding] = field(default_factory=list)
    found: int = 0

    def keep(self, finding: Finding) -> None:
        """Count it, and keep it if there is none of its kind yet."""
        self.found += 1
        kinds = {kindOf(each.reason) for each in self.findings}
        if len(self.findings) < KEPT and kindOf(finding.reason) not in kinds:
            self.findings.append(finding)


def makeTargets(folder: Path) -> dict[str, Target]:
    """All targets, by name; C{folder} is for the files that some of them need."""
    made: list[Target] = [
        texttargets.options(),
        setuptargets.services(),
        setuptargets.certificates(),
        hosts(),
        controllers(),
        wiretargets.records("bro"),
        wiretargets.records("counter"),
        wiretargets.shared("counter"),
        texttargets.headerFieldLists(),
        texttargets.systems(),
        wiretargets.frames(),
        wiretargets.connections(),
        wiretargets.streamParts(),
        wiretargets.seals(),
        wiretargets.markers(),
        texttargets.localProtocol(),
        *packettargets.analyzers(),
        packettargets.dumps(),
        smartretargets.bodies(),
        smartretargets.messages(),
    ]
    needing: Sequence[Callable[[Path], Target]] = (
        texttargets.keyrings,
        setuptargets.credentials,
        setuptargets.localSockets,
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


def targetNames() -> list[str]:
    """The names of all targets."""
    with tempfile.TemporaryDirectory(prefix="openmb-fuzz-") as folder:
        return list(makeTargets(Path(folder)))


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
            error = judge(target, data)
            tally.accepted += error is None
            if error is not None and not isinstance(error, target.allowed):
                tally.keep(Finding(target.name, seed, data, describe(error)))
    tally.seconds += time.perf_counter() - began


def judge(target: Target, data: bytes) -> BaseException | None:
    """What C{target} raised on C{data}, answer or not; None: nothing."""
    try:
        target.run(data)
    except (Exception, Hang) as error:  # noqa: BLE001 - whatever is no answer is what is looked for
        return error
    return None


def smaller(target: Target, finding: Finding) -> bytes:
    """An input that shows the same kind of error at the same place, as small as is cheap to find."""
    with watch() as soon:

        def shows(data: bytes) -> bool:
            soon()
            error = judge(target, data)
            return error is not None and kindOf(describe(error)) == kindOf(finding.reason)

        return finding.data if finding.reason.startswith(Hang.__name__) else shrink(finding.data, shows)


def kindOf(reason: str) -> tuple[str, str]:
    """Name and place of an error in a reason, without its words, which may depend on the input."""
    return reason.partition(":")[0], reason.rpartition(" (")[2].partition(" < ")[0]


def describe(error: BaseException) -> str:
    """What was raised, and the last lines of where."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__}: {error} ({places})"


def resident() -> int:
    """KiB of its own that this process uses, without garbage, free heap and what only bounded caches keep."""
    for name, module in tuple(sys.modules.items()):
        for value in tuple(vars(module).values()) if name.startswith("openmb.") else ():
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()
    gc.collect()
    trimHeap()
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1])


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
            tally = tallies[target.name]
            runTarget(target, share, first, tally)
            tally.findings[:] = [replace(each, data=smaller(target, each)) for each in tally.findings]
            seen(target.name, tallies[target.name])
    return tallies


def runInput(name: str, data: bytes) -> BaseException | None:
    """One input, such as a campaign has kept, to one target; what it raised, unless that is an answer."""
    with tempfile.TemporaryDirectory(prefix="openmb-fuzz-") as folder, watch() as soon:
        target = makeTargets(Path(folder))[name]
        soon()
        error = judge(target, data)
        return None if isinstance(error, target.allowed) else error


def runTarget(target: Target, share: int, first: int, tally: Tally, patience: float = 240.0) -> None:
    """One target until C{share} bytes were tried, or C{patience} seconds are over."""
    seed, early = first, 0
    while not tally.inputs or (tally.bytes < share and tally.seconds < patience):
        runChunk(target, seed, tally)
        seed += 1
        if not early and (tally.bytes > share / 10 or tally.seconds > patience / 10):
            early = resident()
    tally.grown = resident() - early if early else 0
