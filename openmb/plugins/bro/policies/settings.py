"""
Which policies a Bro middlebox follows, and by what numbers.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Policy(enum.Enum):
    """What can be asked for; nothing is by default, as with Zeek."""

    SCAN = "scan"
    KNOWN = "known"
    GUESSING = "ssh-guessing"
    STATS = "stats"
    WEIRD = "weird"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """
    The defaults are those of Zeek's scripts.

    @ivar policies: those that are followed.
    @ivar addresses: distinct addresses on one port that are a scan; C{ports}: distinct ports of one address.
    @ivar scanEpoch: seconds within which they count together.
    @ivar guesses: SSH connections without success that are guessing of passwords; C{guessEpoch}: seconds for these.
    @ivar most: suspicions, facts and quiet notices that are kept at most of each; of more the earliest go.
    """

    policies: frozenset[Policy] = frozenset()
    addresses: int = 25
    ports: int = 15
    scanEpoch: int = 300
    guesses: int = 30
    guessEpoch: int = 1800
    most: int = 100_000
