"""C{openmb soak}: the demonstration for as long as wanted, moves back and forth, memory watched."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from openmb.demo.soak import Pace, Soaked, soak


def show(console: Console, soaked: Soaked) -> None:
    """The counts, the table of memory, the verdict."""
    console.print(
        f"{soaked.packets:,} packets in {soaked.seconds:,.0f} s, {soaked.moves:,} moves, the longest "
        f"{soaked.longest * 1000:,.0f} ms; journal {soaked.journal:,} bytes"
    )
    console.print(", ".join(f"{count:,} {name}" for name, count in soaked.counts.items() if name != "longestHold"))
    table = Table(title="resident memory in MiB")
    for column in ("process", "start", "middle", "end", "highest", "KiB a minute"):
        table.add_column(column, justify="left" if column == "process" else "right")
    for name, trend in soaked.trends.items():
        sizes = (f"{kib / 1024:.1f}" for kib in (trend.start, trend.middle, trend.end, trend.highest))
        table.add_row(name, *sizes, f"{trend.slope:+.1f}", style=None if trend.flat else "bold red")
    console.print(table)
    for name, (wanted, *parts) in soaked.verdict.rows.items():
        console.print(f"{name}.log: {wanted:,} rows of the reference, {' + '.join(f'{n:,}' for n in parts)}")
    verdict = soaked.verdict
    words = f"other columns in {', '.join(verdict.unlike)}; " if verdict.unlike else ""
    words += f"{verdict.missing} missing, {verdict.surplus} too many ({verdict.repeated} repeated), "
    words += f"{verdict.disordered} flows out of order"
    console.print("equal" if verdict.equal else f"DIFFERENT: {words}", style="green" if verdict.equal else "bold red")
    for line in verdict.examples:
        console.print(f"  {line}", markup=False, highlight=False)


@click.command("soak")
@click.option("--minutes", type=click.FloatRange(0.1), default=60.0, show_default=True, help="How long.")
@click.option("--every", type=click.FloatRange(0.1), default=4.0, show_default=True, help="Seconds between two moves.")
@click.option("--speed", type=click.FloatRange(0.1), default=4.0, show_default=True, help="Capture seconds a second.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("soak"),
    show_default=True,
    help="Where logs, memory.tsv and soak.json go; about 300 MB an hour at the default speed.",
)
def command(minutes: float, every: float, speed: float, results: Path) -> int:
    """
    Move one server's flows back and forth for hours, in real processes.

    The traffic is the demonstration's, repeated with other clients and later stamps, so that nothing comes twice. Exit
    status 1 when the logs of the two Bros differ from the reference's, packets were lost, or a process grows.
    """
    told = [0.0]

    def progress(stage: str, seconds: float, moves: int) -> None:
        if seconds >= told[0]:
            told[0] = seconds + 60
            click.echo(f"{seconds:6.0f} s  {moves:5} moves  {stage}", err=True)

    soaked = soak(Pace(minutes, every, speed), results, progress)
    show(Console(), soaked)
    return 0 if soaked.good else 1
