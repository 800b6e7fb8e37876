"""C{openmb survive}: real processes are killed, stalled and cut off at each step of a move, and the logs are judged."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from openmb.testing.survival.matrix import cellsOf, documentOf, ordersOf, survive
from openmb.testing.survival.outages import Absence, BadLine, LongAbsence, Standstill
from openmb.testing.survival.points import Party, Step
from openmb.testing.survival.trial import Result, Trial

KINDS: dict[str, type[Trial]] = {
    "kill": Trial,
    "stall": Standstill,
    "absence": Absence,
    "long": LongAbsence,
    "cut": BadLine,
}
#: Lines of what is wrong that are shown for each run.
SHOWN = 4


def tell(done: int, of: int, result: Result) -> None:
    """One line a run."""
    judged = result.judgement
    click.echo(
        f"{done}/{of} {result.party.value} {result.point}: {result.ending} after {result.settled:.1f} s, "
        f"{judged.lost} of {judged.rows} rows lost" + (", WRONG" if result.wrong else "")
    )
    for line in result.wrong[:SHOWN]:
        click.echo(f"  {line}")


def show(console: Console, results: list[Result]) -> None:
    """The table."""
    table = Table()
    for name in ("step", "party", "runs", "right", "endings", "settled", "next move", "rows", "lost", "expected"):
        table.add_column(name, justify="left" if name in ("step", "party", "endings") else "right")
    for (step, party), cell in cellsOf(results).items():
        endings = ", ".join(f"{count} {name}" for name, count in sorted(cell.endings.items()))
        times = f"{cell.longest:.1f} s", f"{cell.later:.1f} s"
        right = f"{cell.good}" if cell.good == cell.runs else f"[bold red]{cell.good}[/]"
        rows = f"{cell.rows:,}", f"{cell.lost:,}", f"{cell.least:,}–{cell.most:,}"
        table.add_row(step.value, party.value, str(cell.runs), right, endings, *times, *rows)
    console.print(table)
    click.echo(due(results))


def due(results: list[Result]) -> str:
    """Which logs the traffic makes rows of, and by which way."""
    logs = sum((Counter(result.logs) for result in results), Counter[str]())
    each = ", ".join(f"{name}.log {count:,}" for name, count in sorted(logs.items()))
    return f"rows due: {each}; on the fast path: {sum(result.fastRows for result in results):,}"


@click.command("survive")
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1), help="Runs of each step and party.")
@click.option("--how", default="kill", show_default=True, type=click.Choice(sorted(KINDS)), help="What befalls them.")
@click.option("--step", "steps", multiple=True, type=click.Choice([each.value for each in Step]), help="Only these.")
@click.option(
    "--party", "parties", multiple=True, type=click.Choice([each.value for each in Party]), help="Only these."
)
@click.option("--results", type=click.Path(path_type=Path, dir_okay=False), help="A JSON file for all figures.")
@click.option("--logs", type=click.Path(path_type=Path, file_okay=False), help="Where the processes' own logs go.")
def command(
    runs: int, how: str, steps: tuple[str, ...], parties: tuple[str, ...], results: Path | None, logs: Path | None
) -> int:
    """
    Kill source, destination or controller at each step of a move, in real processes under traffic.

    Each run: traffic, a move, a death at exactly that step, a restart, another move; then the logs are held against
    those of one middlebox that saw everything. Exit status 1 when a run did not settle, or lost what a lone crash of
    that process would not have lost.
    """
    orders = ordersOf(
        runs,
        [Step(step) for step in steps] or tuple(Step),
        [Party(party) for party in parties] or tuple(Party),
        KINDS[how],
    )
    with tempfile.TemporaryDirectory(prefix="openmb-survive-") as folder:
        made = survive(orders, logs or Path(folder), tell)
    show(Console(), made)
    if results is not None:
        results.write_text(documentOf(made), encoding="utf-8")
    return 1 if any(result.wrong for result in made) else 0
