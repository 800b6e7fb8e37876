"""What everybody in the recording agrees on: names, addresses, and the shape of the load over time."""

from __future__ import annotations

import random
from dataclasses import dataclass

CLIENT_SPACE = "openmb-demo-clients"
SERVER_SPACE = "openmb-demo-servers"
CLIENT_DEVICE = "omdc0"
SERVER_DEVICE = "omds0"

SERVERS = ("10.9.0.10", "10.9.0.20")
SERVERS6 = ("fd09::10", "fd09::20")
CLIENTS = tuple(f"10.9.1.{number}" for number in range(1, 31))
CLIENTS6 = tuple(f"fd09::1:{number}" for number in range(1, 9))
# Sources of half-open scans: nobody answers for them, so a SYN-ACK stays unanswered.
GHOSTS = tuple(f"10.9.2.{number}" for number in range(1, 9))

BACKEND_PORT = 9000
ECHO_PORT = 7
# Where names of this zone are answered, late: the first label says after how many milliseconds.
NAMES_PORT = 9053
LATE_ZONE = "late.example.test"
DURATION = 59.0
HOST = "www.example.test"


def visitsPerSecond(moment: float) -> float:
    """The rate of short visits: level, with a hill between 14 and 46 seconds."""
    return 25.0 + 44.0 * max(0.0, 1.0 - abs(moment - 30.0) / 16.0)


@dataclass(frozen=True, slots=True)
class Parties:
    """Who talks to whom."""

    client: str
    server: str


class Draw:
    """Seeded choices, with the servers strictly in turn so that their shares are equal."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._turn = 0

    def parties(self, version6: float = 0.06) -> Parties:
        """A client and the server whose turn it is; a share of C{version6} talks IPv6."""
        self._turn += 1
        if self.random.random() < version6:
            return Parties(self.random.choice(CLIENTS6), SERVERS6[self._turn % 2])
        return Parties(self.random.choice(CLIENTS), SERVERS[self._turn % 2])

    def between(self, low: float, high: float) -> float:
        """A number between C{low} and C{high}."""
        return self.random.uniform(low, high)
