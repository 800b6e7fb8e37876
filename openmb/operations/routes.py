"""
Routes in JSON: on the switch's control socket, on the controller's local socket, and in the journal.
"""

from __future__ import annotations

from typing import Any

from openmb.errors import InvalidHeaderFields, OperationError, Refusal
from openmb.interfaces import Route
from openmb.state.headers import HeaderFieldList


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
            isKind = all(isinstance(port, str) for port in path) and isinstance(egress, str | None)
            # of a place with "true" in it the journal would have two, beside that with 1
            if isKind and type(oneWay) is bool and type(priority) is int:
                return Route(_flows(flows), tuple(path), table, priority, egress, oneWay)
    raise OperationError(
        Refusal.BAD_REQUEST, "a route needs flows, path, table, priority and egress, and may have oneWay"
    )


def _flows(text: str) -> HeaderFieldList:
    try:
        return HeaderFieldList.parse(text)
    except InvalidHeaderFields as error:
        raise OperationError(Refusal.BAD_REQUEST, str(error)) from error
