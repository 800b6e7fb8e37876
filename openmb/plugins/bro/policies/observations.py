"""
Attempts that count together: distinct victims of one scanner, distinct connections of one who guesses passwords.

Zeek's SumStats counts within epochs that begin when it starts.  Here they begin at multiples of their length since 1970
of packet time, so that all instances have the same, and an attempt belongs to the epoch in which it was made, whenever
it is counted.  What is counted is a set, so that the same attempt counts once by whatever way it comes: sets unite.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple


class Sort(enum.IntEnum):
    """What is counted; the numbers are those of records."""

    ADDRESS_SCAN = 1  # addresses on which one scanner tried the same port
    PORT_SCAN = 2  # ports that one scanner tried on the same address
    GUESSING = 3  # connections on which one host failed to log in


#: An address: two words, high and low.
Address = tuple[int, int]
NOBODY: Address = (0, 0)
#: Microseconds after its epoch up to which an attempt on a password counts as still going on: a session may take long.
SESSION = 86_400 * 1_000_000
#: Attempts kept of one suspicion: more than any threshold, since two instances may bring together what neither judges.
MOST_TOKENS = 4096


class Suspicion(NamedTuple):
    """
    Who does what, and when.

    @ivar epoch: when it begins, microseconds; C{length}: how long it is, the same.
    @ivar who: the scanner.
    @ivar victim: of a port scan.
    @ivar port: of an address scan.
    """

    sort: Sort
    epoch: int
    length: int
    who: Address
    victim: Address = NOBODY
    port: int = 0

    @property
    def end(self) -> int:
        """When the epoch is over, microseconds."""
        return self.epoch + self.length


@dataclass(slots=True)
class Observation:
    """
    What speaks for a suspicion.

    @ivar first: time of the earliest attempt, microseconds; C{last}: of the latest.
    @ivar noticed: the notice was written; from then on nothing is counted, and C{tokens} is empty.
    @ivar tokens: what is distinct, 24 bytes each: an address or nothing, and a number; of too many the smallest, which
        are the same in whatever order they came.
    """

    first: int
    last: int
    noticed: bool = False
    tokens: set[bytes] = field(default_factory=set)

    def fold(self, other: Observation) -> None:
        """The rule of merges."""
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.noticed = self.noticed or other.noticed
        self.tokens = set() if self.noticed else _bounded(self.tokens | other.tokens)

    def copy(self) -> Observation:
        """As it is now."""
        return Observation(self.first, self.last, self.noticed, set(self.tokens))

    def close(self) -> None:
        """The notice is written."""
        self.noticed, self.tokens = True, set()


def _bounded(tokens: set[bytes]) -> set[bytes]:
    return tokens if len(tokens) <= MOST_TOKENS else set(sorted(tokens)[:MOST_TOKENS])
