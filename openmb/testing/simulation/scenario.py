"""
What one seed decides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from openmb.operations.values import Stage
from openmb.testing.simulation.network import NetworkBehaviour

SERVERS = ["10.1.0.1", "10.1.0.2", "10.1.0.3"]

#: Lists that may be moved in one history: disjoint, so that every flow has one route.
DISJOINT = (
    ("nw_dst=10.1.0.1", "nw_dst=10.1.0.2", "nw_dst=10.1.0.3"),
    ("tcp", "udp", "icmp"),
    ("nw_src=10.0.0.0/24", "nw_src=10.0.1.0/24"),
    ("*",),
    ("tcp,nw_dst=10.1.0.0/30,tp_dst=80", "udp,tp_dst=514", "udp,tp_dst=9999"),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """C{delay} seconds after a move has reached C{stage}."""

    stage: Stage
    delay: float


@dataclass(frozen=True, slots=True)
class Plan:
    """
    One move that the application makes.

    @ivar start: simulated time; a plan on the same flows waits for the one before it.
    @ivar flows: which flows.
    @ivar choice: where to: a number that chooses among the middleboxes where they are not.
    @ivar patience: seconds between INSTALLED and the switch-over; None: the route is given with the call.
    @ivar abort: when the application changes its mind, or None.
    """

    start: float
    flows: str
    choice: int
    patience: float | None
    abort: Moment | None


@dataclass(frozen=True, slots=True)
class Death:
    """
    A middlebox that dies and does not come back.

    @ivar plan: which of the plans it is about.
    @ivar ofSource: the source of that move dies, not the destination.
    """

    plan: int
    ofSource: bool
    moment: Moment


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that is not traffic."""

    seed: int
    span: float
    flows: int
    middleboxes: tuple[str, ...]
    network: NetworkBehaviour
    line: float
    sliceSlots: int
    window: int
    lateWindow: int
    eventBuffer: int
    plans: tuple[Plan, ...]
    death: Death | None


def drawScenario(seed: int, rng: random.Random) -> Scenario:
    """The history of C{seed}."""
    span = rng.choice((1.0, 3.0, 10.0, 60.0))
    names = ("a", "b", "c") if rng.random() < 0.4 else ("a", "b")
    network = NetworkBehaviour(
        delay=rng.choice((0.0005, 0.003, 0.02)),
        answer=rng.choice((0.001, 0.02, 0.1)),
        settle=rng.choice((0.0, 0.0, 0.02, 0.1)),
        failing=0.15 if rng.random() < 0.2 else 0.0,
    )
    plans = tuple(drawPlans(rng, span))
    death = drawDeath(rng, len(plans)) if rng.random() < 0.2 else None
    return Scenario(
        seed=seed,
        span=span,
        flows=rng.randrange(34, 42),
        middleboxes=names,
        network=network,
        line=rng.choice((0.0005, 0.004, 0.015)),
        sliceSlots=rng.choice((4, 16, 64)),
        window=rng.choice((4096, 65536, 1 << 20)),
        lateWindow=rng.choice((50, 300, 2000)),
        eventBuffer=rng.choice((6000, 1 << 20, 1 << 20)),
        plans=plans,
        death=death,
    )


def drawDeath(rng: random.Random, plans: int) -> Death:
    """The death of one end of some plan's move."""
    return Death(rng.randrange(plans), rng.random() < 0.5, drawMoment(rng))


def drawPlans(rng: random.Random, span: float) -> list[Plan]:
    """Moves there, and mostly back again at once or later; sometimes others beside them."""
    plans: list[Plan] = []
    lists = list(rng.choice(DISJOINT))
    rng.shuffle(lists)
    for flows in lists[: rng.choice((1, 1, 2, 3))]:
        start = span * rng.uniform(0.05, 0.6)
        for _ in range(rng.choice((1, 2, 2, 3))):
            patience = rng.choice((None, None, span * 0.02, span * 0.2, span * 0.6))
            abort = drawMoment(rng) if rng.random() < 0.25 else None
            plans.append(Plan(start, flows, rng.randrange(2), patience, abort))
            start += rng.choice((0.0, span * 0.1))
    return plans


def drawMoment(rng: random.Random) -> Moment:
    """Some moment of a move, most often while it is switching over."""
    stage = rng.choice((Stage.STARTED, Stage.INSTALLED, Stage.SWITCHING, Stage.SWITCHING, Stage.ROUTED, Stage.MERGED))
    return Moment(stage, rng.random() ** 2 * rng.choice((0.02, 0.1, 0.4)))
