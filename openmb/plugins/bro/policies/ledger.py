"""
What all connections share: suspicions, what is known of hosts, notices that are not repeated; and counters.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openmb.plugins.bro.policies.observations import Address, Observation, Suspicion
from openmb.state.origins import Tallies
from openmb.state.taxonomy import Cell


class Counted(enum.IntEnum):
    """The columns of stats.log after the time, in order."""

    TCP = 0
    UDP = 1
    ICMP = 2
    OTHER = 3
    PACKETS = 4
    BYTES = 5
    ESTABLISHED = 6
    FAILED = 7
    REQUESTS = 8
    QUERIES = 9
    NOTICES = 10
    SUPPRESSED = 11
    FORGOTTEN = 12


class Note(enum.IntEnum):
    """Which notices there are; the numbers are those of records."""

    ADDRESS_SCAN = 1
    PORT_SCAN = 2
    PASSWORD_GUESSING = 3


class Fact(NamedTuple):
    """
    A host, or a service on it.

    @ivar protocol: 6 or 17; 0: the host itself.
    @ivar service: a L{openmb.plugins.bro.service.Service}; 0: none was recognised.
    """

    address: Address
    protocol: int = 0
    port: int = 0
    service: int = 0


@dataclass
class Ledger:
    """
    All of it; the dicts are in the order in which things were learned.

    @ivar known: when each fact was logged last, microseconds.
    @ivar quiet: until when a notice is not repeated about the same host, microseconds.
    """

    observations: dict[Suspicion, Observation] = field(default_factory=dict)
    known: dict[Fact, int] = field(default_factory=dict)
    quiet: dict[tuple[Note, Address], int] = field(default_factory=dict)
    counters: Tallies = field(default_factory=lambda: Tallies(len(Counted)))

    def fold(self, other: Ledger) -> int:
        """The rule of merges; how many records came."""
        for suspicion, observation in other.observations.items():
            mine = self.observations.setdefault(suspicion, observation.copy())
            mine.fold(observation)
        for fact, stamp in other.known.items():
            self.known[fact] = max(stamp, self.known.get(fact, stamp))
        for matter, until in other.quiet.items():
            self.quiet[matter] = max(until, self.quiet.get(matter, until))
        self.counters.fold(other.counters.counts.items())
        return len(other)

    def copy(self) -> Ledger:
        """As it is now, without the counters, which are not cloned."""
        return Ledger({each: found.copy() for each, found in self.observations.items()}, {**self.known}, {**self.quiet})

    def take(self, cells: Sequence[Cell]) -> Ledger:
        """Exchange what belongs to C{cells} for empty ones."""
        taken = Ledger()
        if Cell.SUPPORTING_SHARED in cells:
            taken.observations, taken.known, taken.quiet = self.observations, self.known, self.quiet
            self.observations, self.known, self.quiet = {}, {}, {}
        if Cell.REPORTING_SHARED in cells:
            taken.counters, self.counters = self.counters, Tallies(len(Counted))
        return taken

    @property
    def supporting(self) -> int:
        """How many records of supporting state."""
        return len(self.observations) + len(self.known) + len(self.quiet)

    def __len__(self) -> int:
        return self.supporting + len(self.counters)


@dataclass
class Changes:
    """What has changed since somebody asked last, by name."""

    suspicions: set[Suspicion] = field(default_factory=set)
    facts: set[Fact] = field(default_factory=set)
    matters: set[tuple[Note, Address]] = field(default_factory=set)

    def note(self, ledger: Ledger) -> None:
        """Everything that C{ledger} names."""
        self.suspicions.update(ledger.observations)
        self.facts.update(ledger.known)
        self.matters.update(ledger.quiet)

    def of(self, ledger: Ledger) -> Ledger:
        """What has changed, as it is now; what is gone is left out."""
        return Ledger(
            {each: ledger.observations[each].copy() for each in _there(self.suspicions, ledger.observations)},
            {each: ledger.known[each] for each in _there(self.facts, ledger.known)},
            {each: ledger.quiet[each] for each in _there(self.matters, ledger.quiet)},
        )


def _there(names: Iterable[Any], things: Container[Any]) -> list[Any]:
    """Those of C{names} that C{things} has, in an order of their own."""
    return sorted(name for name in names if name in things)
