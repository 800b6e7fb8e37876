"""
C{openmb relay}: tells middleboxes what the others announce.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from openmb.northbound.ask import defaultSocket, withHint


@click.command("relay")
@click.argument("middleboxes", nargs=-1, required=True)
@click.option("--event", "-e", "events", multiple=True, help="an event's name; may be given again; all if not given")
@click.option("--announce", help="file to write the names to, once every subscription has begun")
@click.option("--socket", default=defaultSocket, help="the controller's local socket")
def command(middleboxes: tuple[str, ...], events: tuple[str, ...], announce: str | None, socket: str) -> int:
    """
    Tell each of MIDDLEBOXES what the others announce, until interrupted: what one has logged the others do not log.

    For middleboxes of one kind whose flows are divided between them, and which share what belongs to no flow: hosts of
    PRADS. In the end a line for each says how much it was told, and how much of that was news.
    """
    if len(set(middleboxes)) < len(middleboxes) or len(middleboxes) < 2:
        raise click.UsageError("two or more different middleboxes are needed")
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.internet.task import deferLater

    from openmb.apps.relay import Relay
    from openmb.rpc.client import RPCClient, Unreachable
    from openmb.starting import Readiness

    loop = cast(Any, reactor)
    client = RPCClient(Path(socket), loop)
    readiness = Readiness(announce)
    relay = Relay(
        client,
        middleboxes,
        events,
        lambda seconds: deferLater(loop, seconds),
        lambda: readiness.say(" ".join(middleboxes)),
    )
    failures: list[Any] = []
    checked: list[bool] = []

    def ended(result: Any) -> None:
        if loop.running and not stopping:
            failures.append(result)
            loop.stop()

    stopping: list[bool] = []
    loop.addSystemEventTrigger("before", "shutdown", stopping.append, True)

    async def begin() -> None:
        await relay.check()
        checked.append(True)
        await relay.run()

    loop.callWhenRunning(lambda: Deferred.fromCoroutine(begin()).addBoth(ended))
    loop.run()
    for name, told in relay.told.items() if checked else ():
        click.echo(f"{name}: told {told.events:,}, {told.news:,} of them news, {told.lost:,} lost")
    if failures and failures[0] is not None:
        try:
            failures[0].raiseException()
        except Unreachable as error:
            raise withHint(error, socket) from error
    if not failures:
        raise KeyboardInterrupt
    return 0
