"""Runs Bro middleboxes in tests and reads their logs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from openmb.packets.batch import PacketBatch
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.settings import BroSettings
from openmb.state.headers import HeaderFieldList

EVERYTHING = HeaderFieldList()
Row = dict[str, str]


def readLog(path: Path) -> list[Row]:
    """The rows of a tab-separated log; none if the file is missing."""
    if not path.exists():
        return []
    rows, fields = [], []
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif line and not line.startswith("#"):
            rows.append(dict(zip(fields, line.split("\t"), strict=True)))
    return rows


def makeBro(folder: Path, **settings: object) -> BroMiddlebox:
    """A middlebox that logs into C{folder}, made for it."""
    folder.mkdir(parents=True)
    return BroMiddlebox(BroSettings(logs=folder, **settings))  # type: ignore[arg-type]


def end(middlebox: BroMiddlebox) -> None:
    """The input has ended: nothing is left that hangs on a record."""
    middlebox.finish()
    middlebox.flush()
    if not len(middlebox._own.table) and not middlebox._own.isEmpty:
        raise AssertionError(f"{len(middlebox._own.conversations)} conversations, ranges or records are left")


def runBatch(folder: Path, batch: PacketBatch, checksums: bool = True) -> list[Row]:
    """conn.log of one middlebox that saw the whole batch."""
    middlebox = makeBro(folder)
    middlebox.process(Decoder(checksums=checksums, ordered=False).decode(batch), None)
    end(middlebox)
    return readLog(folder / "conn.log")


def decodeCapture(path: Path, checksums: bool = False, limit: int = 4096) -> list[Decoded]:
    """All packets of a capture."""
    decoder = Decoder(checksums=checksums, ordered=False)
    return [decoder.decode(batch) for batch in openCapture(path).batches(limit)]


def runDecoded(folder: Path, packets: Iterable[Decoded], **settings: object) -> None:
    """One middlebox over all packets."""
    middlebox = makeBro(folder, **settings)
    for some in packets:
        middlebox.process(some, None)
    end(middlebox)


def sortedRows(*folders: Path) -> dict[str, list[tuple[str, ...]]]:
    """All rows of the logs in these folders together, sorted, by log."""
    found = {}
    for name in ("conn.log", "http.log", "dns.log"):
        found[name] = sorted(tuple(row.values()) for folder in folders for row in readLog(folder / name))
    return found
