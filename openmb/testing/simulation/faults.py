"""
What goes wrong in a history: connections that break, controllers that die and are restarted, journals that cannot be
written, middleboxes that come back.

Drawn from numbers of their own, so that a history without faults is the same as ever.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from openmb.operations.journal import Step
from openmb.operations.values import Stage
from openmb.testing.simulation.scenario import Moment, drawMoment

#: The leases and the grace time of simulated operations, in seconds.
GRACE, DESTINATION_LEASE, SOURCE_LEASE = 2.0, 8.0, 30.0
#: How long something is away: for milliseconds, within the grace time, beyond it, beyond one lease, beyond both.
SPANS = ((0.005, 0.05), (0.1, 1.0), (1.5, 5.0), (9.0, 24.0), (35.0, 45.0))
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
class Faults:
    """
    The faults of one history.

    @ivar unwritable: the chance that a journal entry cannot be written.
    @ivar back: seconds after which a middlebox that died comes back as a new process; None: never.
    """

    breaks: tuple[Break, ...] = ()
    crashes: tuple[Crash, ...] = ()
    unwritable: float = 0.0
    back: float | None = None


def drawFaults(rng: random.Random, plans: int) -> Faults:
    """The faults of a history with so many plans; half of the histories have none of their own."""
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


def drawAway(rng: random.Random) -> float:
    """How long something is away, in seconds; most often not for long."""
    return rng.uniform(*rng.choices(SPANS, (40, 30, 15, 8, 7))[0])


def drawBreak(rng: random.Random, plans: int) -> Break:
    """One break, or several in a row."""
    away = tuple(drawAway(rng) for _ in range(rng.choice((1, 1, 1, 2, 4))))
    return Break(rng.randrange(plans), rng.random() < 0.5, drawFaultMoment(rng), away)


def drawCrash(rng: random.Random, plans: int) -> Crash:
    """One death of the controller: most often around a journal entry."""
    moment = drawFaultMoment(rng) if rng.random() < 0.3 else None
    away = None if rng.random() < 0.15 else drawAway(rng)
    step = rng.choices(tuple(CRASHES), tuple(CRASHES.values()))[0]
    passed = rng.choice((0, 0, 0, 0, 1))
    return Crash(rng.randrange(plans), moment, step, rng.choice((0, 1, 1, 2, 3)), passed, away)


def drawFaultMoment(rng: random.Random) -> Moment:
    """As for deaths, with the end of a move and of an abort too."""
    if rng.random() < 0.7:
        return drawMoment(rng)
    stage = rng.choice((Stage.MOVED, Stage.FINISHED, Stage.ABORTED))
    return Moment(stage, rng.random() ** 2 * 0.1)
