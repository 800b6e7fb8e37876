"""Runs the real PRADS and ours in tests, and reads what they wrote."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.prads.homenets import DEFAULT as EVERYWHERE
from openmb.plugins.prads.homenets import parseHomes
from openmb.plugins.prads.output import ASSETS, CONNECTIONS, STATISTICS
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.plugins.prads.settings import SIGNATURES, PradsSettings
from openmb.plugins.prads.signatures.tables import Signatures
from openmb.plugins.prads.tasks import DEFAULT, Does
from openmb.plugins.prads.tracker import Rules
from tests.plugins.prads.needing import missing

EVERYTHING_ON = DEFAULT | Does.MAC | Does.STRAY_ACK


@dataclass(frozen=True, slots=True)
class Lines:
    """What was written: the asset log, connections, and the statistics that have numbers."""

    assets: list[bytes]
    connections: list[bytes]
    statistics: list[bytes]


def realLines(capture: Path, log: Path, *flags: str) -> Lines:
    """
    What the real program makes of a capture.

    @raise SkipTest: it is not here.
    """
    found = shutil.which("prads")
    if found is None:
        raise missing("the real program is not here: install the Debian package prads")
    # or it would end connections by the clock when a run takes a minute
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        command = [found, "-x", "-l", str(log), "-r", str(capture), *flags]
        ran = subprocess.run(command, capture_output=True, check=True, timeout=120)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    said = ran.stdout.splitlines()
    return Lines(
        log.read_bytes().splitlines(),
        [line for line in said if line[:1].isdigit()],
        [line for line in said if line.startswith(b"-- Total")],
    )


@cache
def rules(does: Does = DEFAULT, homes: str = EVERYWHERE) -> Rules:
    """
    The real signatures, compiled once.

    @raise SkipTest: they are not here.
    """
    if not SIGNATURES.is_dir():
        raise missing("no signature files: install the Debian package prads")
    if does != DEFAULT or homes != EVERYWHERE:
        known = rules()
        return Rules(known.signatures, known.servers, known.clients, known.datagrams, int(does), parseHomes(homes))
    return Rules.of(Signatures.read(SIGNATURES), does, parseHomes(homes))


def makePrads(folder: Path | None, does: Does = DEFAULT, homes: str = EVERYWHERE) -> PradsMiddlebox:
    """A middlebox that writes into C{folder}."""
    return PradsMiddlebox(PradsSettings(folder, does=does, homes=homes), rules(does, homes))


def decodeCapture(capture: Path, limit: int = 4096) -> list[Decoded]:
    """All packets of a capture, as they are."""
    decoder = Decoder(checksums=False, reassemble=False)
    return [decoder.decode(batch) for batch in openCapture(capture).batches(limit)]


def written(*folders: Path) -> Lines:
    """What is in the files of these folders, one after the other, with the header of the first."""
    assets: list[bytes] = []
    connections: list[bytes] = []
    for folder in folders:
        lines = (folder / ASSETS).read_bytes().splitlines()
        assets += lines[1:] if assets else lines
        connections += (folder / CONNECTIONS).read_bytes().splitlines()
    said = (folders[-1] / STATISTICS).read_bytes().splitlines()
    return Lines(assets, connections, [line for line in said if line.startswith(b"-- Total")])


def ourLines(capture: Path, folder: Path, does: Does = DEFAULT, homes: str = EVERYWHERE) -> Lines:
    """What ours makes of a capture."""
    middlebox = makePrads(folder, does, homes)
    for packets in decodeCapture(capture):
        failed = middlebox.process(packets, None).failed
        if failed:
            raise AssertionError(failed[0].reason)
    middlebox.finish()
    return written(folder)


def different(ours: Sequence[bytes], real: Sequence[bytes]) -> str:
    """The first place where two lists of lines differ, in words; empty if they do not."""
    for place, (mine, theirs) in enumerate(zip(ours, real, strict=False)):
        if mine != theirs:
            return f"line {place}: {mine!r} where the real program has {theirs!r}"
    return "" if len(ours) == len(real) else f"{len(ours)} lines where the real program has {len(real)}"
