"""
When the load counts as risen and as fallen: what a scaling application decides by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from openmb.demo.replay import Replay

#: Packets per second of capture time, averaged over three seconds, that suit the demonstration's own capture.
RISEN, FALLEN = 720, 680


@dataclass(frozen=True, slots=True)
class Rule:
    """Two questions to a replay: has the load risen, and, later, has it fallen?"""

    risen: Callable[[Replay], bool]
    fallen: Callable[[Replay], bool]


def byRate(risen: int = RISEN, fallen: int = FALLEN) -> Rule:
    """The load is the rate of packets."""
    return Rule(lambda replay: replay.load >= risen, lambda replay: replay.load < fallen)


def byShare(packets: int) -> Rule:
    """For captures of which nothing is known: a third and two thirds of their packets."""
    return Rule(lambda replay: replay.sent * 3 >= packets, lambda replay: replay.sent * 3 >= 2 * packets)


class LoadWatch:
    """
    Watches a replay.

    @param wait: the replay stops at both moments until the application lets it go on; for replays without pace, which
        would else be over before a second middlebox runs.
    @ivar rise: @ivar fall: fire at these moments, or when the replay has ended without them.
    """

    def __init__(self, replay: Replay, rule: Rule, wait: bool) -> None:
        self._replay, self._rule, self._wait = replay, rule, wait
        self.rise: Deferred[None] = Deferred()
        self.fall: Deferred[None] = Deferred()
        replay.watcher = self.look

    def look(self) -> None:
        """Some packets were sent."""
        if not self.rise.called:
            self._check(self.rise, self._rule.risen)
        elif not self.fall.called:
            self._check(self.fall, self._rule.fallen)

    def ended(self) -> None:
        """No more packets will come: whoever still waits goes on."""
        for moment in (self.rise, self.fall):
            if not moment.called:
                moment.callback(None)

    def _check(self, moment: Deferred[None], reached: Callable[[Replay], bool]) -> None:
        if reached(self._replay):
            self._replay.held = self._wait
            moment.callback(None)
