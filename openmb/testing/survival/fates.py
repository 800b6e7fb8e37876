"""
What the design promises for each step and party: how the operation may end, and what happens to each class of flows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openmb.testing.survival.judge import Fate, Gapped, Lost
from openmb.testing.survival.points import Moment, Party, Point, Step
from openmb.testing.survival.rows import Row
from openmb.testing.survival.traffic import Class

#: C{UNKNOWN}: the controller died before it had written anything of the operation, so there never was one.
ABORTED, FINISHED, FAILED, UNKNOWN = "aborted", "finished", "failed", "unknown"
#: Packets that may be under way between the harness and a middlebox.
MARGIN = 600
_UNDONE, _DONE, _FORWARD = frozenset({ABORTED}), frozenset({FINISHED}), frozenset({FINISHED, FAILED})
_BEFORE_VOTE = frozenset({Step.PREPARING, Step.EXPORTING, Step.INSTALLED, Step.HOLDING})
_BACK = frozenset({Step.ABORTING, Step.SETTING_BACK, Step.RETURNING})
#: After this the controller may hear of the source's answer before it hears of a death, and then asks for the route.
_ANSWERED = Point(Step.DIVERTING, Moment.AFTER)
#: After these the source has handed over everything.
_HANDED_OVER = frozenset({Step.DELETING, Step.WINDOW, Step.CLOSED})


def endings(party: Party, point: Point) -> frozenset[str]:
    """The stages in which an operation may end when C{party} is killed at C{point}."""
    step, moment = point.step, point.moment
    if party is Party.CONTROLLER and point == Point(Step.PREPARING, Moment.BEFORE):
        return frozenset({UNKNOWN})
    if party is Party.CONTROLLER and point == Point(Step.SETTING_BACK, Moment.BEFORE):
        return _DONE  # that somebody wanted to go back is not written anywhere
    if step in _BACK or step in _BEFORE_VOTE:
        return _UNDONE
    match party:
        case Party.SOURCE:
            return _UNDONE | _FORWARD if point == _ANSWERED else _sourceEndings(step)
        case Party.DESTINATION:
            if step is Step.ROUTING and moment is not Moment.BEFORE:
                return _UNDONE | _FORWARD  # whichever the controller hears of first: the route's answer, or the death
            return _UNDONE if step in (Step.DIVERTING, Step.ROUTING) else _FORWARD
        case Party.CONTROLLER:
            return _controllerEndings(step, moment)


def _sourceEndings(step: Step) -> frozenset[str]:
    return _UNDONE if step is Step.DIVERTING else _FORWARD


def _controllerEndings(step: Step, moment: Moment) -> frozenset[str]:
    if step is Step.DIVERTING or (step is Step.ROUTING and moment is Moment.BEFORE):
        return _UNDONE
    # ROUTE is the last entry: both ends return, so it asks again and goes on
    return _DONE


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What the harness saw of a run, all in packets sent until then.

    @ivar stage: how the operation ended.
    @ivar switched: when the switch-over was asked for (or the operation began, if it never was).
    @ivar routed: when the new route was known to be in effect (or the operation was over, if it never was).
    @ivar killed: when the party was killed, or stalled.
    @ivar again: when its place was taken; for a controller nothing depends on it.
    @ivar settled: when the operation was over.
    @ivar written: what was written of each class, by everybody, before the death.
    """

    stage: str
    switched: int
    routed: int
    killed: int
    again: int
    settled: int
    written: Mapping[Class, frozenset[Row]]


def fatesOf(party: Party, point: Point, own: Mapping[Party, Class], seen: Seen) -> dict[Class, Fate]:
    """
    What happens to each class.

    @param own: the class that always goes to the source, and the one that always goes to the destination.
    """
    fates: dict[Class, Fate] = dict.fromkeys(Class)
    if party is Party.CONTROLLER:
        return fates
    lost = {kind: Lost(seen.killed, seen.again, seen.written[kind]) for kind in Class}
    fates[own[party]] = lost[own[party]]
    destinationOwns = seen.stage in (FINISHED, FAILED)
    gap = Gapped(seen.switched - MARGIN, seen.settled + MARGIN)
    if destinationOwns is (party is Party.DESTINATION):
        fates[Class.MOVING] = lost[Class.MOVING]
    elif party is Party.SOURCE and point.step not in _HANDED_OVER:
        fates[Class.MOVING] = Gapped(gap.low, max(seen.killed, seen.routed) + MARGIN)
    elif party is Party.DESTINATION and mayHaveRouted(point):
        fates[Class.MOVING] = gap
    return fates


def mayHaveRouted(point: Point) -> bool:
    """May flows have been routed to a destination that died there, and that never came to own them?"""
    return point.step in (Step.ROUTING, Step.SETTING_BACK, Step.RETURNING) or point == _ANSWERED
