"""
A network whose two directions change path at different moments: what C{INetwork} promises, and not more.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from zope.interface import implementer

from openmb.errors import OperationError, Refusal
from openmb.interfaces import INetwork, NetworkState, PortState, Route
from openmb.packets.headers import Decoded, Status
from openmb.packets.marker import buildMarker
from openmb.testing.simulation.clock import SimulatedClock
from openmb.testing.simulation.traffic import Traffic, stampOf

#: Seconds by which a late answer is late: beyond the simulated deadline for routes.
LATE = (5.5, 9.0)
#: Seconds after which a port that took no packets is asked again.
STOPPED = 0.002
#: Takes the packets that reach a port: frames and stamps.
Receiver = Callable[[Sequence[bytes], Sequence[int]], None]


@dataclass(frozen=True, slots=True)
class NetworkBehaviour:
    """
    What one history's network does.

    @ivar delay: mean one-way delay of a path, in seconds.
    @ivar answer: the longest time until a route is answered.
    @ivar settle: as declared: how long after the answer a packet may still take the old path.
    @ivar failing: the chance that a new route is refused.
    @ivar lying: the chance that a change is made although its answer is an error.
    @ivar late: the chance that a change, and its answer, take longer than anybody waits.
    """

    delay: float
    answer: float
    settle: float
    failing: float
    lying: float = 0.0
    late: float = 0.0


class Path:
    """
    A first-in first-out link to one port; packets that are due together arrive as one batch.

    @param wants: does the port take packets?  While it does not they wait here, markers among them, in order.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        rng: random.Random,
        delay: float,
        receive: Receiver,
        wants: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clock, self._rng, self._delay, self._receive, self._wants = clock, rng, delay, receive, wants
        self.stops = 0
        self._waiting: list[tuple[float, bytes, int]] = []
        self._last = 0.0
        self._woken = False
        self.alive = True

    def send(self, frame: bytes, stamp: int) -> None:
        """Put one packet on the link."""
        due = max(self._last, self._clock.seconds() + self._delay * self._rng.uniform(0.2, 2))
        self._last = due
        self._waiting.append((due, frame, stamp))
        if not self._woken:
            self._woken = True
            self._clock.callLater(due - self._clock.seconds(), self._deliver)

    def _deliver(self) -> None:
        now = self._clock.seconds() + 1e-9
        if self.alive and not self._wants():
            self.stops += 1
            self._clock.callLater(STOPPED, self._deliver)
            return
        count = sum(1 for due, _, _ in self._waiting if due <= now)
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        self._woken = bool(self._waiting)
        if self._waiting:
            self._clock.callLater(max(self._waiting[0][0] - self._clock.seconds(), 0.0), self._deliver)
        if ready and self.alive:
            self._receive([frame for _, frame, _ in ready], [stamp for _, _, stamp in ready])


@dataclass(frozen=True, slots=True)
class Change:
    """
    One rule put in place or removed.

    @ivar matching: which packets the rule is for: C{bool[packets]}.
    @ivar moments: from when on it holds, for each flow and direction: C{float64[flows, 2]}.
    @ivar answered: when it is in effect as far as anybody is told.
    """

    rule: Route
    present: bool
    matching: NDArray[np.bool_]
    moments: NDArray[np.float64]
    answered: float


