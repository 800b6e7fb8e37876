"""
Which packet goes to which port: tables of rules, applied to whole batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Route

#: How many replaced or removed rules a port's returning packets may still follow.
FORMER_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Forwarding:
    """
    Where the packets of a batch go.

    @ivar hops: for each port the places of its packets, ascending.
    @ivar needs: all ports that these packets will visit, here or after a middlebox.
    @ivar discarded: packets that only rules without path and egress matched.
    @ivar ended: packets that came back from a middlebox, and whose rules go no further.
    @ivar unrouted: packets that no rule matched.  Each packet is in one of the three, or in L{hops}.
    """

    hops: tuple[tuple[str, NDArray[np.intp]], ...]
    needs: frozenset[str]
    discarded: int
    ended: int
    unrouted: int


class RuleTables:
    """
    The rules, by table; what comes back from a middlebox follows its own former rules too.

    A port that is or was on some path belongs to a middlebox: its packets are returning ones.
    """

    def __init__(self) -> None:
        self._tables: dict[str, list[Route]] = {}  # each in the order in which its rules are tried
        self._former: dict[str, list[Route]] = {}  # by port, newest first

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every rule, table by table, in the order in which they are tried."""
        return tuple(itertools.chain.from_iterable(self._tables.values()))

    def add(self, route: Route) -> Route | None:
        """
        Add a rule; it is tried before others of its priority.

        @return: the rule with the same table, priority, flows and direction that it replaces.
        @raise OperationError: C{ROUTE_FAILED}: the path meets one port twice.
        """
        ports = visited(route)
        if len(set(ports)) < len(ports):
            raise OperationError(Refusal.ROUTE_FAILED, f"the path {' > '.join(ports)} meets one port twice")
        replaced = self._take(route)
        rules = self._tables.setdefault(route.table, [])
        rules.insert(0, route)  # in front of its equals, since sorting is stable
        rules.sort(key=lambda rule: -rule.priority)
        self._remember(replaced)
        for port in route.path:
            self._former.setdefault(port, [])
        return replaced

    def remove(self, route: Route) -> Route | None:
        """Remove the rule with the same table, priority, flows and direction; the rule that was removed."""
        removed = self._take(route)
        self._remember(removed)
        return removed

    def uses(self, port: str) -> bool:
        """Does some rule send packets to C{port}?"""
        return any(port in visited(rule) for rule in self.routes)

    def forget(self, port: str) -> None:
        """The port is gone, and with it what came back from it."""
        self._former.pop(port, None)

    def returnsFrom(self, port: str) -> bool:
        """Does C{port} belong to a middlebox?"""
        return port in self._former

    def forward(self, headers: NDArray[Any]) -> Forwarding:
        """Where packets from outside go: in each table, where the first rule that matches says."""
        shares: list[_Share] = []
        for rules in self._tables.values():
            shares.extend(_shareOut([(rule, _first(rule)) for rule in rules], headers))
        return _collect(shares, len(headers), visited)

    def returned(self, port: str, headers: NDArray[Any]) -> Forwarding:
        """
        Where packets go that the middlebox at C{port} sent back: to the next port of the rule they match, of those with
        this port in their path, highest priority first, former rules last.
        """
        current = sorted((rule for rule in self.routes if port in rule.path), key=lambda rule: -rule.priority)
        rules = [(rule, _after(rule, port)) for rule in current + self._former.get(port, [])]
        shares = list(_shareOut(rules, headers))
        return _collect(shares, len(headers), lambda rule: (_after(rule, port),))

    def _take(self, route: Route) -> Route | None:
        rules = self._tables.get(route.table, [])
        for place, rule in enumerate(rules):
            if route.replaces(rule):
                return rules.pop(place)
        return None

    def _remember(self, route: Route | None) -> None:
        if route is None:
            return
        for port in route.path:
            former = self._former.setdefault(port, [])
            former[:] = [route, *(rule for rule in former if rule != route)][:FORMER_LIMIT]


#: What becomes of a packet; of the copies of several tables the greatest counts.
_UNROUTED, _DISCARDED, _ENDED, _SENT = range(4)


@dataclass(frozen=True, slots=True)
class _Share:
    """The packets that one rule got, and the port they go to next (None: dropped)."""

    rule: Route
    hop: str | None
    places: NDArray[np.intp]


def visited(rule: Route) -> tuple[str, ...]:
    """All ports that the rule's packets go to, in order."""
    return rule.path if rule.egress is None else (*rule.path, rule.egress)


def _first(rule: Route) -> str | None:
    return next(iter(visited(rule)), None)


def _after(rule: Route, port: str) -> str | None:
    return next(iter(visited(rule)[rule.path.index(port) + 1 :]), None)


def _shareOut(rules: Sequence[tuple[Route, str | None]], headers: NDArray[Any]) -> Iterator[_Share]:
    """Each packet to the first rule that matches it."""
    left = np.ones(len(headers), np.bool_)
    for rule, hop in rules:
        matching = rule.flows.matchHeaders(headers, rule.oneWay) & left
        if matching.any():
            yield _Share(rule, hop, np.flatnonzero(matching))
            left ^= matching
            if not left.any():
                return


def _collect(shares: Iterable[_Share], count: int, needed: Callable[[Route], Iterable[str | None]]) -> Forwarding:
    hops: dict[str, list[NDArray[np.intp]]] = {}
    needs: set[str] = set()
    fates = np.full(count, _UNROUTED, np.uint8)
    for share in shares:
        fate = _SENT if share.hop is not None else _DISCARDED if share.rule.drops else _ENDED
        fates[share.places] = np.maximum(fates[share.places], fate)  # some table sends it somewhere: it is sent
        needs.update(port for port in needed(share.rule) if port is not None)
        if share.hop is not None:
            hops.setdefault(share.hop, []).append(share.places)
    merged = tuple((port, _inOrder(places)) for port, places in hops.items())
    unrouted, discarded, ended, _ = np.bincount(fates, minlength=_SENT + 1).tolist()
    return Forwarding(merged, frozenset(needs), discarded, ended, unrouted)


def _inOrder(places: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    """A port that several rules or tables send to gets its packets in the order of their stamps."""
    return places[0] if len(places) == 1 else np.sort(np.concatenate(places), kind="stable")
