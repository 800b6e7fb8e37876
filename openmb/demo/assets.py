"""
The verdict on PRADS: what two instances found and logged against the one that saw everything, and the real program.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openmb.errors import CaptureError
from openmb.plugins.prads.output import ASSETS, CONNECTIONS, STATISTICS

#: Host, sort, port and protocol, which system: the same for everybody who finds it, from whatever packet.
Fact = tuple[str, str, str, str]
#: Kinds of lines that are about a service at a port.
_OF_PORTS = frozenset(("SERVER", "CLIENT"))
#: Fields of a fingerprint before the system's name.
_FINGERPRINT = 6
_RECEIVED = "-- Total packets received from libpcap"
#: Seconds that the real program may take.
PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Assets:
    """
    What a run of two instances came to.

    @ivar facts: how many the reference has.
    @ivar split: lines that each instance wrote.
    @ivar missing: facts that only the reference has; C{surplus}: that it does not have.
    @ivar repeats: lines about a fact beyond those that the reference has.
    @ivar reworded: lines whose text the reference does not have: of a service used by a host PRADS keeps what it saw
        first, and the other instance saw something else first.
    @ivar packets: counted by both together, and by the reference.
    @ivar connections: lines about connections that only one side has, ids aside.
    """

    facts: int
    split: tuple[int, ...]
    missing: tuple[Fact, ...]
    surplus: tuple[Fact, ...]
    repeats: int
    reworded: int
    packets: tuple[int, int]
    connections: int

    @property
    def equal(self) -> bool:
        """The same facts, every packet and connection accounted for once."""
        agree = not (self.missing or self.surplus or self.connections) and self.packets[0] == self.packets[1]
        return self.facts > 0 and agree


def factsOf(path: Path) -> list[tuple[Fact, str]]:
    """
    What an asset log says: each fact, and the words for it.

    @raise CaptureError: a line is none of PRADS's.
    """
    lines = path.read_text("utf-8", "backslashreplace").splitlines()[1:]
    return [_fact(line) for line in lines]


def _fact(line: str) -> tuple[Fact, str]:
    head, opened, rest = line.partition("[")
    fields, text = head.split(","), rest.rpartition("]")[0]
    if len(fields) != _FINGERPRINT or not opened:
        raise CaptureError(f"no line of an asset log: {line!r}")
    host, _, port, protocol, sort, _ = fields
    if sort in _OF_PORTS:
        return (host, sort, f"{port}/{protocol}", ""), text
    if sort != "ARP":
        text = ":".join(text.split(":")[_FINGERPRINT:]).partition(":link:")[0].partition(":uptime:")[0]
    return (host, sort, "", text), text


def _connections(folders: Sequence[Path]) -> Counter[str]:
    """Lines about connections, without their ids: two instances each number their own."""
    lines = (line for each in folders for line in (each / CONNECTIONS).read_text("utf-8").splitlines())
    return Counter(line[:10] + line[line.index("|") :] for line in lines)


def _received(folder: Path) -> int:
    lines = (folder / STATISTICS).read_text("utf-8").splitlines()
    return next(int(line.rpartition(":")[2]) for line in lines if line.startswith(_RECEIVED))


def compareAssets(instances: Sequence[Path], reference: Path) -> Assets:
    """Hold the files in the directories C{instances} together against those of C{reference}."""
    parts, whole = [factsOf(each / ASSETS) for each in instances], factsOf(reference / ASSETS)
    wanted, found = Counter(fact for fact, _ in whole), Counter(fact for part in parts for fact, _ in part)
    words = set(whole)
    ours, theirs = _connections(instances), _connections([reference])
    different = (ours - theirs) + (theirs - ours)
    return Assets(
        len(wanted),
        tuple(map(len, parts)),
        tuple(sorted(set(wanted) - set(found))),
        tuple(sorted(set(found) - set(wanted))),
        sum((found - wanted).values()),
        sum(each not in words for part in parts for each in part),
        (sum(map(_received, instances)), _received(reference)),
        sum(different.values()),
    )


def realProgram(capture: Path, log: Path) -> bool | None:
    """
    Does the real program's asset log of C{capture} equal the one at C{log}?  None: it is not installed.

    @raise CaptureError: it fails.
    """
    program = shutil.which("prads")
    if program is None:
        return None
    own = log.with_name("real-prads-asset.log")
    own.unlink(missing_ok=True)
    # or it would end connections by the clock when a run takes a minute
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        command = [program, "-l", str(own), "-r", str(capture)]
        subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE)
    except (subprocess.SubprocessError, OSError) as error:
        raise CaptureError(f"the real program failed: {error}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return own.read_bytes() == log.read_bytes()
