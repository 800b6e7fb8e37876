"""
C{openmb simulate}: histories of the hand-over on a fake clock, held against the oracle.
"""

from __future__ import annotations

import time

import click

from openmb.testing.simulation.campaign import SHARED, Campaign, campaign
from openmb.testing.simulation.faults import FOCUSES
from openmb.testing.simulation.kinds import KINDS
from openmb.testing.simulation.world import Outcome

#: Lines of the oracle's complaint shown for each bad seed.
SHOWN = 6


def showWrong(outcome: Outcome) -> None:
    """What the oracle says of one seed, and how to see it again."""
    if outcome.wrong:
        click.echo(f"seed {outcome.seed} is wrong (again with --seeds 1 --first {outcome.seed}):")
        for line in outcome.wrong[:SHOWN]:
            click.echo(f"  {line}")


def showCounts(result: Campaign, seconds: float) -> None:
    """What happened in all histories together."""
    for name, count in sorted(result.counts.items()):
        click.echo(f"{count:12,} {name}")
    smallest = ", ".join(f"{count} {name}" for name, count in result.smallest.items())
    click.echo(f"{result.seeds:,} seeds in {seconds:.1f} s, at least {smallest} each; {len(result.wrong)} wrong")


@click.command("simulate")
@click.option("--seeds", default=200, show_default=True, type=click.IntRange(1), help="how many histories")
@click.option("--first", default=0, show_default=True, help="the first seed")
@click.option("--kind", default="bro", show_default=True, type=click.Choice(sorted(KINDS)), help="which kind")
@click.option("--processes", default=None, type=click.IntRange(1), help="how many at a time (default: one a core)")
@click.option(
    "--focus",
    default="",
    type=click.Choice(["", *sorted((*FOCUSES, SHARED))]),
    help="what goes wrong in every history; shared: clones and merges in place of moves",
)
def command(seeds: int, first: int, kind: str, processes: int | None, focus: str) -> None:
    """
    Run histories: a seed decides arrivals, delays, moves, aborts, deaths, lost connections and restarts.

    Exit status 1 when the union of all outputs differs from a single instance's in any of them.
    """
    began = time.perf_counter()
    result = campaign(kind, first, seeds, processes, showWrong, focus)
    showCounts(result, time.perf_counter() - began)
    if result.wrong:
        raise SystemExit(1)
