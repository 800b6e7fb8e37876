"""
What the demonstration tells in the end: a table for people, a document for programs.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from openmb.demo.bro import Outcome
from openmb.demo.moves import Moved
from openmb.demo.survey import Survey
from openmb.demo.verdict import Verdict

FOOTNOTE = (
    "pending requests moved: HTTP requests that had gone to the source when the switch-over was asked for, and "
    "whose row in http.log the destination wrote. Times are of the wall clock."
)

#: Rows of each kind of difference that are shown.
SHOWN = 5


def toPlain(outcome: Outcome, survey: Survey, verdict: Verdict) -> dict[str, Any]:
    """Everything that was measured, as C{results.json} has it."""
    return {
        "packets": outcome.packets,
        "server": survey.server,
        "replaySeconds": round(outcome.replayed, 3),
        "startSeconds": round(outcome.start, 3),
        "moves": [_moveToPlain(moved) for moved in outcome.moves],
        "rows": dict(verdict.rows),
        "rowsByInstance": {name: list(counts) for name, counts in verdict.split.items()},
        "missing": list(verdict.missing),
        "surplus": list(verdict.surplus),
        "disordered": list(verdict.disordered),
        "equal": verdict.equal,
    }


def _moveToPlain(moved: Moved) -> dict[str, Any]:
    stages = {name: round(seconds, 4) for name, seconds in moved.stages.items()}
    ends = {"source": moved.source, "destination": moved.destination}
    return {**ends, "stages": stages, **moved.counts, "pendingRequests": moved.pending}


def show(console: Console, outcome: Outcome, survey: Survey, verdict: Verdict) -> None:
    """Print the table and the verdict."""
    console.print(_table(outcome, survey))
    console.print(FOOTNOTE, style="dim")
    for name, rows in verdict.rows.items():
        shares = " + ".join(f"{count:,}" for count in verdict.split[name])
        console.print(f"{name}.log: {rows:,} rows of the reference, {shares} of bro1 + bro2")
    console.print(verdictText(verdict), style="bold green" if verdict.equal else "bold red")
    for title, lines in (("missing", verdict.missing), ("surplus", verdict.surplus), ("order", verdict.disordered)):
        for line in lines[:SHOWN]:
            console.print(f"  {title}: {line}", markup=False, highlight=False)


def verdictText(verdict: Verdict) -> str:
    """The verdict in one line."""
    if verdict.equal:
        return "equal: both instances' logs together are the reference's, row for row, and in order for each flow"
    if not sum(verdict.rows.values()):
        return "nothing to compare: the reference has no rows"
    return (
        f"DIFFERENT: {len(verdict.missing)} rows missing, {len(verdict.surplus)} rows too many, "
        f"{len(verdict.disordered)} flows out of order"
    )


def _table(outcome: Outcome, survey: Survey) -> Table:
    title = f"{outcome.packets:,} packets in {outcome.replayed:.1f} s; flows of {survey.server}"
    table = Table(title=title)
    table.add_column("")
    for moved in outcome.moves:
        table.add_column(f"{moved.source} → {moved.destination}", justify="right")
    table.add_column("together", justify="right")
    starts = [f"{outcome.start:.2f} s", *("–" for _ in outcome.moves[1:])]
    table.add_row("starting the second Bro", *starts)
    table.add_row("transfer of state", *(f"{moved.transfer * 1000:.1f} ms" for moved in outcome.moves))
    table.add_row("switch-over", *(f"{moved.switchOver * 1000:.1f} ms" for moved in outcome.moves))
    for name, label in (
        ("deleted", "flows moved"),
        ("records", "records moved"),
        ("bytes", "bytes moved"),
        ("reprocessed", "re-process events"),
        ("redirected", "re-direct events"),
        ("held", "packets held"),
        ("late", "late packets"),
        ("lost", "packets lost"),
    ):
        _addCounts(table, label, [moved.counts.get(name, 0) for moved in outcome.moves])
    holds = (f"{moved.counts.get('longestHold', 0) / 1000:.1f} ms" for moved in outcome.moves)
    table.add_row("longest wait of a held packet", *holds)
    _addCounts(table, "pending requests moved", [moved.pending for moved in outcome.moves])
    return table


def _addCounts(table: Table, label: str, counts: list[int]) -> None:
    table.add_row(label, *(f"{count:,}" for count in counts), f"{sum(counts):,}")
