"""
What the demonstration tells in the end: a table for people, a document for programs.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from openmb.demo.bro import FIRST, SECOND, Outcome
from openmb.demo.moves import Moved
from openmb.demo.survey import Survey
from openmb.demo.verdict import Compared, Verdict

FOOTNOTE = (
    "pending: requests (HTTP) and queries (DNS) that had gone to the source when the switch-over was asked for, and "
    "whose row in http.log or dns.log the destination wrote. Times are of the wall clock."
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
        "columns": {name: log.columns for name, log in verdict.logs.items()},
        "rows": {name: log.rows for name, log in verdict.logs.items()},
        "rowsByInstance": {name: list(log.split) for name, log in verdict.logs.items()},
        "otherColumns": verdict.unlike,
        "missing": verdict.missing,
        "surplus": verdict.surplus,
        "disordered": verdict.disordered,
        "equal": verdict.equal,
    }


def _moveToPlain(moved: Moved) -> dict[str, Any]:
    stages = {name: round(seconds, 4) for name, seconds in moved.stages.items()}
    ends = {"source": moved.source, "destination": moved.destination}
    return {
        **ends,
        "stages": stages,
        **moved.counts,
        "pendingRequests": moved.requests,
        "pendingQueries": moved.queries,
    }


def show(console: Console, outcome: Outcome, survey: Survey, verdict: Verdict) -> None:
    """Print the table and the verdict."""
    console.print(_table(outcome, survey))
    console.print(FOOTNOTE, style="dim")
    console.print(_logs(verdict))
    console.print(verdictText(verdict), style="bold green" if verdict.equal else "bold red")
    if not hasShown(outcome):
        console.print(NOTHING_SHOWN, style="bold yellow")
    for title, lines in (("missing", verdict.missing), ("surplus", verdict.surplus), ("order", verdict.disordered)):
        for line in lines[:SHOWN]:
            console.print(f"  {title}: {line}", markup=False, highlight=False)


#: When the logs agree, but would have agreed anyhow.
NOTHING_SHOWN = (
    "this has shown nothing: no packet was held or re-directed, since none came while its flow moved; choose a capture "
    "with more traffic of one server, or a lower --speed"
)


def hasShown(outcome: Outcome) -> bool:
    """Did packets come while their flows moved?"""
    return any(moved.counts.get(name, 0) for moved in outcome.moves for name in ("held", "redirected"))


def verdictText(verdict: Verdict) -> str:
    """The verdict in one line."""
    if verdict.equal:
        names = ", ".join(f"{name}.log" for name in verdict.logs)
        return (
            f"equal: both instances' logs ({names}) together are the reference's, row for row, in all columns, and in "
            "order for each flow"
        )
    if not verdict.rows and not verdict.surplus:
        return "nothing to compare: the reference has no rows"
    return (
        f"DIFFERENT: {len(verdict.missing)} rows missing, {len(verdict.surplus)} rows too many, "
        f"{len(verdict.disordered)} flows out of order, {len(verdict.unlike)} logs with other columns"
    )


def _logs(verdict: Verdict) -> Table:
    """A row for each log that anyone wrote."""
    table = Table(title="every log, all columns")
    table.add_column("log")
    for column in ("columns", "reference", FIRST, SECOND):
        table.add_column(column, justify="right")
    table.add_column("")
    for name, log in verdict.logs.items():
        counts = (f"{count:,}" for count in (log.columns, log.rows, *log.split))
        table.add_row(f"{name}.log", *counts, _difference(log), style=None if log.equal else "bold red")
    return table


def _difference(log: Compared) -> str:
    """How a log differs from the reference's."""
    wrong = {"missing": log.missing, "too many": log.surplus, "out of order": log.disordered}
    said = [] if log.alike else ["other columns"]
    said += [f"{len(rows):,} {words}" for words, rows in wrong.items() if rows]
    return ", ".join(said) or "equal"


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
    _addCounts(table, "pending requests moved", [moved.requests for moved in outcome.moves])
    _addCounts(table, "pending queries moved", [moved.queries for moved in outcome.moves])
    return table


def _addCounts(table: Table, label: str, counts: list[int]) -> None:
    table.add_row(label, *(f"{count:,}" for count in counts), f"{sum(counts):,}")
