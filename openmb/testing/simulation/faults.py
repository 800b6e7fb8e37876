"""
What goes wrong in a history: connections that break, controllers that die and are restarted, journals that cannot be
written, middleboxes that come back.

Drawn from numbers of their own, so that a history without faults is the same as ever.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from openmb.operations.journal import Step
from openmb.operations.values import Stage
from openmb.testing.simulation.scenario import Moment, drawMoment

#: The leases and the grace time of simulated operations, in seconds.
GRACE, DESTINATION_LEASE, SOURCE_LEASE = 2.0, 8.0, 30.0
#: How long something is away: for milliseconds, within the grace time, beyond it, beyond one lease, beyond both.
SPANS = ((0.005, 0.05), (0.1, 1.0), (1.5, 5.0), (9.0, 24.0), (35.0, 45.0))
#: Seconds that all breaks of a history may take together so that no deadline passes.
LITTLE = 1.0
#: How often each, in relation: as it comes; hardly beyond the grace time; mostly beyond it.
OFTEN, BRIEF, LONG = (40, 30, 15, 8, 7), (50, 40, 10, 0, 0), (0, 5, 40, 25, 30)
#: At which entries a controller dies, and how often in relation.
CRASHES = {
    Step.OPEN: 1,
    Step.SWITCHING: 1,
    Step.ROUTE: 5,
    Step.COMMIT: 5,
    Step.DRAINING: 2,
    Step.COMMITTED: 2,
    Step.ABORT: 4,
    Step.BACK: 4,
    Step.CLOSED: 1,
}


@dataclass(frozen=True, slots=True)
class Break:
    """
    The connection between a middlebox and the controller breaks, perhaps again as soon as it is there.

    @ivar plan: which of the plans it is about.
    @ivar ofSource: of that move's source, not the destination.
    @ivar away: how long the controller cannot be reached, each time.
    """

    plan: int
    ofSource: bool
    moment: Moment
    away: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Crash:
    """
    The controller dies, at a moment of a move or at a journal entry.

    @ivar plan: @ivar moment: when a stage is reached; None: L{step} decides.
    @ivar step: at the write of such an entry; C{acts} 0: before it is written, 1: right after, before anything else
        is done, more: after so many acts.
    @ivar passed: entries of that step that are passed over first.
    @ivar away: seconds until it is started again; None: never.
    """

    plan: int
    moment: Moment | None
    step: Step
    acts: int
    passed: int
    away: float | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sizes of queues, as in L{openmb.middlebox.settings.HostSettings}."""

    keptBytes: int
    holdBytes: int
    redirectBytes: int
    eventBuffer: int


@dataclass(frozen=True, slots=True)
class Full:
    """The disk of the journal is full from a moment of a plan's move on, for so many seconds."""

    plan: int
    moment: Moment
    seconds: float


@dataclass(frozen=True, slots=True)
class Faults:
    """
    The faults of one history.

    @ivar unwritable: the chance that a journal entry cannot be written.
    @ivar back: seconds after which a middlebox that died comes back as a new process; None: never.
    @ivar lying: @ivar late: of routes, see L{openmb.testing.simulation.network.NetworkBehaviour}.
    @ivar bounds: small queues; None: none is ever full.
    @ivar full: when no journal entry at all can be written.
    @ivar rough: packets of the traffic itself are lost, repeated, late or damaged.
    """

    breaks: tuple[Break, ...] = ()
    crashes: tuple[Crash, ...] = ()
    unwritable: float = 0.0
    back: float | None = None
    lying: float = 0.0
    late: float = 0.0
    bounds: Bounds | None = None
    rough: bool = False
    full: Full | None = None

    @property
    def brief(self) -> bool:
        """Is nobody away for so long that a deadline passes, and no answer of the network?"""
        away = sum(sum(each.away) for each in self.breaks)
        return not self.crashes and not self.late and not self.lying and away < LITTLE

    @property
    def short(self) -> bool:
        """Is nobody away for so long at a time that an answer is waited for in vain?"""
        return not self.crashes and not self.late and all(max(each.away) < LITTLE for each in self.breaks)


