"""
C{openmb status}: who is connected, and what is under way.
"""

from __future__ import annotations

import json
from datetime import datetime

import click

from openmb.northbound.ask import ask, defaultSocket


@click.command("status")
@click.option("--json", "asJSON", is_flag=True, help="one JSON document instead of text")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(asJSON: bool, socket: str) -> None:
    """Show the connected middleboxes, the operations under way, and the last ones that are over."""
    status = ask(socket, "operations", {})
    if asJSON:
        click.echo(json.dumps(status, indent=2))
        return
    if not status["middleboxes"]:
        click.echo("no middlebox is connected")
    for middlebox in status["middleboxes"]:
        click.echo(f"middlebox {middlebox['name']} ({middlebox['kind']})")
    for problem in status["problems"]:
        click.echo(f"problem: {problem}")
    for move in status["underWay"]:
        click.echo(
            f"operation {move['operation']}: {move['source']} -> {move['destination']} {move['flows']}: "
            f"{move['stage']}, {move['records']} records"
        )
    for report in status["over"][-5:]:
        reason = f" ({report['refusal']}: {report['reason']})" if report["refusal"] else ""
        ended = f"{datetime.fromtimestamp(report['ended']):%Y-%m-%d %H:%M:%S} " if report["ended"] else ""
        click.echo(
            f"operation {report['operation']}: {ended}{report['source']} -> {report['destination']} {report['flows']}: "
            f"{report['stage']}{reason}, {report['records']} records"
        )
