"""
The steps of a move at which somebody dies: each state of the machine, before, amid and after the controller's acts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Step(enum.Enum):
    """A state of the move's machine that the controller has just entered (table in C{docs/handover.md})."""

    PREPARING = "preparing"
    EXPORTING = "exporting"
    INSTALLED = "installed"
    HOLDING = "holding"
    DIVERTING = "diverting"
    ROUTING = "routing"
    COMMITTING = "committing"
    DRAINING = "draining"
    DELETING = "deleting"
    WINDOW = "window"
    CLOSED = "closed"
    ABORTING = "aborting"
    SETTING_BACK = "settingBack"
    RETURNING = "returning"


class Moment(enum.Enum):
    """
    When in a step.

    BEFORE: before anything of it is done.  DECIDED: its entry is in the journal, nothing else is done.  AFTER:
    everything that it does was done, and what it sends has left the process.
    """

    BEFORE = "before"
    DECIDED = "decided"
    AFTER = "after"


class Party(enum.Enum):
    """Who dies, stalls or is cut off."""

    SOURCE = "source"
    DESTINATION = "destination"
    CONTROLLER = "controller"


#: The steps that begin with an entry in the journal.
JOURNALLED = frozenset(
    {
        Step.PREPARING,
        Step.HOLDING,
        Step.ROUTING,
        Step.COMMITTING,
        Step.DRAINING,
        Step.DELETING,
        Step.CLOSED,
        Step.ABORTING,
        Step.SETTING_BACK,
    }
)
#: The steps of the way back after the route was asked for: somebody has to want that.
BACK = frozenset({Step.SETTING_BACK, Step.RETURNING})


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a move's history."""

    step: Step
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment.value} {self.step.value}"

    def line(self) -> str:
        """As the launcher reads it."""
        return f"{self.step.value} {self.moment.value}\n"

    @staticmethod
    def parse(line: str) -> Point:
        """
        The reverse of L{line}.

        @raise ValueError: it is not such a line.
        """
        step, moment = line.split()
        return Point(Step(step), Moment(moment))


def pointsOf(step: Step) -> tuple[Point, ...]:
    """All points of one step."""
    moments = [moment for moment in Moment if moment is not Moment.DECIDED or step in JOURNALLED]
    return tuple(Point(step, moment) for moment in moments)
