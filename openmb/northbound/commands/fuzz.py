"""
C{openmb fuzz}: hostile inputs for everything that reads what others wrote.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import BinaryIO

import click
from twisted.logger import globalLogBeginner

from openmb.testing.fuzzing.campaign import Finding, Tally, campaign, runInput, targetNames


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
    digest = hashlib.sha256(finding.data).hexdigest()[:8]
    path = folder / f"{finding.target.replace(' ', '-')}-{finding.seed}-{digest}.bin"
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
        # Ctrl-C is for this process alone, which then ends that one
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, process_group=0)
    if ran.returncode:
        click.echo(f"packets, seed {seed}: the process ended with status {ran.returncode}\n{ran.stderr}")
        return False
    told = json.loads(ran.stdout)
    how = "every index checked" if told["checked"] else "indices unchecked"
    rate = told["packets"] / told["seconds"]
    click.echo(
        f"packets, {how}: {told['packets']:,} in {told['seconds']:.0f} s, {rate:,.0f}/s, {told['grown']:+,} KiB; "
        f"{told['alone']:,} of them alone too"
    )
    return bool(told["checked"]) is checked


def replay(names: tuple[str, ...], data: bytes) -> None:
    """One input that was kept: does it still show anything?"""
    if len(names) != 1:
        raise click.UsageError("--input needs exactly one --target")
    error = runInput(names[0], data)
    if error is not None:
        raise SystemExit("".join(traceback.format_exception(error)))
    click.echo(f"{names[0]} has an answer to it")


def watchMemory() -> None:
    """What nobody needs is to go soon: no events kept until somebody logs them, no garbage saved up."""
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    gc.set_threshold(700, 10, 10)


@click.command("fuzz", short_help="Hostile inputs for everything that reads what others wrote.")
@click.option("--bytes", "total", default=5_000_000, show_default=True, type=click.IntRange(0), help="bytes of input")
@click.option("--packets", "count", default=200_000, show_default=True, type=click.IntRange(0), help="mutated packets")
@click.option("--seed", default=0, show_default=True, help="the first seed")
@click.option("--target", "names", multiple=True, help="only this target (may be repeated); default: all")
@click.option("--input", "given", type=click.File("rb"), help="only this input, such as was kept, to the one target")
@click.option(
    "--findings", default=Path(), type=click.Path(path_type=Path, file_okay=False), help="where they are kept"
)
def command(total: int, count: int, seed: int, names: tuple[str, ...], given: BinaryIO | None, findings: Path) -> None:
    """
    Spoil good inputs at random, in a repeatable way, and see that every reader answers with one of its own errors.

    Packets are tried twice, with every index checked and as they run in production, at the edge of protected memory.
    Exit status 1 when anything was found.
    """
    if unknown := set(names) - set(targetNames()):
        raise click.UsageError(f"no target {', '.join(sorted(unknown))}; there are: {', '.join(targetNames())}")
    if given is not None:
        replay(names, given.read())
        return
    watchMemory()
    tallies = campaign(total, seed, names, show) if total else {}
    found = [finding for tally in tallies.values() for finding in tally.findings]
    for finding in found:
        showFinding(finding, findings)
    sound = [packets(count, seed, checked) for checked in (True, False)] if count else []
    click.echo(f"{sum(tally.bytes for tally in tallies.values()):,} bytes of input, {len(found)} findings")
    if found or not all(sound):
        raise SystemExit(1)
