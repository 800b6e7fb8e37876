"""
C{openmb merge}: what flows share, folded into another middlebox's.
"""

from __future__ import annotations

import click

from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.commands.move import showStage
from openmb.northbound.values import SECONDS


@click.command("merge")
@click.argument("source")
@click.argument("destination")
@click.option("--patience", type=SECONDS, default=600.0, show_default=True, help="seconds to wait for the end")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(source: str, destination: str, patience: float, socket: str) -> None:
    """
    Fold the shared state of SOURCE, supporting and reporting, into that of DESTINATION, and clear it at SOURCE.

    Before an instance is terminated: move its flows, wait until these moves are finished, merge.
    """
    ask(socket, "mergeInternal", {"source": source, "destination": destination}, patience, showStage)
