"""
C{openmb abort}: undo a move that has not taken over yet.
"""

from __future__ import annotations

import click

from openmb.northbound.ask import ask, defaultSocket


@click.command("abort")
@click.argument("operation")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(operation: str, socket: str) -> None:
    """Undo OPERATION (its id as 'openmb status' shows it): the source goes on as if it had never been asked."""
    ask(socket, "abort", {"operation": operation})
    click.echo(f"operation {operation} is being undone")
