"""
C{openmb move}: live flows and their state from one middlebox to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.flows import FLOWS
from openmb.northbound.values import PRIORITY, SECONDS


def showStage(notice: Mapping[str, Any]) -> None:
    """One line for each stage that the move reaches."""
    counts = ", ".join(
        f"{notice[name]} {name}" for name in ("records", "reprocessed", "redirected", "held", "late") if notice[name]
    )
    click.echo(f"operation {notice['operation']}: {notice['stage']}" + (f" ({counts})" if counts else ""))


@click.command("move")
@click.argument("source")
@click.argument("destination")
@click.argument("flows", type=FLOWS)
@click.option("--table", default="monitor", show_default=True, help="the network's table whose route changes")
@click.option("--priority", type=PRIORITY, default=100, show_default=True, help="priority of the new route")
@click.option("--no-route", is_flag=True, help="install only; switch over later with 'openmb switch-over'")
@click.option("--patience", type=SECONDS, default=600.0, show_default=True, help="seconds to wait for the end")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(
    source: str, destination: str, flows: str, table: str, priority: int, no_route: bool, patience: float, socket: str
) -> None:
    """
    Move FLOWS (such as 'tcp,nw_dst=10.0.0.1,tp_dst=80') from SOURCE to DESTINATION and route them there.

    The records are moved first, while traffic goes on; then the route changes and the destination takes over.
    """
    route = {"flows": flows, "path": [destination], "table": table, "priority": priority, "egress": None}
    arguments = {
        "source": source,
        "destination": destination,
        "flows": flows,
        "route": None if no_route else route,
    }
    ask(socket, "moveInternal", arguments, patience, showStage)
