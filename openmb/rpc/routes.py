"""
Routes in JSON: on the switch's control socket, on the controller's local socket, and in the journal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from openmb.errors import InvalidHeaderFields, OperationError, Refusal
from openmb.interfaces import Route
from openmb.state.headers import HeaderFieldList

#: The highest priority of a route wins; those of a network device have 16 bits.
HIGHEST_PRIORITY = 0xFFFF
#: Ports of a route, its egress included.
LONGEST_PATH = 64
#: What the names of ports and tables are made of.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def routeToPlain(route: Route) -> dict[str, Any]:
    """A route as JSON carries it; one that drops says so (C{drop})."""
    plain = {
        "flows": str(route.flows),
        "path": list(route.path),
        "table": route.table,
        "priority": route.priority,
        "egress": route.egress,
        "oneWay": route.oneWay,
    }
    return {**plain, "drop": True} if route.drops else plain


def routeFromPlain(plain: Any) -> Route:
    """
    The route that JSON carried.

    @raise OperationError: C{BAD_REQUEST}: it is none, or leads nowhere without saying C{drop}.
    """
    route = placeFromPlain(plain)
    drop = plain.get("drop", False)
    if type(drop) is not bool or drop is not route.drops:
        raise OperationError(
            Refusal.BAD_REQUEST,
            "a route needs a path (or an egress); one that drops its packets has neither, and says drop",
        )
    return route


def placeFromPlain(plain: Any) -> Route:
    """
    As L{routeFromPlain}, for a route that is only to be found or removed: where it leads does not matter.

    @raise OperationError: C{BAD_REQUEST}: it is none.
    """
    match plain:
        case {"flows": str(flows), "path": [*path], "table": str(table), "priority": int(priority), "egress": egress}:
            oneWay = plain.get("oneWay", False)
            ports = path if egress is None else [*path, egress]
            # of a place with "true" in it the journal would have two, beside that with 1
            if all(isinstance(port, str) for port in ports) and type(oneWay) is bool and type(priority) is int:
                _check(table, priority, ports)
                return Route(_flows(flows), tuple(path), table, priority, egress, oneWay)
    raise OperationError(
        Refusal.BAD_REQUEST, "a route needs flows, path, table, priority and egress, and may have oneWay"
    )


def _check(table: str, priority: int, ports: Sequence[str]) -> None:
    """@raise OperationError: C{BAD_REQUEST}, no network has such a rule, or a name would harm who prints it."""
    if not 0 <= priority <= HIGHEST_PRIORITY:
        raise OperationError(Refusal.BAD_REQUEST, f"a priority is a number from 0 to {HIGHEST_PRIORITY}")
    if len(ports) > LONGEST_PATH:
        raise OperationError(Refusal.BAD_REQUEST, f"a path has {LONGEST_PATH} ports at most")
    wrong = next((name for name in (table, *ports) if not NAME.fullmatch(name)), None)
    if wrong is not None:
        raise OperationError(
            Refusal.BAD_REQUEST, f"{wrong[:64]!r} cannot be a name: use up to 64 letters, digits, '.', '_' and '-'"
        )


def _flows(text: str) -> HeaderFieldList:
    try:
        return HeaderFieldList.parse(text)
    except InvalidHeaderFields as error:
        raise OperationError(Refusal.BAD_REQUEST, str(error)) from error