@implementer(INetwork)
class SimulatedNetwork:
    """Rules by priority; a change takes effect for each flow and direction at its own moment."""

    def __init__(
        self,
        clock: SimulatedClock,
        rng: random.Random,
        luck: random.Random,
        traffic: Traffic,
        decoded: Decoded,
        behaviour: NetworkBehaviour,
    ) -> None:
        self._clock, self._rng, self._luck, self._traffic, self._decoded = clock, rng, luck, traffic, decoded
        self.tardy: Callable[[str], None] = lambda flows: None
        self.lies = 0
        self._behaviour = behaviour
        self.settle = behaviour.settle
        self.paths: dict[str, Path] = {}
        self._changes: list[Change] = []
        self._rules: tuple[Route, ...] = ()
        self._lastStamp = 0
        self._incomplete: defaultdict[int, list[int]] = defaultdict(list)
        self._whole = (decoded.headers["status"] & Status.REASSEMBLED).astype(bool)
        self.reassembled = 0
        self.stamps: list[int] = [0] * len(traffic.packets)
        self.visited: list[set[str]] = [set() for _ in range(traffic.flowCount)]
        self.failures = 0

    def attach(self, name: str, receive: Receiver, wants: Callable[[], bool]) -> None:
        """Connect (or connect again) a port."""
        self.paths[name] = Path(self._clock, self._rng, self._behaviour.delay, receive, wants)

    def detach(self, name: str) -> None:
        """The middlebox died: what is on its link is lost."""
        self.paths[name].alive = False

    # -- packets

    def ingress(self, index: int) -> None:
        """
        Packet C{index} of the traffic has reached the switch.

        Fragments wait until their datagram is complete, and go where its ports say, one after the other.
        """
        datagram = self._traffic.datagrams[index] if self._traffic.datagrams else -1
        if datagram < 0:
            self._forward([index], index)
            return
        self._incomplete[datagram].append(index)
        if self._whole[index]:
            self.reassembled += 1
            self._forward(self._incomplete.pop(datagram), index)

    def _forward(self, packets: list[int], deciding: int) -> None:
        """Send packets where the path of C{deciding} leads."""
        path = self._pathOf(deciding)
        for index in packets:
            stamp = self.stamps[index] = self._nextStamp()
            for name in path:
                self.visited[self._traffic.flows[index]].add(name)
                self.paths[name].send(self._traffic.packets[index], stamp)

    def _nextStamp(self) -> int:
        self._lastStamp = max(self._lastStamp + 1, stampOf(self._clock.seconds()))
        return self._lastStamp

    def _pathOf(self, index: int) -> tuple[str, ...]:
        rules = self._rulesFor(index)
        best = max(range(len(rules)), key=lambda place: (rules[place].priority, place), default=None)
        return () if best is None else rules[best].path  # at equal priority the last one added wins

    def _rulesFor(self, index: int) -> list[Route]:
        """The rules that a packet meets at this moment, in the order in which they were added."""
        flow, direction = self._traffic.flows[index], int(self._traffic.fromClient[index])
        now, rules = self._clock.seconds(), list[Route]()
        for change in self._changes:
            if change.matching[index] and change.moments[flow, direction] <= now:
                rules = [rule for rule in rules if not rule.replaces(change.rule)]
                if change.present:
                    rules.append(change.rule)
        return rules

    # -- INetwork

    def install(self, route: Route) -> None:
        """Install a rule at once, before the history begins."""
        self._put(route, 0.0, 0.0)

    def route(self, route: Route) -> Deferred[Route | None]:
        replaced = next((rule for rule in self._rules if rule.replaces(route)), None)
        delay = self._delayOf(route)
        if any(name not in self.paths for name in route.path):
            return fail(OperationError(Refusal.ROUTE_FAILED, f"no port for {route.path}"))
        if replaced is None and self._rng.random() < self._behaviour.failing:
            self.failures += 1
            return deferLater(self._clock, delay, self._refuse)
        self._put(route, self._clock.seconds(), delay)
        return self._answer(delay, replaced)

    def _delayOf(self, route: Route) -> float:
        """How long the answer takes; a switch answers in order."""
        delay = self._rng.random() * self._behaviour.answer
        if self._behaviour.late and self._luck.random() < self._behaviour.late:
            delay += self._luck.uniform(*LATE)
            self.tardy(str(route.flows))
        earlier = [change.answered for change in self._changes if change.rule.replaces(route)]
        return max([delay, *(answered - self._clock.seconds() for answered in earlier)])

    def _answer(self, delay: float, result: object) -> Deferred[Any]:
        """What was asked is done; the answer says so, or is lost on the way."""
        if self._behaviour.lying and self._luck.random() < self._behaviour.lying:
            self.lies += 1
            return deferLater(self._clock, delay, self._lose)
        return deferLater(self._clock, delay, lambda: result)

    @staticmethod
    def _refuse() -> None:
        raise OperationError(Refusal.ROUTE_FAILED, "the switch says no")

    @staticmethod
    def _lose() -> None:
        raise OperationError(Refusal.DISCONNECTED, "the switch's answer was lost")

    def current(self, route: Route) -> Deferred[Route | None]:
        present = next((rule for rule in self._rules if route.replaces(rule)), None)
        return deferLater(self._clock, self._rng.random() * self._behaviour.answer, lambda: present)

    def state(self) -> Deferred[NetworkState]:
        ports = tuple(PortState(name, True, 0, 0) for name in self.paths)
        return self._answer(0.0, NetworkState(str(len(self._changes)), ports))

    def routes(self) -> Deferred[list[Route]]:
        return self._answer(0.0, list(self._rules))

    def unroute(self, route: Route) -> Deferred[Route | None]:
        delay = self._delayOf(route)
        removed = next((rule for rule in self._rules if rule.replaces(route)), None)
        self._rules = tuple(rule for rule in self._rules if not rule.replaces(route))
        self._change(route, False, self._clock.seconds(), delay)
        return self._answer(delay, removed)

    def mark(self, operation: int, token: bytes, number: int, final: bool, ports: Sequence[str]) -> Deferred[None]:
        for name in ports:
            self.paths[name].send(buildMarker(operation, token, number, final), self._nextStamp())
        return deferLater(self._clock, 0, lambda: None)

    def _put(self, route: Route, start: float, delay: float) -> None:
        self._rules = (*(rule for rule in self._rules if not rule.replaces(route)), route)
        self._change(route, True, start, delay)

    def _change(self, route: Route, present: bool, start: float, delay: float) -> None:
        """Some time until the answer in C{delay} seconds, and the settling time after it, each flow changes."""
        shape = (self._traffic.flowCount, 2)
        draws = np.array([self._rng.random() for _ in range(shape[0] * 2)]).reshape(shape)
        spread = delay + self.settle if start else 0.0
        moments = start + draws * spread
        for earlier in self._changes:
            if earlier.rule.replaces(route):  # no change overtakes an earlier one of the same rule
                moments = np.maximum(moments, earlier.moments)
        matching = route.flows.matchHeaders(self._decoded.headers)
        self._changes.append(Change(route, present, matching, moments, start + delay))
