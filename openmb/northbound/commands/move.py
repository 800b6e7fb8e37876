"""
C{openmb move}: live flows and their state from one middlebox to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from openmb.errors import OperationError, Refusal
from openmb.northbound.ask import ask, converse, defaultSocket
from openmb.northbound.commands.routes import routeText
from openmb.northbound.flows import FLOWS
from openmb.northbound.values import PRIORITY, SECONDS
from openmb.rpc.client import RPCClient


def showStage(notice: Mapping[str, Any]) -> None:
    """One line for each stage that the move reaches."""
    counts = ", ".join(
        f"{notice[name]} {name}" for name in ("records", "reprocessed", "redirected", "held", "late") if notice[name]
    )
    click.echo(f"operation {notice['operation']}: {notice['stage']}" + (f" ({counts})" if counts else ""))


def showPlan(planned: Mapping[str, Any], source: str) -> None:
    """What a move would do."""
    click.echo(f"{planned['records']} records of these flows are at {source}")
    click.echo(f"they go there by: {routeText(planned['carrying']) if planned['carrying'] else 'no route'}")
    click.echo(f"they would go by: {routeText(planned['route'])}")
    for doubt in planned["doubts"]:
        click.echo(f"but: {doubt}")


@click.command("move")
@click.argument("source")
@click.argument("destination")
@click.argument("flows", type=FLOWS)
@click.option("--table", help="the network's table whose route changes [that in which they go to SOURCE]")
@click.option("--priority", type=PRIORITY, help="priority of the new route [as it is, 100 at least]")
@click.option("--egress", help="in line: the port where packets leave; '' for none [as it is]")
@click.option("--no-route", is_flag=True, help="install only; switch over later with 'openmb switch-over'")
@click.option("--force", is_flag=True, help="go on though there is nothing to move, or SOURCE is not on the route")
@click.option("--dry-run", is_flag=True, help="say what would be done, and change nothing")
@click.option("--patience", type=SECONDS, default=600.0, show_default=True, help="seconds to wait for the end")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(
    source: str,
    destination: str,
    flows: str,
    table: str | None,
    priority: int | None,
    egress: str | None,
    no_route: bool,
    force: bool,
    dry_run: bool,
    patience: float,
    socket: str,
) -> None:
    """
    Move FLOWS (such as 'tcp,nw_dst=10.0.0.1,tp_dst=80') from SOURCE to DESTINATION and route them there.

    The records are moved first, while traffic goes on; then the route changes and the destination takes over. The new
    route is as the one that takes FLOWS to SOURCE now, with DESTINATION in the place of SOURCE.
    """
    ends = {"source": source, "destination": destination, "flows": flows}
    if no_route and not dry_run:
        ask(socket, "moveInternal", {**ends, "route": None}, patience, showStage)
        return
    wishes = {"table": table, "priority": priority, "egress": egress}

    async def moved(client: RPCClient, end: Callable[[Exception], None]) -> None:
        planned = await client.call("planMove", {**ends, **wishes}, patience)
        if dry_run:
            showPlan(planned, source)
            return
        if planned["doubts"] and not force:
            raise OperationError(Refusal.WRONG_STATE, f"{'; '.join(planned['doubts'])} (--force goes on all the same)")
        await client.call("moveInternal", {**ends, "route": planned["route"], "force": True}, patience, showStage)

    converse(socket, moved)
