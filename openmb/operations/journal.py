"""
What the controller writes down before it acts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from zope.interface import Interface, implementer

from openmb.wire.messages import Peer


class Step(enum.Enum):
    """The decisions of an operation, each durable before its act (table in C{docs/handover.md})."""

    OPEN = "open"
    SWITCHING = "switching"
    ROUTE = "route"
    COMMIT = "commit"
    DRAINING = "draining"
    COMMITTED = "committed"
    ABORT = "abort"
    BACK = "back"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One decision.

    @ivar route: text of the new route, from L{Step.SWITCHING} on; empty before.
    @ivar reason: why, for L{Step.ABORT} and L{Step.BACK}.
    """

    operation: int
    step: Step
    source: Peer
    destination: Peer
    flows: str
    route: str = ""
    reason: str = ""


class IJournal(Interface):
    """Where decisions are written."""

    def write(entry: Entry) -> None:
        """
        Make C{entry} durable; returns only then.

        @raise OpenMBError: it could not be written; the caller must not act.
        """


@implementer(IJournal)
class MemoryJournal:
    """Keeps the entries in a list: for tests, simulation, and a controller that nobody needs to recover."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def write(self, entry: Entry) -> None:
        self.entries.append(entry)
