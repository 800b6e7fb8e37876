"""
Rows of conn.log and http.log, each with its flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from openmb.plugins.bro.reporting.connections import CONNECTION_COLUMNS
from openmb.plugins.bro.reporting.output import HTTP_COLUMNS
from openmb.testing.survival.traffic import Class

LOGS = ("conn", "http")
COLUMNS = {"conn": len(CONNECTION_COLUMNS), "http": len(HTTP_COLUMNS)}
#: Where columns stand.
_UID, _ENDS, _ORIGINATED, _RESPONDED = 1, slice(2, 6), 16, 18
#: How the clients' addresses begin.
_CLIENTS = "10."

#: A flow: the client's address and port.
Flow = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row.

    @ivar log: C{conn} or C{http}.
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
    The logs that one middlebox, and those that take its place, write to one directory; remembers how far it has read.

    @ivar broken: lines that are no rows: cut off by a death in the middle of a write.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._read = dict.fromkeys(LOGS, 0)
        self.broken: list[Row] = []

    def take(self) -> list[Row]:
        """The rows that were added since it was called last."""
        found: list[Row] = []
        for log in LOGS:
            found += self._takeOf(log)
        return found

    def _takeOf(self, log: str) -> list[Row]:
        path = self.directory / f"{log}.log"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read[log])
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._read[log] += len(data)
        rows = [Row(log, line) for line in data.decode().splitlines() if not line.startswith("#")]
        self.broken += [row for row in rows if len(row.fields) != COLUMNS[log]]
        return [row for row in rows if len(row.fields) == COLUMNS[log]]
