"""
Rows of every log that a middlebox writes, each with its flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from openmb.errors import CaptureError
from openmb.testing.survival.traffic import Class

#: Where columns stand: the first five in every log, the counts of packets in conn.log.
_UID, _ENDS, _ORIGINATED, _RESPONDED = 1, slice(2, 6), 16, 18
_COMMON = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
#: How the line with the names of the columns begins.
_NAMES = "#fields\t"
#: How the clients' addresses begin.
_CLIENTS = "10."

#: A flow: the client's address and port.
Flow = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row.

    @ivar log: C{conn}, C{http}, C{dns}, …
    @ivar text: as it stands in the file.
    """

    log: str
    text: str

    @property
    def fields(self) -> list[str]:
        """Its columns."""
        return self.text.split("\t")

    @property
    def uid(self) -> str:
        """The connection's id, made of its ends and of the time of its first packet."""
        return self.fields[_UID]

    @property
    def flow(self) -> Flow:
        """Its flow; a row whose beginning was not seen may have the ends in the wrong order."""
        first, firstPort, second, secondPort = self.fields[_ENDS]
        return (first, int(firstPort)) if first.startswith(_CLIENTS) else (second, int(secondPort))

    @property
    def kind(self) -> Class:
        """The class of its flow."""
        first, _, second, _ = self.fields[_ENDS]
        return Class.of(int(ip_address(second if first.startswith(_CLIENTS) else first)))

    @property
    def packets(self) -> tuple[int, int]:
        """(conn) packets of the client and of the server that it counts."""
        fields = self.fields
        counts = int(fields[_ORIGINATED]), int(fields[_RESPONDED])
        return counts if fields[_ENDS][0].startswith(_CLIENTS) else (counts[1], counts[0])


class LogFolder:
    """
    The logs, whichever they are, that one middlebox, and those that take its place, write to one directory; remembers
    how far it has read.

    @ivar broken: lines that are no rows: cut off by a death in the middle of a write.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._read: dict[str, int] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self.broken: list[Row] = []

    def take(self) -> list[Row]:
        """
        The rows that were added since it was called last.

        @raise CaptureError: a log has no columns, or they do not say to which flow a row belongs.
        """
        found: list[Row] = []
        for path in sorted(self.directory.glob("*.log")):
            found += self._takeOf(path)
        return found

    def _takeOf(self, path: Path) -> list[Row]:
        log = path.stem
        with path.open("rb") as file:
            file.seek(self._read.get(log, 0))
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._read[log] = self._read.get(log, 0) + len(data)
        rows: list[Row] = []
        for line in data.decode().splitlines():
            if line.startswith(_NAMES):
                self._columns[log] = tuple(line.split("\t")[1:])
            elif not line.startswith("#"):
                rows.append(Row(log, line))
        if not rows:
            return []
        columns = self._columns.get(log, ())
        if columns[: len(_COMMON)] != _COMMON:
            raise CaptureError(f"{path}: which flow do rows with these columns belong to: {', '.join(columns)}?")
        self.broken += [row for row in rows if len(row.fields) != len(columns)]
        return [row for row in rows if len(row.fields) == len(columns)]
