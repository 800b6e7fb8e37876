"""
C{openmb clone}: a current copy of what flows share, at another middlebox.
"""

from __future__ import annotations

import click

from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.commands.move import showStage
from openmb.northbound.values import SECONDS


@click.command("clone")
@click.argument("source")
@click.argument("destination")
@click.option("--finish", is_flag=True, help="make the copy the destination's own as soon as it is there")
@click.option("--patience", type=SECONDS, default=600.0, show_default=True, help="seconds to wait for the end")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(source: str, destination: str, finish: bool, patience: float, socket: str) -> None:
    """
    Copy the shared supporting state of SOURCE to DESTINATION, and keep the copy current.

    The copy becomes the destination's own with 'openmb finish-clone' (or at once with --finish); 'openmb abort' drops
    it. What was counted for reports is never copied: it would be reported twice.
    """
    arguments = {"source": source, "destination": destination, "finish": finish}
    ask(socket, "cloneSupport", arguments, patience, showStage)
