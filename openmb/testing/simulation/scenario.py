"""
What one seed decides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

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
class Plan:
    """
    One move that the application makes.

    @ivar start: simulated time; a plan on the same flows waits for the one before it.
    @ivar flows: which flows.
    @ivar destination: where to (from where they are).
    @ivar patience: seconds between INSTALLED and the switch-over; None: the route is given with the call.
    @ivar abortAfter: seconds after the start at which the application aborts, or None.
    """

    start: float
    flows: str
    destination: str
    patience: float | None
    abortAfter: float | None


@dataclass(frozen=True, slots=True)
class Death:
    """A middlebox that dies at some moment and does not come back."""

    time: float
    name: str


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
    plans = tuple(drawPlans(rng, span, names))
    death = None
    if rng.random() < 0.2:
        plan = rng.choice(plans)
        death = Death(plan.start + rng.random() ** 2 * rng.choice((0.1, 0.6, 2.0)), rng.choice(names[:2]))
    return Scenario(
        seed=seed,
        span=span,
        flows=rng.randrange(22, 34),
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


def drawPlans(rng: random.Random, span: float, names: tuple[str, ...]) -> list[Plan]:
    """Moves there, and mostly back again at once or later; sometimes others beside them."""
    plans: list[Plan] = []
    lists = list(rng.choice(DISJOINT))
    rng.shuffle(lists)
    for flows in lists[: rng.choice((1, 1, 2, 3))]:
        start = span * rng.uniform(0.05, 0.6)
        for _ in range(rng.choice((1, 2, 2, 3))):
            patience = rng.choice((None, None, span * 0.02, span * 0.2, span * 0.6))
            abort = rng.random() ** 2 * rng.choice((0.1, 0.5, span * 0.4)) if rng.random() < 0.2 else None
            plans.append(Plan(start, flows, rng.choice(names), patience, abort))
            start += rng.choice((0.0, span * 0.1))
    return plans
