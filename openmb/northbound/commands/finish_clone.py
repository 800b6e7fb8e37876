"""
C{openmb finish-clone}: a copy becomes the destination's own.
"""

from __future__ import annotations

import click

from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.commands.move import showStage
from openmb.northbound.values import SECONDS


@click.command("finish-clone")
@click.argument("operation")
@click.option("--patience", type=SECONDS, default=600.0, show_default=True, help="seconds to wait for the end")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(operation: str, patience: float, socket: str) -> None:
    """Follow the changes of the clone OPERATION no longer: DESTINATION folds the copy into its own state."""
    ask(socket, "finishClone", {"operation": operation}, patience, showStage)
