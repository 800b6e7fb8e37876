"""
C{openmb events}: what middleboxes announce.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from openmb.northbound.ask import ask, defaultSocket
from openmb.northbound.flows import FLOWS


class _Enough(Exception):
    """So many were wanted."""


@click.command("events")
@click.argument("flows", default="*", type=FLOWS)
@click.option("--middlebox", "-m", default="*", help="of one middlebox; all of them unless told otherwise")
@click.option("--event", "-e", "events", multiple=True, help="an event's name; may be given again; all if not given")
@click.option("--follow", "-f", is_flag=True, help="go on until interrupted")
@click.option("--count", "-n", type=click.IntRange(1), help="end after so many events")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(flows: str, middlebox: str, events: tuple[str, ...], follow: bool, count: int | None, socket: str) -> None:
    """
    Show what middleboxes announce about FLOWS from now on, one JSON object a line.

    Lines with "lost" say how many events are missing there; lines with "connected" that a middlebox went or came back.
    """
    if follow is (count is not None):
        raise click.UsageError("either --follow or --count is needed")
    left = count

    def show(notice: Mapping[str, Any]) -> None:
        nonlocal left
        if "subscription" in notice:
            click.echo(f"openmb: subscription {notice['subscription']}", err=True)
            return
        click.echo(json.dumps(notice, ensure_ascii=False))
        if left is not None and "event" in notice:
            left -= 1
            if not left:
                raise _Enough

    try:
        ask(socket, "subscribe", {"middlebox": middlebox, "events": list(events), "flows": flows}, None, show)
    except _Enough:
        return
