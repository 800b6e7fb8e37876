"""C{openmb replay}: a capture into a port of the switch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from openmb.demo.replay import Replay
from openmb.netctl.embedded.port import connectPort
from openmb.northbound.values import Seconds
from openmb.packets.capture import Capture, checkLink, openCapture
from openmb.rpc.unix import ILocalReactor


def replayInto(capture: Capture, switch: Path, port: str, speed: float) -> tuple[int, int]:
    """
    Send C{capture} to C{port} of the switch in C{switch}, on the reactor, which runs for this.

    @return: packets sent, and left out since they carry no IP and are no Ethernet frames.
    @raise OperationError: the switch cannot be reached, or went away.
    """
    from twisted.internet import reactor

    loop = cast(Any, reactor)
    ended: list[tuple[int, int] | Failure] = []
    stopping: list[bool] = []

    async def once() -> tuple[int, int]:
        replay = Replay(capture, speed, cast(ILocalReactor, loop))
        await connectPort(cast(ILocalReactor, loop), switch, port, replay.port)
        replay.start()
        return await replay.done, replay.leftOut

    def end(result: tuple[int, int] | Failure) -> None:
        ended.append(result)
        if not stopping:
            loop.stop()

    loop.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    loop.callWhenRunning(lambda: Deferred.fromCoroutine(once()).addBoth(end))
    loop.run()
    if not ended:
        raise click.Abort
    if isinstance(ended[0], Failure):
        ended[0].raiseException()
    return ended[0]


@click.command("replay")
@click.option("--pcap", required=True, type=click.Path(path_type=Path), help="The capture.")
@click.option("--switch", required=True, type=click.Path(path_type=Path), help="Directory of the switch.")
@click.option("--port", default="in", show_default=True, help="Port that the packets enter by.")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=Seconds(zero=True),
    help="Seconds of the capture in one second; 0: as fast as packets are taken.",
)
def command(pcap: Path, switch: Path, port: str, speed: float) -> None:
    """Replay a capture into a port of the embedded switch."""
    capture = openCapture(pcap)
    checkLink(capture)
    sent, leftOut = replayInto(capture, switch, port, speed)
    click.echo(f"{sent:,} packets sent" + (f", {leftOut:,} left out: they carry no IP" if leftOut else ""))
