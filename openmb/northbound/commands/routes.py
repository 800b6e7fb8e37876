"""
C{openmb routes}: where packets go.
"""

from __future__ import annotations

import json
from typing import Any

import click

from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.commands.route import ending


def routeText(route: dict[str, Any]) -> str:
    """A route in one line: table, priority, flows, where they go."""
    direction = " (one-way)" if route["oneWay"] else ""
    return f"{route['table']} {route['priority']} {route['flows']}{direction} -> {ending(route)}"


@click.command("routes")
@click.option("--json", "asJSON", is_flag=True, help="one JSON document instead of text")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(asJSON: bool, socket: str) -> None:
    """
    List the routes, each table in the order in which its rules are tried: the first that matches decides.

    The controller keeps the routes that are wanted, and sets them again when the switch or a port comes back.
    """
    routes = ask(socket, "routes", {})
    if asJSON:
        click.echo(json.dumps(routes, indent=2))
        return
    for route in routes:
        missing = "" if route["inEffect"] else ": not in effect"
        foreign = "" if route["wanted"] else ": in effect, but not wanted"
        click.echo(f"{routeText(route)}{missing or foreign}")
    if not routes:
        click.echo("no routes: packets go nowhere", err=True)
