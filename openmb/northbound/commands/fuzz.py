"""
C{openmb fuzz}: hostile inputs for everything that reads what others wrote.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from openmb.testing.fuzzing.campaign import Finding, Tally, campaign


def show(name: str, tally: Tally) -> None:
    """One line for a target."""
    rate = tally.inputs / max(tally.seconds, 1e-9)
    speed = tally.bytes / max(tally.seconds, 1e-9) / 1e6
    click.echo(
        f"{name:20} {tally.inputs:11,} inputs {tally.bytes:13,} bytes {rate:9,.0f}/s {speed:7.2f} MB/s "
        f"{tally.accepted / max(tally.inputs, 1):6.1%} accepted {tally.grown:+7,} KiB {tally.found} findings"
    )


def showFinding(finding: Finding, folder: Path) -> None:
    """What was found, and the input in a file."""
    path = folder / f"{finding.target.replace(' ', '-')}-{finding.seed}.bin"
    path.write_bytes(finding.data)
    click.echo(f"{finding.target}, seed {finding.seed}: {finding.reason}; input in {path}")


def packets(count: int, seed: int, checked: bool) -> bool:
    """Mutated packets in a process of their own; is all well?"""
    with tempfile.TemporaryDirectory(prefix="openmb-fuzz-") as cache:
        environment = dict(os.environ)
        if checked:
            environment.update(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=cache)
        words = ["--packets", str(count), "--seed", str(seed), *(["--checked"] if checked else [])]
        command = [sys.executable, "-m", "openmb.testing.fuzzing.packets", *words]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        click.echo(f"packets, seed {seed}: the process ended with status {ran.returncode}\n{ran.stderr}")
        return False
    told = json.loads(ran.stdout)
    how = "every index checked" if told["checked"] else "indices unchecked"
    rate = told["packets"] / told["seconds"]
    click.echo(f"packets, {how}: {told['packets']:,} in {told['seconds']:.0f} s, {rate:,.0f}/s, {told['grown']:+,} KiB")
    return bool(told["checked"]) is checked


@click.command("fuzz", short_help="Hostile inputs for everything that reads what others wrote.")
@click.option("--bytes", "total", default=5_000_000, show_default=True, type=click.IntRange(0), help="bytes of input")
@click.option("--packets", "count", default=200_000, show_default=True, type=click.IntRange(0), help="mutated packets")
@click.option("--seed", default=0, show_default=True, help="the first seed")
@click.option("--target", "names", multiple=True, help="only this target (may be repeated); default: all")
@click.option(
    "--findings", default=Path(), type=click.Path(path_type=Path, file_okay=False), help="where they are kept"
)
def command(total: int, count: int, seed: int, names: tuple[str, ...], findings: Path) -> None:
    """
    Spoil good inputs at random, in a repeatable way, and see that every reader answers with one of its own errors.

    Packets are tried twice, with every index checked and as they run in production, at the edge of protected memory.
    Exit status 1 when anything was found.
    """
    tallies = campaign(total, seed, names, show) if total else {}
    found = [finding for tally in tallies.values() for finding in tally.findings]
    for finding in found:
        showFinding(finding, findings)
    sound = [packets(count, seed, checked) for checked in (True, False)] if count else []
    click.echo(f"{sum(tally.bytes for tally in tallies.values()):,} bytes of input, {len(found)} findings")
    if found or not all(sound):
        raise SystemExit(1)
