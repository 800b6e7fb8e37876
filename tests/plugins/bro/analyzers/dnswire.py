"""Builds DNS messages and feeds them to L{DNSAnalyzer}: for tests only."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from openmb.plugins.bro.analyzers.analyzer import Finding, Sign, Surroundings
from openmb.plugins.bro.analyzers.dns.analyzer import DNSAnalyzer
from openmb.plugins.bro.analyzers.dns.entries import DNSRow
from openmb.plugins.bro.reporting.dnslog import DNS_COLUMNS, dnsValues
from openmb.plugins.bro.reporting.logs import TSVFormat

A, NS, CNAME, SOA, WKS, PTR, HINFO, MX, TXT, AAAA, LOC, SRV, NAPTR, A6, DNAME, OPT = (
    1, 2, 5, 6, 11, 12, 13, 15, 16, 28, 29, 33, 35, 38, 39, 41,
)  # fmt: skip
MILLISECOND = 1_000_000
START = 1_600_000_000_000_000_000

#: Where the first question's name begins: what a compressed name mostly points to.
QUESTION = b"\xc0\x0c"


def name(text: str) -> bytes:
    """Labels, uncompressed."""
    return b"".join(bytes((len(label),)) + label.encode("latin-1") for label in text.split(".") if label) + b"\0"


def question(text: str = "www.example.com", kind: int = A, group: int = 1) -> bytes:
    """A question."""
    return name(text) + struct.pack("!HH", kind, group)


def record(kind: int, data: bytes, owner: bytes = QUESTION, lifetime: int = 300, group: int = 1) -> bytes:
    """A resource record."""
    return owner + struct.pack("!HHLH", kind, group, lifetime, len(data)) + data


def header(identifier: int, flags: int, *counts: int) -> bytes:
    """A header: flags, then up to four counts."""
    return struct.pack("!HHHHHH", identifier, flags, *counts, *(0,) * (4 - len(counts)))


def query(identifier: int = 7, *questions: bytes, flags: int = 0x0100) -> bytes:
    """A query; of the address of www.example.com unless told otherwise."""
    asked = questions or (question(),)
    return header(identifier, flags, len(asked)) + b"".join(asked)


def reply(*records: bytes, identifier: int = 7, flags: int = 0x8180, asked: Sequence[bytes] | None = None) -> bytes:
    """A reply with a question, the one of L{query} unless told otherwise, and C{records} in its answer section."""
    questions = [question()] if asked is None else asked
    return header(identifier, flags, len(questions), len(records)) + b"".join((*questions, *records))


def framed(*messages: bytes) -> bytes:
    """Messages as they go over TCP."""
    return b"".join(struct.pack("!H", len(each)) + each for each in messages)


def analyzer(tcp: bool = False, ports: tuple[int, int] = (40000, 53), toGroup: bool = False) -> DNSAnalyzer:
    """An analyser of a new connection."""
    return DNSAnalyzer(Surroundings(tcp, ports, toGroup))


def talk(subject: DNSAnalyzer, *messages: bytes, ended: bool = True) -> list[Finding]:
    """
    Feed datagrams a millisecond apart: queries from the originator, replies from the responder.

    @param ended: then the connection is removed.
    @return: what it found.
    """
    for number, data in enumerate(messages):
        subject.data(len(data) < 3 or not data[2] & 128, data, START + number * MILLISECOND)
    if ended:
        subject.removed(START + 1000 * MILLISECOND)
    found, subject.findings = subject.findings, []
    return found


def rows(found: list[Finding]) -> list[DNSRow]:
    """The rows among findings."""
    return [each for each in found if isinstance(each, DNSRow)]


def signs(found: list[Finding]) -> list[Sign]:
    """The signs among findings."""
    return [each for each in found if isinstance(each, Sign)]


def logged(row: DNSRow, ports: tuple[int, int] = (40000, 53)) -> dict[str, str]:
    """A row as it stands in the log."""
    values = dnsValues(row, "C", ("10.0.0.1", ports[0], "10.0.0.2", ports[1]))
    line = TSVFormat("dns", DNS_COLUMNS).row(values)
    return dict(zip((column.name for column in DNS_COLUMNS), line[:-1].split("\t"), strict=True))


def columns(*messages: bytes, ports: tuple[int, int] = (40000, 53)) -> dict[str, str]:
    """The only row that a conversation over UDP makes, as it stands in the log."""
    (row,) = rows(talk(analyzer(ports=ports), *messages))
    return logged(row, ports)