def drawFaults(rng: random.Random, plans: int, focus: str = "") -> Faults:
    """
    The faults of a history with so many plans; nearly half of the histories have none of their own.

    @param focus: one of L{FOCUSES}: every history has faults of that sort; empty: as they come.
    """
    return FOCUSES[focus](rng, plans) if focus else drawAnything(rng, plans)


def drawAnything(rng: random.Random, plans: int) -> Faults:
    """As they come."""
    faults = drawDeaths(rng, plans)
    return replace(
        faults,
        lying=0.3 if rng.random() < 0.1 else 0.0,
        late=0.2 if rng.random() < 0.05 else 0.0,
        bounds=drawBounds(rng) if rng.random() < 0.15 else None,
        rough=rng.random() < 0.35,
    )


def drawBounds(rng: random.Random) -> Bounds:
    """Queues that a few packets fill."""
    return Bounds(
        rng.choice((500, 4000, 1 << 20)), rng.choice((300, 2000)), rng.choice((300, 2000)), rng.choice((2000, 6000))
    )


def drawDeaths(rng: random.Random, plans: int) -> Faults:
    """Breaks, deaths of the controller, full disks and returns."""
    if rng.random() < 0.45:
        return Faults(back=drawAway(rng) if rng.random() < 0.4 else None)
    kinds = rng.choice(("breaks", "breaks", "crashes", "crashes", "both"))
    breaks = tuple(drawBreak(rng, plans) for _ in range(rng.choice((1, 1, 2, 3))))
    crashes = tuple(drawCrash(rng, plans) for _ in range(rng.choice((1, 1, 2, 3))))
    return Faults(
        breaks=breaks if kinds != "crashes" else (),
        crashes=crashes if kinds != "breaks" else (),
        unwritable=rng.choice((0.05, 0.2)) if rng.random() < 0.15 else 0.0,
        back=drawAway(rng) if rng.random() < 0.5 else None,
    )


def focusOnBreaks(rng: random.Random, plans: int) -> Faults:
    """Connections break often, and soon return."""
    return Faults(breaks=tuple(drawBreak(rng, plans, BRIEF) for _ in range(rng.choice((2, 3, 4)))))


def focusOnEndings(rng: random.Random, plans: int) -> Faults:
    """The last answers of an operation are lost, and whoever gave them comes back after it was over there."""
    moments = [Moment(Stage.MERGED, rng.random() * 0.02) for _ in range(plans)]
    away = [(rng.uniform(0.4, LITTLE),) for _ in moments]
    return Faults(breaks=tuple(Break(plan, True, moments[plan], away[plan]) for plan in range(plans)))


def focusOnRestarts(rng: random.Random, plans: int) -> Faults:
    """The controller dies often, and is soon there again."""
    return Faults(crashes=tuple(drawCrash(rng, plans, BRIEF, 0.0) for _ in range(rng.choice((2, 3, 4)))))


def focusOnLeases(rng: random.Random, plans: int) -> Faults:
    """The controller stays away for longer than the ends wait, or for ever; connections too."""
    if rng.random() < 0.25:
        return Faults(breaks=(drawBreak(rng, plans, LONG),))
    return Faults(crashes=(drawCrash(rng, plans, LONG, 0.4),))


def focusOnGivingBack(rng: random.Random, plans: int) -> Faults:
    """The route is set back, and while packets are given back the controller dies, or the source's line breaks."""
    plan = rng.randrange(plans)
    if rng.random() < 0.3:
        broken = Break(plan, True, Moment(Stage.SWITCHING, rng.random() * 0.3), (drawAway(rng, LONG),))
        return Faults(breaks=(broken,), lying=0.6)
    away = None if rng.random() < 0.3 else drawAway(rng, LONG)
    return Faults(crashes=(Crash(plan, None, Step.BACK, rng.randrange(2, 9), 0, away),), lying=0.6)


