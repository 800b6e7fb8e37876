"""
C{openmb switch-over}: change the route of a move that was installed with C{--no-route}.
"""

from __future__ import annotations

import click

from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.commands.move import showStage
from openmb.northbound.values import PRIORITY, SECONDS


@click.command("switch-over")
@click.argument("operation")
@click.option("--table", help="the network's table whose route changes [that in which the flows go to the source]")
@click.option("--priority", type=PRIORITY, help="priority of the new route [as it is, 100 at least]")
@click.option("--egress", help="in line: the port where packets leave; '' for none [as it is]")
@click.option("--patience", type=SECONDS, default=600.0, show_default=True, help="seconds to wait for the end")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(
    operation: str, table: str | None, priority: int | None, egress: str | None, patience: float, socket: str
) -> None:
    """Route the flows of the installed OPERATION to its destination and hand over."""
    wishes = {"table": table, "priority": priority, "egress": egress}
    ask(socket, "switchOver", {"operation": operation, **wishes}, patience, showStage)
