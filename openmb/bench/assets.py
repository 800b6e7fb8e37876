"""
PRADS beside the real program: the same capture, in turn, with what both write compared each time.
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openmb.bench.engine import Spent, runProcess
from openmb.bench.traffic import EPOCH
from openmb.errors import OperationError, Refusal
from openmb.packets.batch import LinkType, PacketBatch
from openmb.packets.stream import writeCapture

#: Packets, and thus connections and hosts at most, of the captures that memory is measured over.
MANY = 200_000
_SYN = bytes.fromhex("4500002800070000400600000a000000c0a80001" + "0400005000000001000000005002200000000000")

#: Runs a command from a small process: the memory of the one that starts it would count as the command's.
_SMALL = """
import os, sys
with open(sys.argv[1], "w") as place:
    child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
    _, status, used = os.wait4(child, 0)
    place.write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status) and 1)
"""


@dataclass(frozen=True, slots=True)
class Side:
    """
    One of the two programs.

    @ivar rates: packets per second of CPU time of the whole process, ascending.
    @ivar memory: KiB at most.
    @ivar connection: bytes of memory for one connection more; C{host}: for one host more, with one system.
    """

    rates: tuple[float, ...]
    memory: int
    connection: float
    host: float

    @property
    def median(self) -> float:
        """The median rate."""
        return self.rates[len(self.rates) // 2]


@dataclass(frozen=True, slots=True)
class AssetsResult:
    """
    What the two did.

    @ivar ratios: how many times as fast ours was in each turn, ascending.
    @ivar different: the files that were not equal in some turn.
    """

    packets: int
    real: Side
    ours: Side
    ratios: tuple[float, ...]
    different: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """The median."""
        return self.ratios[len(self.ratios) // 2]


def _run(command: Sequence[str], folder: Path) -> tuple[Spent, str]:
    """What a command took, and what it printed."""
    place = folder / "spent"
    _, text = runProcess([sys.executable, "-I", "-S", "-c", _SMALL, str(place), *command])
    seconds, memory = place.read_text(encoding="utf-8").split()
    return Spent(float(seconds), int(memory)), text


def _runReal(capture: Path, folder: Path) -> Spent:
    """The real program, not to be woken by its clock; C{said} is what it prints."""
    found = shutil.which("prads")
    if found is None:
        raise OperationError(Refusal.BAD_REQUEST, "the real program is not here: install the Debian package prads")
    log = folder / "real.log"
    log.unlink(missing_ok=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        spent, text = _run([found, "-x", "-l", str(log), "-r", str(capture)], folder)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    (folder / "said").write_text(text, encoding="utf-8")
    return spent


def _runOurs(capture: Path, folder: Path) -> Spent:
    for log in folder.glob("prads-*.log"):
        log.unlink()
    arguments = ["run", "prads", "--pcap", str(capture), "--logs", str(folder)]
    return _run([sys.executable, "-m", "openmb.northbound.cli", *arguments], folder)[0]


def _total(lines: Sequence[bytes]) -> list[bytes]:
    return [line for line in lines if line.startswith(b"-- Total")]


def _different(folder: Path) -> list[str]:
    """Which files of the two are not equal."""
    said = (folder / "said").read_bytes().splitlines()
    real = {
        "assets": (folder / "real.log").read_bytes().splitlines(),
        "connections": [line for line in said if line[:1].isdigit()],
        "statistics": _total(said),
    }
    files = {"assets": "prads-asset.log"} | {name: f"prads-{name}.log" for name in ("connections", "statistics")}
    lines = {name: (folder / file).read_bytes().splitlines() for name, file in files.items()}
    lines["statistics"] = _total(lines["statistics"])
    return [name for name in real if real[name] != lines[name]]


def _packets(folder: Path) -> int:
    return int(_total((folder / "prads-statistics.log").read_bytes().splitlines())[0].rsplit(b":", 1)[1])


def synPackets(many: int, connections: int, hosts: int) -> PacketBatch:
    """So many packets, which open so many connections, of so many hosts."""
    number = np.arange(many) % connections
    host, place = number % hosts, number // hosts
    rows = np.zeros((many, 54), np.uint8)
    rows[:, 12] = 8
    rows[:, 14:] = np.frombuffer(_SYN, np.uint8)
    for shift in range(3):
        rows[:, 29 - shift] = host >> 8 * shift & 0xFF
        rows[:, 33 - shift] = (place // 60_000 >> 8 * shift & 0xFF) if shift < 2 else 0xA8
    port = 1024 + place % 60_000
    rows[:, 34], rows[:, 35] = port >> 8, port & 0xFF
    lengths = np.full(many, 54, np.uint32)
    stamps = EPOCH + 1000 * np.arange(many, dtype=np.int64)
    offsets = np.arange(many, dtype=np.int64) * 54
    return PacketBatch(rows.reshape(-1), offsets, lengths, lengths.copy(), stamps, LinkType.ETHERNET)


def _growth(run: Callable[[Path, Path], Spent], folder: Path, many: int) -> tuple[float, float]:
    """Bytes for one connection more, and for one host more."""
    memory = []
    for connections, hosts in ((1, 1), (many, 1), (many, many)):
        capture = folder / "many.pcap"
        writeCapture(capture, [synPackets(many, connections, hosts)])
        memory.append(run(capture, folder).memory * 1024)
        capture.unlink()
    return (memory[1] - memory[0]) / many, (memory[2] - memory[1]) / many


def measureAssets(capture: Path, folder: Path, runs: int, many: int = MANY) -> AssetsResult:
    """
    Run both over C{capture} in turn, C{runs} times after a warm-up.

    @param many: packets of the captures that memory is measured over.
    @raise OperationError: the real program is not here, or one of them failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    real: list[Spent] = []
    ours: list[Spent] = []
    different: set[str] = set()
    for turn in range(runs + 1):
        pair = _runReal(capture, folder), _runOurs(capture, folder)
        different |= set(_different(folder))
        if turn:
            real.append(pair[0])
            ours.append(pair[1])
    packets = _packets(folder)
    ratios = sorted(one.seconds / other.seconds for one, other in zip(real, ours, strict=True))
    return AssetsResult(
        packets,
        _side(packets, real, _growth(_runReal, folder, many)),
        _side(packets, ours, _growth(_runOurs, folder, many)),
        tuple(ratios),
        tuple(sorted(different)),
    )


def _side(packets: int, spent: Sequence[Spent], growth: tuple[float, float]) -> Side:
    return Side(tuple(sorted(packets / one.seconds for one in spent)), max(one.memory for one in spent), *growth)
