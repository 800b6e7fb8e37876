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
@click.option("--table", default="monitor", show_default=True, help="the network's table whose route changes")
@click.option("--priority", type=PRIORITY, default=100, show_default=True, help="priority of the new route")
@click.option("--patience", type=SECONDS, default=600.0, show_default=True, help="seconds to wait for the end")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(operation: str, table: str, priority: int, patience: float, socket: str) -> None:
    """Route the flows of the installed OPERATION to its destination and hand over."""
    ask(socket, "switchOver", {"operation": operation, "table": table, "priority": priority}, patience, showStage)
