"""
A small replay of captures into L{DNSAnalyzer}: for tests only.

Every UDP packet from or to a port of DNS, also inside IPv6 over IPv4; connections end as in Zeek, ten seconds or more
after their last packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded, Kind
from openmb.plugins.bro.analyzers.analyzer import Sign, Surroundings
from openmb.plugins.bro.analyzers.dns.analyzer import DNSAnalyzer
from openmb.plugins.bro.analyzers.dns.entries import DNSRow
from openmb.plugins.bro.reporting.dnslog import DNS_COLUMNS, dnsValues
from openmb.plugins.bro.reporting.logs import TSVFormat, Value
from openmb.state.addresses import wordsAddress

PORTS = frozenset((53, 137, 5353, 5355))
SECOND = 1_000_000_000
_SIX_IN_FOUR = 41

End = tuple[str, int]


@dataclass(frozen=True)
class Datagram:
    """One UDP packet."""

    now: int
    source: End
    destination: End
    data: bytes


@dataclass
class Connection:
    """One connection."""

    originator: End
    responder: End
    last: int
    check: int
    analyzer: DNSAnalyzer = field(default_factory=lambda: DNSAnalyzer(Surroundings(tcp=False)))
    messages: int = 0
    signs: list[Sign] = field(default_factory=list)
    rows: list[DNSRow] = field(default_factory=list)

    def deliver(self, datagram: Datagram) -> None:
        """One packet of either side."""
        group = (
            int(self.responder[0].split(".")[0]) >= 224 if "." in self.responder[0] else self.responder[0][:2] == "ff"
        )
        data = datagram.data
        if len(data) >= 12 and not self.messages:
            if data[2] & 128 and datagram.source == self.originator and not group:
                self.originator, self.responder = self.responder, self.originator
            self.messages = 1
        around = self.analyzer.around
        around.ports, around.toGroup = (self.originator[1], self.responder[1]), group
        self.analyzer.data(datagram.source == self.originator, data, datagram.now)
        self.collect()

    def collect(self) -> None:
        """Take the findings."""
        for each in self.analyzer.findings:
            if isinstance(each, DNSRow):
                self.rows.append(each)
            elif isinstance(each, Sign):
                self.signs.append(each)
        self.analyzer.findings.clear()

    def remove(self, now: int) -> None:
        """The end."""
        self.analyzer.removed(now)
        self.collect()

    def texts(self) -> list[tuple[str, ...]]:
        """The rows as they stand in the log, without the connection's id."""
        ends: list[Value] = [*self.originator, *self.responder]
        layout = TSVFormat("dns", DNS_COLUMNS)
        lines = (layout.row(dnsValues(row, "", ends))[:-1].split("\t") for row in self.rows)
        return [(line[0], *line[2:]) for line in lines]


def _datagrams(decoded: Decoded) -> Iterator[Datagram]:
    for index, header in enumerate(decoded.headers):
        begin, length = int(header["payload"]), min(int(header["length"]), int(header["captured"]))
        packet = decoded.packets.packet(index)
        if header["kind"] == Kind.OTHER and header["protocol"] == _SIX_IN_FOUR:
            inner = packet[int(header["transport"]) :]
            yield from _datagrams(Decoder().decode(packetBatch([inner], [int(header["stamp"])], LinkType.RAW)))
        elif header["kind"] == Kind.UDP:
            source = (str(wordsAddress(header["source_high"], header["source_low"])), int(header["source_port"]))
            destination = (
                str(wordsAddress(header["destination_high"], header["destination_low"])),
                int(header["destination_port"]),
            )
            yield Datagram(int(header["stamp"]), source, destination, packet[begin : begin + length])


def datagrams(capture: Path) -> Iterator[Datagram]:
    """The UDP packets of C{capture} that have to do with DNS."""
    decoder = Decoder(checksums=False)
    for batch in openCapture(capture).batches():
        for each in _datagrams(decoder.decode(batch)):
            if {each.source[1], each.destination[1]} & PORTS:
                yield each


def replay(capture: Path) -> list[Connection]:
    """The connections of C{capture}, all ended."""
    open_: dict[frozenset[End], Connection] = {}
    done: list[Connection] = []
    now = 0
    for each in datagrams(capture):
        now = max(now, each.now)
        key = frozenset((each.source, each.destination))
        old = open_.get(key)
        while old is not None and now >= old.check:
            if now - old.last >= 9 * SECOND:
                done.append(open_.pop(key))
                old = None
            else:
                old.check = now + 10 * SECOND
        if old is None:
            turned = each.source[1] in PORTS and each.destination[1] not in PORTS
            ends = (each.destination, each.source) if turned else (each.source, each.destination)
            old = open_[key] = Connection(*ends, now, now + 10 * SECOND)
        old.last = now
        old.deliver(each)
    done += open_.values()
    for connection in done:
        connection.remove(now)
    return done
