"""
Connections without a session: how many there may be, and which has to go when there are too many.
"""

from __future__ import annotations

import resource

from openmb.southbound.protocol import SouthboundProtocol

#: Connections of one host that may be without a session at the same time, and of all hosts together.
HALF_OPEN_LIMIT = 64
HALF_OPEN_TOTAL = 1024


def halfOpenTotal(descriptors: int | None = None) -> int:
    """
    How many connections may be without a session: never more than a quarter of the descriptors of this process.

    @param descriptors: how many the process may have; asked from the operating system if not given.
    """
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return HALF_OPEN_TOTAL
    return max(1, min(HALF_OPEN_TOTAL, descriptors // 4))


class HalfOpen:
    """
    Knows the connections without a session, those of each host in the order in which they came.

    Where there are too many one of them has to go, and not the new one: whoever only knocks must not keep those out who
    are quick to say who they are.  Those go first that have not finished the TLS hand-shake: who has finished it holds
    a certificate and is about to say HELLO, and nobody without a certificate can push it out.  A quarter of the places
    is for hand-shakes all the same, or one stolen certificate would keep out everybody who is about to show a good one.

    @param limit: connections that one host may have.
    @param total: connections that all hosts together may have.
    """

    def __init__(self, limit: int = HALF_OPEN_LIMIT, total: int | None = None) -> None:
        self._limit, self._total = limit, halfOpenTotal() if total is None else total
        self._waiting: dict[str, dict[SouthboundProtocol, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def surplus(self, host: str) -> tuple[str, SouthboundProtocol] | None:
        """Whose connection has to go, and which, before one more of C{host}; None if there is room."""
        if len(self._waiting.get(host, ())) >= self._limit:
            return self._choose([host], self._limit)
        if len(self) >= self._total:
            return self._choose(list(self._waiting), self._total)
        return None

    def _choose(self, hosts: list[str], places: int) -> tuple[str, SouthboundProtocol]:
        """The oldest one that has to go first, of the host that has the most of its sort."""
        strangers, known = ({each: self._of(each, secured) for each in hosts} for secured in (False, True))
        many = sum(map(len, strangers.values())) > places // 4
        found = strangers if many or not any(known.values()) else known
        busiest = max(hosts, key=lambda each: len(found[each]))
        return busiest, found[busiest][0]

    def _of(self, host: str, secured: bool) -> list[SouthboundProtocol]:
        return [each for each in self._waiting[host] if each.secured is secured]

    def add(self, host: str, protocol: SouthboundProtocol) -> None:
        """C{protocol}, of C{host}, is the newest."""
        self._waiting.setdefault(host, {})[protocol] = None

    def remove(self, host: str, protocol: SouthboundProtocol) -> None:
        """C{protocol} has a session, or is gone."""
        mine = self._waiting.get(host, {})
        mine.pop(protocol, None)
        if not mine:
            self._waiting.pop(host, None)
