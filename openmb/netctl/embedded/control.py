"""
What travels over the switch's control socket: verbs, and routes in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from openmb.errors import InvalidHeaderFields, OperationError, Refusal
from openmb.interfaces import Route
from openmb.state.headers import HeaderFieldList

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")

#: The file name of the control socket, without ending; no port may have it.
CONTROL = "control"


def routeToPlain(route: Route) -> dict[str, Any]:
    """A route as JSON carries it."""
    return {
        "flows": str(route.flows),
        "path": list(route.path),
        "table": route.table,
        "priority": route.priority,
        "egress": route.egress,
    }


def routeFromPlain(plain: Any) -> Route:
    """
    The route that JSON carried.

    @raise OperationError: C{BAD_REQUEST}: it is none.
    """
    match plain:
        case {"flows": str(flows), "path": [*path], "table": str(table), "priority": int(priority), "egress": egress}:
            if all(isinstance(port, str) for port in path) and isinstance(egress, str | None):
                return Route(_flows(flows), tuple(path), table, priority, egress)
    raise badRequest("a route needs flows, path, table, priority and egress")


def nameOf(arguments: Mapping[str, Any]) -> str:
    """
    The name of a new port.

    @raise OperationError: C{BAD_REQUEST}: it cannot be the name of a port.
    """
    name = text(arguments, "name")
    if not _NAME.fullmatch(name) or name == CONTROL:
        raise badRequest(f"{name!r} cannot be the name of a port: use letters, digits, '.', '_' and '-'")
    return name


def text(arguments: Mapping[str, Any], field: str) -> str:
    """The string C{field} of C{arguments}."""
    value = arguments.get(field)
    if not isinstance(value, str):
        raise badRequest(f"{field} must be a string")
    return value


def number(arguments: Mapping[str, Any], field: str) -> int:
    """The whole number C{field} of C{arguments}."""
    value = arguments.get(field)
    if type(value) is not int:
        raise badRequest(f"{field} must be a whole number")
    return value


def names(arguments: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The list of strings C{field} of C{arguments}."""
    value = arguments.get(field)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise badRequest(f"{field} must be a list of strings")
    return tuple(value)


def token(arguments: Mapping[str, Any], field: str) -> bytes:
    """The bytes that C{field} of C{arguments} gives in hexadecimal."""
    try:
        return bytes.fromhex(text(arguments, field))
    except ValueError as error:
        raise badRequest(f"{field} must be hexadecimal") from error


def badRequest(reason: str) -> OperationError:
    """The error for a request that makes no sense."""
    return OperationError(Refusal.BAD_REQUEST, reason)


def _flows(flows: str) -> HeaderFieldList:
    try:
        return HeaderFieldList.parse(flows)
    except InvalidHeaderFields as error:
        raise badRequest(str(error)) from error
