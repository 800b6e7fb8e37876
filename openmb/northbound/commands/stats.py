"""
C{openmb stats}: how much state a middlebox holds for some flows.
"""

from __future__ import annotations

import click

from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.flows import FLOWS


@click.command("stats")
@click.argument("middlebox")
@click.argument("flows", default="*", type=FLOWS)
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(middlebox: str, flows: str, socket: str) -> None:
    """Count the records of MIDDLEBOX that FLOWS selects, for each cell of the taxonomy."""
    for cell in ask(socket, "stats", {"middlebox": middlebox, "flows": flows}):
        name = cell["cell"].lower().replace("_", " ")
        about = "about " if cell["estimated"] else ""
        click.echo(f"{name}: {cell['records']} records, {about}{cell['bytes']} bytes, {cell['marked']} marked")
