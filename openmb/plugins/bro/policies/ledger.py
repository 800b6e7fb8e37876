"""
What all connections share: suspicions, what is known of hosts, notices that are not repeated; and counters.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
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


#: Which notice, and about whom.
Matter = tuple[Note, Address]


@dataclass
class Ledger:
    """
    All of it, in the order in which things were learned, or learned again.

    @ivar known: when each fact was logged last, microseconds.
    @ivar quiet: until when a notice is not repeated about the same host, microseconds.
    @ivar latest: time of the latest packet that was counted, microseconds.
    """

    # a plain dict takes the longer to find its first entry the more were removed before it
    observations: OrderedDict[Suspicion, Observation] = field(default_factory=OrderedDict)
    known: OrderedDict[Fact, int] = field(default_factory=OrderedDict)
    quiet: OrderedDict[Matter, int] = field(default_factory=OrderedDict)
    counters: Tallies = field(default_factory=lambda: Tallies(len(Counted)))
    latest: int = 0

    def fold(self, other: Ledger) -> int:
        """The rule of merges; how many records came."""
        for suspicion, observation in other.observations.items():
            mine = self.observations.setdefault(suspicion, observation.copy())
            mine.fold(observation)
        for fact, stamp in other.known.items():
            self.log(fact, stamp)
        for matter, until in other.quiet.items():
            self.hush(matter, until)
        self.counters.fold(other.counters.counts.items())
        self.latest = max(self.latest, other.latest)
        return len(other)

    def log(self, fact: Fact, stamp: int) -> None:
        """A fact was logged then, if not later; it is forgotten after those that are known for longer."""
        self.known[fact] = max(stamp, self.known.get(fact, stamp))
        self.known.move_to_end(fact)

    def hush(self, matter: Matter, until: int) -> None:
        """A notice is not repeated until then, if not for longer."""
        self.quiet[matter] = max(until, self.quiet.get(matter, until))
        self.quiet.move_to_end(matter)

    def bound(self, most: int) -> int:
        """Forget what was learned first, of what there are more than C{most}; how many records."""
        forgotten = 0
        for things in (self.observations, self.known, self.quiet):
            while len(things) > most:
                things.popitem(last=False)
                forgotten += 1
        return forgotten

    def copy(self) -> Ledger:
        """As it is now, without the counters, which are not cloned."""
        copies = OrderedDict((each, found.copy()) for each, found in self.observations.items())
        return Ledger(copies, self.known.copy(), self.quiet.copy())

    def said(self) -> Ledger:
        """What was put out because of it, and is not to be put out again."""
        closed = OrderedDict((each, found.copy()) for each, found in self.observations.items() if found.noticed)
        return Ledger(closed, self.known.copy(), self.quiet.copy())

    def isNoticed(self, suspicion: Suspicion) -> bool:
        """Was the notice of it written?"""
        found = self.observations.get(suspicion)
        return found is not None and found.noticed

    def age(self, now: int, late: int, lifetime: int) -> None:
        """
        Forget what is over.

        @param now: microseconds; so is C{late}, for which more suspicions and notices are kept, and C{lifetime} of
            facts.
        """
        for suspicion in [each for each in self.observations if each.end + late < now]:
            del self.observations[suspicion]
        for matter in [each for each, until in self.quiet.items() if until + late < now]:
            del self.quiet[matter]
        # there may be very many, and they are in the order of their times, or nearly
        while self.known and next(iter(self.known.values())) + lifetime + late < now:
            self.known.popitem(last=False)

    def take(self, cells: Sequence[Cell]) -> Ledger:
        """Exchange what belongs to C{cells} for empty ones."""
        taken = Ledger()
        if Cell.SUPPORTING_SHARED in cells:
            taken.observations, taken.known, taken.quiet = self.observations, self.known, self.quiet
            self.observations, self.known, self.quiet = OrderedDict(), OrderedDict(), OrderedDict()
        if Cell.REPORTING_SHARED in cells:
            taken.counters, self.counters = self.counters, Tallies(len(Counted))
            taken.latest, self.latest = self.latest, 0
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
    matters: set[Matter] = field(default_factory=set)

    def note(self, ledger: Ledger) -> None:
        """Everything that C{ledger} names."""
        self.suspicions.update(ledger.observations)
        self.facts.update(ledger.known)
        self.matters.update(ledger.quiet)

    def of(self, ledger: Ledger) -> Ledger:
        """What has changed, as it is now; what is gone is left out."""
        return Ledger(
            OrderedDict(
                (each, ledger.observations[each].copy()) for each in _there(self.suspicions, ledger.observations)
            ),
            OrderedDict((each, ledger.known[each]) for each in _there(self.facts, ledger.known)),
            OrderedDict((each, ledger.quiet[each]) for each in _there(self.matters, ledger.quiet)),
        )


def _there(names: Iterable[Any], things: Container[Any]) -> list[Any]:
    """Those of C{names} that C{things} has, in an order of their own."""
    return sorted(name for name in names if name in things)