def focusOnDisks(rng: random.Random, plans: int) -> Faults:
    """The journal's disk is full for a while, and the controller dies, perhaps meanwhile."""
    plan = rng.randrange(plans)
    stage = rng.choice((Stage.STARTED, Stage.SWITCHING, Stage.ROUTED, Stage.ROUTED, Stage.MERGED, Stage.ABORTED))
    full = Full(plan, Moment(stage, rng.random() ** 2 * 0.1), drawAway(rng, (10, 40, 50, 0, 0)))
    end = rng.choice((Stage.FINISHED, Stage.FINISHED, Stage.ABORTED, Stage.MOVED))
    dies = Crash(plan, Moment(end, rng.random() * 0.1), Step.OPEN, 0, 0, drawAway(rng, BRIEF))
    return Faults(crashes=(dies,), full=full)


def focusOnBounds(rng: random.Random, plans: int) -> Faults:
    """Small queues, and sometimes a break besides."""
    breaks = (drawBreak(rng, plans, BRIEF),) if rng.random() < 0.3 else ()
    return Faults(breaks=breaks, bounds=drawBounds(rng))


def focusOnRoutes(rng: random.Random, plans: int) -> Faults:
    """The network's answers are late, or lost."""
    return Faults(lying=0.3, late=rng.choice((0.0, 0.3)))


def focusOnReturns(rng: random.Random, plans: int) -> Faults:
    """A middlebox that dies is soon there again, as a new process."""
    return Faults(back=drawAway(rng, BRIEF))


def focusOnClones(rng: random.Random, plans: int) -> Faults:
    """As they come; or breaks and deaths of the controller while the last plan is on, which is a clone or merge."""
    if rng.random() < 0.4:
        return drawAnything(rng, plans)
    stages = (Stage.STARTED, Stage.INSTALLED, Stage.SWITCHING, Stage.SWITCHING, Stage.MERGED)
    moments = [Moment(rng.choice(stages), rng.random() ** 2 * rng.choice((0.02, 0.1))) for _ in range(3)]
    weights = rng.choice((OFTEN, LONG))
    breaks = tuple(Break(plans - 1, rng.random() < 0.5, moment, (drawAway(rng, weights),)) for moment in moments)
    crash = Crash(plans - 1, moments[0], Step.OPEN, 0, 0, drawAway(rng, weights))
    return Faults(breaks=breaks[: rng.choice((0, 1, 3))], crashes=(crash,) if rng.random() < 0.4 else ())


#: The campaign with clones and merges among the moves.
CLONES = "clones"
#: What a campaign can be about, beside everything.
FOCUSES: dict[str, Callable[[random.Random, int], Faults]] = {
    "breaks": focusOnBreaks,
    "endings": focusOnEndings,
    "restarts": focusOnRestarts,
    "leases": focusOnLeases,
    "givingBack": focusOnGivingBack,
    "returns": focusOnReturns,
    "disks": focusOnDisks,
    "bounds": focusOnBounds,
    "routes": focusOnRoutes,
    CLONES: focusOnClones,
}


def drawAway(rng: random.Random, weights: tuple[int, ...] = OFTEN) -> float:
    """How long something is away, in seconds."""
    return rng.uniform(*rng.choices(SPANS, weights)[0])


def drawBreak(rng: random.Random, plans: int, weights: tuple[int, ...] = OFTEN) -> Break:
    """One break, or several in a row."""
    away = tuple(drawAway(rng, weights) for _ in range(rng.choice((1, 1, 1, 2, 4))))
    return Break(rng.randrange(plans), rng.random() < 0.5, drawFaultMoment(rng), away)


def drawCrash(rng: random.Random, plans: int, weights: tuple[int, ...] = OFTEN, never: float = 0.15) -> Crash:
    """One death of the controller: most often around a journal entry."""
    moment = drawFaultMoment(rng) if rng.random() < 0.3 else None
    away = None if rng.random() < never else drawAway(rng, weights)
    step = rng.choices(tuple(CRASHES), tuple(CRASHES.values()))[0]
    passed = rng.choice((0, 0, 0, 0, 1))
    return Crash(rng.randrange(plans), moment, step, rng.choice((0, 1, 1, 2, 3)), passed, away)


def drawFaultMoment(rng: random.Random) -> Moment:
    """As for deaths, with the end of a move and of an abort too."""
    if rng.random() < 0.7:
        return drawMoment(rng)
    stage = rng.choice((Stage.MOVED, Stage.FINISHED, Stage.ABORTED))
    return Moment(stage, rng.random() ** 2 * 0.1)
