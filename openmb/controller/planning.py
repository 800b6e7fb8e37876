"""
What a move would do, before it does anything: how many records there are to move, which route carries their flows now,
and which one would replace it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openmb.interfaces import Route
from openmb.state.headers import HeaderFieldList
from openmb.state.taxonomy import Cell
from openmb.wire.messages import CellStats

_PER_FLOW = (Cell.SUPPORTING_PER_FLOW, Cell.REPORTING_PER_FLOW)
#: Table and least priority of a new route when nothing is said and no route carries the flows.
TABLE, PRIORITY = "monitor", 100


@dataclass(frozen=True, slots=True)
class Wishes:
    """
    What is said of the new route; None: it is as that of the route that carries the flows now.

    @ivar egress: the port where packets leave; the empty text: they end at the destination.
    """

    table: str | None = None
    priority: int | None = None
    egress: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """
    @ivar records: per-flow records that the flows select at the source.
    @ivar route: what would be set.
    @ivar carrying: the route that these flows, or some of them, take to the source now; None: there is none.
    @ivar doubts: why this may not be what is wanted, a sentence each.
    """

    records: int
    route: Route
    carrying: Route | None
    doubts: tuple[str, ...]


def recordsIn(cells: Sequence[CellStats]) -> int:
    """How many records would move: the larger of the two halves, which are parts of the same records."""
    return max((cell.records for cell in cells if cell.cell in _PER_FLOW), default=0)


def carrying(routes: Sequence[Route], flows: HeaderFieldList, source: str, table: str | None) -> Route | None:
    """
    The route by which these flows reach C{source}.

    @param routes: those in effect, each table in the order in which they are tried.
    @param table: in this table only.
    """
    taken: set[str] = set()
    for route in routes:
        if table not in (None, route.table) or route.table in taken or not route.flows.intersects(flows):
            continue
        if source in route.path:
            return route
        if not route.oneWay and route.flows.covers(flows):
            taken.add(route.table)  # what comes behind it is not tried for these flows
    return None


def plan(
    source: str, destination: str, flows: HeaderFieldList, wishes: Wishes, routes: Sequence[Route], records: int
) -> Plan:
    """
    The new route: as the one that carries the flows, with C{destination} in the place of C{source}.

    Its priority is such that it wins against that one.
    """
    now = carrying(routes, flows, source, wishes.table)
    path = (destination,) if now is None else tuple(destination if port == source else port for port in now.path)
    egress = wishes.egress if wishes.egress is not None or now is None else now.egress
    route = Route(
        flows,
        path,
        wishes.table or (TABLE if now is None else now.table),
        wishes.priority if wishes.priority is not None else max(PRIORITY, 0 if now is None else now.priority),
        egress or None,
    )
    return Plan(records, route, now, tuple(_doubts(source, flows, now, route, records)))


def _doubts(source: str, flows: HeaderFieldList, now: Route | None, route: Route, records: int) -> list[str]:
    doubts = []
    if not records:
        doubts.append(f"{source} has no records of {flows}")
    if now is None:
        doubts.append(f"no route takes {flows} to {source}")
    elif now.oneWay:
        doubts.append(f"the route to {source} is one-way: the answers to {flows} would change their path too")
    elif route.priority < now.priority:
        doubts.append(f"the route to {source} has priority {now.priority}: one of {route.priority} never wins")
    return doubts
