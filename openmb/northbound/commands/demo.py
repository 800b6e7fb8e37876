"""C{openmb demo}: live flows move between running middleboxes, and the logs are held against a reference's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from openmb.demo.pradsrunner import demonstratePrads, showAssets
from openmb.demo.report import show
from openmb.demo.runner import Progress as OnProgress
from openmb.demo.runner import Shown, demonstrate
from openmb.demo.smartre.runner import demonstrateSmartre, showMigration


@contextmanager
def progressBar(console: Console) -> Iterator[OnProgress]:
    """A bar that shows what is going on and how many packets were sent."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda stage, sent, total: bar.update(task, description=stage, completed=sent, total=total)


def conclude(shown: Shown, console: Console) -> int:
    """Show what a demonstration came to; the exit status: 0 only if the logs agree."""
    show(console, shown.outcome, shown.survey, shown.verdict)
    return 0 if shown.verdict.equal else 1


def _prads(pcap: Path | None, speed: float, results: Path) -> int:
    with progressBar(Console(stderr=True)) as progress:
        shown = demonstratePrads(pcap, speed, results, progress)
    if shown is None:
        raise click.Abort
    showAssets(Console(), shown)
    click.echo(f"logs and results.json are in {results}")
    return 0 if shown.good else 1


def _smartre(speed: float, results: Path) -> int:
    with progressBar(Console(stderr=True)) as progress:
        outcome = demonstrateSmartre(speed, results, progress)
    if outcome is None:
        raise click.Abort
    showMigration(Console(), outcome)
    click.echo(f"results.json is in {results}")
    return 0 if outcome.good else 1


@click.command("demo")
@click.argument("scenario", type=click.Choice(["bro", "prads", "smartre"]), default="bro")
@click.option("--pcap", type=click.Path(path_type=Path, dir_okay=False), help="Another capture to replay.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    help="Seconds of the capture in one second; 0: as fast as packets are taken.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Where the logs of all instances and results.json go.",
)
def command(scenario: str, pcap: Path | None, speed: float, results: Path) -> int:
    """
    Run the demonstration: real processes, TLS between them, a real capture.

    bro: one Bro sees the flows of two servers; when load rises, the flows of one server and their state move to a
    second Bro, started on demand; when load falls, they move back. A third Bro sees everything as the reference. Exit
    status 1 when the logs of the two differ from the reference's. While the second Bro starts the replay goes on with
    the capture's own pace at most.

    prads: soon after the beginning the flows of one server move to a second PRADS; near the end they come back, and
    what flows share is merged. Twice: without and with a relay that tells each instance what the other has logged.

    smartre: a server's pages go through an encoder and a decoder to 16 receivers; half of these move to a second
    decoder, with a copy of the first one's cache that follows every change, and come back. Exit status 1 unless every
    packet arrives once, byte for byte.
    """
    if scenario == "prads":
        return _prads(pcap, speed, results)
    if scenario == "smartre":
        if pcap is not None:
            raise click.UsageError("smartre makes its own packets: no --pcap")
        return _smartre(speed, results)
    with progressBar(Console(stderr=True)) as progress:
        shown = demonstrate(pcap, speed, results, progress)
    if shown is None:
        raise click.Abort
    click.echo(f"logs and results.json are in {results}")
    return conclude(shown, Console())
