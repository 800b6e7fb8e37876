"""
C{openmb route}: steer packets to a middlebox.
"""

from __future__ import annotations

import click

from openmb.errors import OperationError, Refusal
from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.flows import FLOWS
from openmb.northbound.values import PRIORITY


def checkWhere(path: tuple[str, ...], egress: str | None, drop: bool, remove: bool) -> None:
    """
    Do the arguments say where packets go?

    @raise click.UsageError: they do not, or say two things.
    """
    somewhere = bool(path) or egress is not None
    if drop and (somewhere or remove):
        raise click.UsageError("--drop goes without PATH, --egress and --remove")
    if not (somewhere or drop or remove):
        raise click.UsageError("where to? Name the ports of PATH, or say --drop")


def ending(route: dict[str, object]) -> str:
    """Where a route leads, in words."""
    path = route["path"]
    ports = [str(port) for port in path] if isinstance(path, list) else []
    return " > ".join([*ports, *([str(route["egress"])] if route["egress"] else [])]) or "nowhere (dropped)"


@click.command("route")
@click.argument("flows", type=FLOWS)
@click.argument("path", nargs=-1)
@click.option("--table", default="monitor", show_default=True, help="every table gets its own copy of a packet")
@click.option("--priority", type=PRIORITY, default=100, show_default=True, help="the highest wins")
@click.option("--egress", default=None, help="in line: the port where packets leave after the last middlebox")
@click.option("--one-way", is_flag=True, help="only packets whose own source and destination FLOWS names")
@click.option("--drop", is_flag=True, help="send FLOWS nowhere")
@click.option("--remove", is_flag=True, help="remove the rule instead")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(
    flows: str,
    path: tuple[str, ...],
    table: str,
    priority: int,
    egress: str | None,
    one_way: bool,
    drop: bool,
    remove: bool,
    socket: str,
) -> None:
    """
    Send FLOWS ('*': everything) to the middleboxes of PATH, in order.

    State is not moved (use 'openmb move' for that). 'openmb routes' lists what there is.
    """
    checkWhere(path, egress, drop, remove)
    route = {"flows": flows, "path": list(path), "table": table, "priority": priority}
    route |= {"egress": egress, "oneWay": one_way, "drop": drop}
    former = ask(socket, "unroute" if remove else "route", {"route": route})
    if former:
        click.echo(f"{'removed' if remove else 'replaced'} the route to {ending(former)}")
    elif remove:
        raise OperationError(
            Refusal.BAD_REQUEST, f"there is no route for {flows} in table {table} with priority {priority}"
        )
