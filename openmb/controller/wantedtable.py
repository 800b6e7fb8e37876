"""
The routes that are wanted, in the journal's file.
"""

from __future__ import annotations

import json
import sqlite3

from openmb.errors import OperationError
from openmb.interfaces import Route
from openmb.rpc.routes import placeFromPlain, routeToPlain


def addWanted(database: sqlite3.Connection) -> None:
    """Since version 4 the journal has the routes that are wanted; C{place} is what names one."""
    database.execute(
        "CREATE TABLE wanted (number INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL UNIQUE, "
        "route TEXT NOT NULL)"
    )


def want(database: sqlite3.Connection, route: Route) -> None:
    """C{route} is the last that is wanted, instead of the one in its place."""
    unwant(database, route)
    database.execute("INSERT INTO wanted (place, route) VALUES (?, ?)", (_place(route), routeToText(route)))


def unwant(database: sqlite3.Connection, route: Route) -> None:
    """No route with the place of C{route} is wanted."""
    database.execute("DELETE FROM wanted WHERE place = ?", (_place(route),))


def isWanted(database: sqlite3.Connection, route: Route) -> bool:
    """Is this very route wanted?"""
    found = database.execute("SELECT route FROM wanted WHERE place = ?", (_place(route),)).fetchone()
    return found is not None and routeFromText(found[0]) == route


def readWanted(database: sqlite3.Connection) -> tuple[Route, ...]:
    """The routes that are wanted.  @raise ValueError: one makes no sense."""
    rows = database.execute("SELECT route FROM wanted ORDER BY number").fetchall()
    return tuple(routeFromText(text) for (text,) in rows)


def routeToText(route: Route) -> str:
    """As the journal keeps it."""
    return json.dumps(routeToPlain(route))


def routeFromText(text: str) -> Route:
    """What the journal has kept; that of an earlier version does not say drop.  @raise ValueError: no sense."""
    try:
        return placeFromPlain(json.loads(text))
    except (TypeError, ValueError, OperationError) as error:
        raise ValueError(f"the journal holds a route that makes no sense: {text}") from error


def _place(route: Route) -> str:
    return json.dumps([route.table, route.priority, str(route.flows), route.oneWay])
