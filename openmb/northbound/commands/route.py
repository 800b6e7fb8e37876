"""
C{openmb route}: steer packets to a middlebox.
"""

from __future__ import annotations

import click

from openmb.northbound.ask import ask, defaultSocket


@click.command("route")
@click.argument("flows")
@click.argument("path", nargs=-1)
@click.option("--table", default="monitor", show_default=True, help="every table gets its own copy of a packet")
@click.option("--priority", default=100, show_default=True, help="the highest wins")
@click.option("--egress", default=None, help="in line: the port where packets leave after the last middlebox")
@click.option("--one-way", is_flag=True, help="only packets whose own source and destination FLOWS names")
@click.option("--remove", is_flag=True, help="remove the rule instead")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(
    flows: str,
    path: tuple[str, ...],
    table: str,
    priority: int,
    egress: str | None,
    one_way: bool,
    remove: bool,
    socket: str,
) -> None:
    """Send FLOWS to the middleboxes of PATH, in order; state is not moved (use 'openmb move' for that)."""
    rule = {"table": table, "priority": priority, "egress": egress, "oneWay": one_way}
    route = {"flows": flows, "path": list(path), **rule}
    replaced = ask(socket, "unroute" if remove else "route", {"route": route})
    if replaced:
        click.echo(f"replaced the route to {','.join(replaced['path']) or 'nowhere'}")
