"""
Runs the demonstration on SmartRE and tells what it came to.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from openmb.demo.deployment import temporaryDeployment
from openmb.demo.runner import Progress, demoReactor, prepareFolders, runScenario
from openmb.demo.smartre.scenario import NAMES, Outcome, SmartreScenario
from openmb.demo.smartre.traffic import frames
from openmb.warmup import warmUp

#: Packets of each of the three phases; packets in all at most; packets a second at a speed of 8, as the others have.
PHASE, MOST, RATE = 3000, 60_000, 2000.0
_SPEED = 8.0
#: Packets a second at most: with more a copy takes longer than the pages last.
FASTEST = 4000.0


def demonstrateSmartre(speed: float, results: Path, progress: Progress) -> Outcome | None:
    """
    Run it on the reactor, which runs for this and stops afterwards.

    @param speed: 0: as fast as this demonstration goes, 4,000 packets a second.
    @return: None when it was interrupted.
    @raise OpenMBError: it could not be run to its end.
    """
    prepareFolders(results, {})
    warmUp(lambda place, total, name, seconds: progress(f"kernels {place}/{total}", 0, MOST))
    rate = RATE * speed / _SPEED if speed else FASTEST
    with temporaryDeployment("smartre", NAMES) as deployment:
        scenario = SmartreScenario(demoReactor(), deployment, frames(1, MOST), PHASE, min(rate, FASTEST))
        outcome = runScenario(scenario, lambda: progress(scenario.stage, scenario.outcome.sent, 3 * PHASE))
    if outcome is not None:
        (results / "results.json").write_text(json.dumps(toPlain(outcome), indent=2) + "\n", encoding="utf-8")
    return outcome


def toPlain(outcome: Outcome) -> dict[str, Any]:
    """Everything that was measured."""
    return {**asdict(outcome), "saved": saved(outcome), "good": outcome.good}


def saved(outcome: Outcome) -> float:
    """Share of the bytes that did not go over the link."""
    return 1 - outcome.carried / outcome.payload if outcome.payload else 0.0


def showMigration(console: Console, outcome: Outcome) -> None:
    """Print the table and the verdict."""
    table = Table(title=f"{outcome.sent:,} packets to 16 receivers, half of them at decoder2 for a while")
    table.add_column("")
    table.add_column("", justify="right")
    clone, merge = outcome.reports
    rows = (
        ("arrived as they were", f"{outcome.arrived:,}"),
        ("missing", f"{outcome.missing:,}"),
        ("too many", f"{outcome.surplus:,}"),
        ("behind a later one", f"{outcome.disordered:,}"),
        ("by decoder2", f"{outcome.second:,}"),
        ("undecodable", f"{outcome.undecodable:,}"),
        ("asked for again", f"{outcome.missed:,}"),
        ("MB sent, MB on the link", f"{outcome.payload / 1e6:.1f}, {outcome.carried / 1e6:.1f}"),
        ("saved", f"{saved(outcome):.1%}"),
        ("clone: records, re-process events", f"{clone['records']:,}, {clone['reprocessed']:,}"),
        ("merge: records", f"{merge['records']:,}"),
    )
    for label, value in rows:
        table.add_row(label, value)
    console.print(table)
    for what, sent in outcome.steps:
        console.print(f"  {sent:>7,} packets sent: {what}", style="dim")
    console.print(verdictText(outcome), style="bold green" if outcome.good else "bold red")


def verdictText(outcome: Outcome) -> str:
    """The verdict in one line."""
    if outcome.good:
        return "equal: every packet arrived once, byte for byte; nothing was undecodable"
    return "DIFFERENT: not every packet arrived once and as it was, or nothing was saved"
