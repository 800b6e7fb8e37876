"""
What is known of hosts: when they were seen, their systems, services and network cards, and when that is to be logged.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.prads.following import CLIENT, SERVER
from openmb.plugins.prads.records import HostRow
from openmb.plugins.prads.statistics import Counter
from openmb.state.flowkey import HOST_WORDS
from openmb.state.table import FlowTable

#: So many sightings in a row of something else leave what is known; the next one replaces it.
PATIENCE = 201
#: Services of one host: with more the oldest are forgotten.
MOST_FACTS = 4096
#: Services and fingerprints of all hosts together, for each host that may be known.
FACTS_PER_HOST = 8
#: When room is wanted, at least this part of all hosts is forgotten, so that this does not happen with every packet.
_FORGOTTEN_PART = 16
TCP, UDP = 6, 17
_COUNTERS = {
    (TCP, SERVER): Counter.TCP_SERVICES,
    (TCP, CLIENT): Counter.TCP_CLIENTS,
    (UDP, SERVER): Counter.UDP_SERVICES,
    (UDP, CLIENT): Counter.UDP_CLIENTS,
}


@dataclass(slots=True)
class Service:
    """
    What runs at a port of a host, or is used through it.

    @ivar role: L{SERVER}, L{CLIENT}, or 0, which counts as a client.
    @ivar ttl: of the packet that told of it first.
    @ivar attempts: how often something else was seen since.
    """

    name: bytes
    application: bytes
    role: int
    ttl: int
    first: int
    last: int
    attempts: int = 0


@dataclass(slots=True)
class Host:
    """
    What the table does not hold.

    @ivar services: by port and protocol.
    @ivar systems: tables and lines of signatures (-1: of none) of the fingerprints it has shown, in that order.
    @ivar card: the address of its network card, zeros if unknown.
    @ivar vendor: who made the card that was seen first.
    @ivar revision: how often something of this has changed.
    """

    services: dict[tuple[int, int], Service] = field(default_factory=dict)
    systems: dict[tuple[int, int], None] = field(default_factory=dict)
    card: bytes = bytes(6)
    vendor: bytes | None = None
    revision: int = 0


class Hosts:
    """
    The table of hosts, and what hangs on it.

    Memory is bounded: when there is no room for more, the hosts that were not seen for the longest time are forgotten,
    a sixteenth of all at once, which is constant work for each new one.  One that is seen again is new again.

    @param maximum: hosts at most.
    @ivar forgotten: how many were forgotten for want of room.
    @ivar table: C{HostRow} by C{HOST_KEY}.
    @ivar seen: which fingerprints each host has shown, for the kernel: slot, table and line of signatures.
    @ivar known: by slot; hosts of which only the address is known are not in it.
    """

    def __init__(self, maximum: int) -> None:
        self.table = FlowTable(HostRow, HOST_WORDS, maximum=maximum)
        self.seen = FlowTable(np.dtype([("seen", "u1")]), 2)
        self.known: dict[int, Host] = {}
        self.forgotten = 0
        self._facts = 0
        self._changes = 0
        self.bound(maximum)

    def bound(self, maximum: int) -> None:
        """So many hosts at most from now on; those that are too many go when room is wanted."""
        self.table.maximum = maximum
        self.seen.maximum = (FACTS_PER_HOST + 2) * maximum + 2 * MOST_FACTS

    @property
    def maximum(self) -> int:
        """Hosts at most; also how many more can be wanted at once."""
        return self.table.maximum

    def reserve(self, count: int) -> None:
        """Make room for so many hosts and fingerprints more, L{maximum} at most."""
        excess = count - self.table.room
        if excess > 0:
            self.forget(excess)
        while len(self.table) and (self._isCrowded or self.seen.room < 2 * count):
            self.forget(1)
        self.table.reserve(count)
        self.seen.reserve(2 * count)

    @property
    def _isCrowded(self) -> bool:
        return self._facts > FACTS_PER_HOST * self.maximum + MOST_FACTS

    def forget(self, wanted: int) -> None:
        """Forget at least so many of the hosts, if there are so many, that were not seen for the longest time."""
        slots = self.table.slots()
        wanted = min(max(wanted, self.maximum // _FORGOTTEN_PART), len(slots))
        oldest = slots[np.argsort(self.table.rows["last"][slots], kind="stable")[:wanted]]
        for slot in self.known.keys() & set(oldest.tolist()):
            self._forget(slot)
        self.table.remove(oldest)
        self.forgotten += wanted

    def at(self, slot: int) -> Host:
        """The host in a slot."""
        host = self.known.get(slot)
        if host is None:
            host = self.known[slot] = Host()
        return host

    def touch(self, host: Host) -> None:
        """Something of this host has changed."""
        self._changes += 1
        host.revision = self._changes

    def replace(self, slot: int, host: Host) -> None:
        """This is what is known of the host in a slot."""
        self._forget(slot)
        self.known[slot] = host
        self._facts += len(host.systems) + len(host.services)
        self._note(slot, host)

    def _note(self, slot: int, host: Host) -> None:
        if host.systems:
            self.seen.insert(_systemKeys(slot, host))

    def _forget(self, slot: int) -> None:
        host = self.known.pop(slot, None)
        if host is None:
            return
        self._facts -= len(host.systems) + len(host.services)
        if host.systems:
            found = self.seen.find(_systemKeys(slot, host))
            self.seen.remove(found[found >= 0])

    def show(self, slot: int, check: int, line: int) -> None:
        """The host in a slot has shown a fingerprint; the kernel has noted it."""
        host = self.at(slot)
        before = len(host.systems)
        host.systems[check, line] = None
        self._facts += len(host.systems) - before
        self.touch(host)

    def _trim(self, host: Host) -> None:
        """Keep as many services of one host as there may be: the oldest go. Fingerprints are as many as signatures."""
        while len(host.services) > MOST_FACTS:
            del host.services[next(iter(host.services))]
            self._facts -= 1

    def merge(self, slot: int, other: Host, isLater: bool) -> None:
        """
        What another instance knows of the host in a slot is known from now on (the rule of merges).

        @param isLater: it has seen it later.
        """
        host = self.at(slot)
        self.touch(host)
        before = len(host.systems) + len(host.services)
        host.systems.update(other.systems)
        self._note(slot, host)
        for key, service in other.services.items():
            host.services[key] = _merged(host.services.get(key), service)
        self._facts += len(host.systems) + len(host.services) - before
        self._trim(host)
        if any(other.card) and (isLater or not any(host.card)):
            host.card, host.vendor = other.card, other.vendor

    def serve(
        self,
        slot: int,
        key: tuple[int, int],
        name: bytes,
        application: bytes,
        role: int,
        ttl: int,
        now: int,
        counters: NDArray[np.int64],
    ) -> Service | None:
        """
        A service was seen.

        @param key: port and protocol.
        @param application: begins with C{@} if only the port tells of it.
        @return: what is to be logged, if that is new.
        """
        host = self.at(slot)
        self.touch(host)
        services = host.services
        service = services.get(key)
        if service is None:
            counters[_COUNTERS[key[1], role or CLIENT]] += 1
            service = services[key] = Service(name, application, role, ttl, now, now)
            self._facts += 1
            self._trim(host)
            return service
        service.last = now
        if application == service.application:
            service.attempts = 0
            return None
        isBetter = service.application.startswith(b"@") and not application.startswith(b"@")
        if not isBetter and service.attempts < PATIENCE:
            service.attempts += 1
            return None
        service.name, service.application, service.attempts = name, application, 0
        return service


def _systemKeys(slot: int, host: Host) -> NDArray[np.uint64]:
    """The keys of a host's fingerprints in C{Hosts.seen}, as the kernel makes them."""
    return np.array([(slot, check << 32 | line + 1) for check, line in host.systems], np.uint64)


def _merged(mine: Service | None, theirs: Service) -> Service:
    """What signatures tell wins over what a port tells, then what was seen later."""
    if mine is None:
        return replace(theirs)
    known, given = not mine.application.startswith(b"@"), not theirs.application.startswith(b"@")
    keys = (known, mine.last, mine.application), (given, theirs.last, theirs.application)
    kept = mine if keys[0] >= keys[1] else theirs
    return replace(kept, first=min(mine.first, theirs.first), last=max(mine.last, theirs.last))
