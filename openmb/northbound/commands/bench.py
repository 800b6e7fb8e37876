"""C{openmb bench}: how fast and how right the engine is, how fast flows move, what a get costs the packets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from openmb.bench.assets import AssetsResult, measureAssets
from openmb.bench.engine import measureEngine
from openmb.bench.latency import measureLatency
from openmb.bench.move import measureMove
from openmb.bench.report import (
    assetsText,
    assetsToPlain,
    engineText,
    engineToPlain,
    latencyText,
    latencyToPlain,
    machineToPlain,
    moveText,
    moveToPlain,
)
from openmb.bench.smartre.clone import RATE as CLONE_RATE
from openmb.bench.smartre.clone import measureClone
from openmb.bench.smartre.measure import PACKETS, measureSmartre
from openmb.bench.smartre.migration import Outcome, areRight, measureMigration
from openmb.bench.smartre.report import (
    cloneText,
    cloneToPlain,
    migrationText,
    migrationToPlain,
    smartreText,
    smartreToPlain,
)
from openmb.bench.smartre.sets import ofCapture
from openmb.bench.traffic import writeCapture
from openmb.bench.web.measure import measureWeb
from openmb.bench.web.mixture import CONNECTIONS
from openmb.bench.web.report import webText, webToPlain
from openmb.demo.smartre.traffic import frames

#: What can be measured; the first four together: all.
WHAT = ("engine", "web", "move", "latency", "prads", "smartre", "clone", "migration", "all")
#: Flows of the engine's own traffic, and flows that are moved, unless told otherwise.
ENGINE_FLOWS, MOVED_FLOWS, OWN_PACKETS = 20_000, 100_000, 1_000_000
#: Packets a second, and slots of the cache that is cloned: 96 MiB.
LOAD, SLOTS = 25_000, 1 << 16
#: Packets of the migration.
MIGRATED = 8000
_RATE = f"Packets per second of load.  [default: clone {CLONE_RATE:.0f}, else {LOAD}]"
_PACKETS = f"Of own traffic.  [default: smartre {PACKETS}, migration {MIGRATED}, else {OWN_PACKETS}]"
_FLOWS = f"[default: engine {ENGINE_FLOWS}, web {CONNECTIONS}, else {MOVED_FLOWS}]"


def say(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        click.echo(line)


def benchEngine(results: Path, capture: Path | None, packets: int, flows: int, runs: int) -> dict[str, Any]:
    """Measure over C{capture}, or over traffic of the bench's own."""
    logs, found = results / "engine", {}
    if capture is None:
        own = results / "own.pcap"
        click.echo(f"engine: no --capture, so traffic of the bench's own: {flows:,} flows, all checksums right")
        writeCapture(own, flows, packets)
        found["own traffic"] = measureEngine(own, logs, runs)
        own.unlink()
    else:
        found[capture.name] = measureEngine(capture, logs, runs)
        found[f"{capture.name}, --no-checksums"] = measureEngine(capture, logs, runs, checksums=False)
    for title, result in found.items():
        say(engineText(title, result))
    return {title: engineToPlain(result) for title, result in found.items()}


def benchAssets(results: Path, capture: Path | None, packets: int, flows: int, runs: int) -> AssetsResult:
    """PRADS beside the real program, over C{capture} or over traffic of the bench's own."""
    if capture is not None:
        return measureAssets(capture, results / "prads", runs)
    own = results / "own.pcap"
    writeCapture(own, flows, packets)
    try:
        return measureAssets(own, results / "prads", runs)
    finally:
        own.unlink()


def benchMigration(capture: Path | None, packets: int) -> list[Outcome]:
    """Over payloads of C{capture}, or over the pages of the demonstration."""
    if capture is not None:
        return measureMigration(ofCapture(capture).payloads)
    return measureMigration([frame[54:] for frame in frames(1, packets)])


@click.command("bench")
@click.argument(
    "what",
    type=click.Choice(["engine", "web", "move", "latency", "prads", "smartre", "clone", "migration", "all"]),
    default="all",
)
@click.option("--results", type=click.Path(path_type=Path, file_okay=False), default=Path("bench"), show_default=True)
@click.option(
    "--capture",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="For all but web, move, latency, clone.",
)
@click.option(
    "--training", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Of dictionaries (smartre)."
)
@click.option("--packets", type=click.IntRange(100), help=_PACKETS)
@click.option("--flows", type=click.IntRange(1), help=_FLOWS)
@click.option("--rate", type=click.IntRange(1), help=_RATE)
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="Runs of the engine.")
@click.option("--turns", type=click.IntRange(1), default=20, show_default=True, help="Alternations for the latency.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the mostly-HTTP capture (web).")
@click.option("--profile", is_flag=True, help="Also where each process's time goes in the move (slows it a little).")
def command(
    what: str,
    results: Path,
    capture: Path | None,
    training: Path | None,
    packets: int | None,
    flows: int | None,
    rate: int | None,
    runs: int,
    turns: int,
    seed: int,
    profile: bool,
) -> int:
    """
    Measure, print, and write bench.json.

    Exit status 1 when the logs after the move differ from a single instance's, those of web from what they must be,
    those of prads from the real program's, or what comes out of smartre, clone or migration from what must.  These four
    run when they are asked for only.
    """
    results.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"machine": machineToPlain()}
    equal = True
    if what in ("engine", "all"):
        document["engine"] = benchEngine(results, capture, packets or OWN_PACKETS, flows or ENGINE_FLOWS, runs)
    if what in ("web", "all"):
        web = measureWeb(flows or CONNECTIONS, seed, runs)
        say(webText(web))
        document["web"], equal = webToPlain(web), web.isRight
    if what == "prads":
        assets = benchAssets(results, capture, packets or OWN_PACKETS, flows or ENGINE_FLOWS, runs)
        say(assetsText(assets))
        document["prads"], equal = assetsToPlain(assets), not assets.different
    if what == "smartre":
        if (capture is None) != (training is None):
            raise click.UsageError("smartre takes --capture and --training together, two different captures")
        smartre = measureSmartre(capture, training, runs, results / "smartre", packets or PACKETS)
        say(smartreText(smartre))
        document["smartre"], equal = smartreToPlain(smartre), smartre.isRight
    if what == "clone":
        cloned = measureClone(rate or CLONE_RATE, turns, SLOTS)
        say(cloneText(cloned))
        document["clone"], equal = cloneToPlain(cloned), not cloned.missing
    if what == "migration":
        found = benchMigration(capture, packets or MIGRATED)
        say(migrationText(found))
        document["migration"], equal = migrationToPlain(found), areRight(found)
    if what in ("move", "all"):
        moved = measureMove(flows or MOVED_FLOWS, rate or LOAD, results.absolute(), profile)
        say(moveText(moved))
        document["move"], equal = moveToPlain(moved), equal and moved.verdict.equal
    if what in ("latency", "all"):
        late = measureLatency(flows or MOVED_FLOWS, rate or LOAD, turns, results.absolute())
        say(latencyText(late))
        document["latency"] = latencyToPlain(late)
    (results / "bench.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if equal else 1
