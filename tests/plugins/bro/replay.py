"""
A small plain-Python replay of captures into L{DrivenHTTP}: for tests only.

TCP over IPv4 and IPv6 on Ethernet, Linux cooked and raw IP; blocks out of order wait, bytes that were acknowledged but
never seen are a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dpkt

from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from tests.plugins.bro.analyzers.driven import DrivenHTTP

#: Ports of HTTP, and two of captures whose HTTP Zeek knows by its signature.
PORTS = frozenset((80, 81, 631, 1080, 3128, 8000, 8080, 8888, 7080, 27272))


@dataclass
class Direction:
    """One direction of a connection: the next sequence number to deliver, and what came too early."""

    start: int | None = None
    next: int = 1
    early: dict[int, bytes] = field(default_factory=dict)
    end: int | None = None
    closed: bool = False
    size: int = 0

    def relative(self, number: int) -> int:
        """C{number} relative to the first one, as a signed distance near C{next}."""
        return self.next + ((number - (self.start or 0) - self.next + (1 << 31)) % (1 << 32)) - (1 << 31)


class Connection:
    """One connection, fed with the segments of both sides."""

    def __init__(self, useSkip: bool) -> None:
        self.parser = DrivenHTTP()
        self.sides = {True: Direction(), False: Direction()}
        self.rows: list[HTTPRow] = []
        self.partial = False
        self.useSkip = useSkip

    def segment(self, originator: bool, tcp: Any, payload: bytes, now: int) -> None:
        """One segment."""
        side, other = self.sides[originator], self.sides[not originator]
        syn = bool(tcp.flags & dpkt.tcp.TH_SYN)
        if side.start is None:
            side.start = tcp.seq if syn else (tcp.seq - 1) % (1 << 32)
            self.partial = self.partial or not syn
        if tcp.flags & dpkt.tcp.TH_RST:
            self.rows += self.parser.reset(now)
            return
        start = side.relative(tcp.seq) + syn
        if payload:
            side.early.setdefault(start, payload)
            side.size = max(side.size, start + len(payload) - 1)
        if tcp.flags & dpkt.tcp.TH_FIN:
            side.end = start + len(payload)
        if tcp.flags & dpkt.tcp.TH_ACK and other.start is not None:
            self.acknowledged(not originator, other.relative(tcp.ack), now)
        self.deliver(originator, now)

    def total(self) -> int:
        return self.sides[True].size + self.sides[False].size

    def deliver(self, originator: bool, now: int) -> None:
        """Hand on what is in order, and the end when it is reached."""
        side = self.sides[originator]
        while ready := [start for start in side.early if start <= side.next]:
            start = min(ready)
            data = side.early.pop(start)[side.next - start :]
            if data:
                side.next += len(data)
                self.hand(originator, data, now)
        if side.end is not None and side.next >= side.end and not side.closed:
            side.closed = True
            self.rows += self.parser.finished(originator, now, self.total())

    def hand(self, originator: bool, data: bytes, now: int) -> None:
        """Deliver bytes, passing over what the parser does not need."""
        size, skip = self.total(), self.parser.skip(originator) if self.useSkip else 0
        while self.useSkip and skip > 0 and data:
            taken = min(skip, len(data))
            self.rows += self.parser.skipped(originator, taken, now, size)
            data, skip = data[taken:], self.parser.skip(originator)
        if data and skip == 0:
            self.rows += self.parser.data(originator, data, now, size)

    def acknowledged(self, originator: bool, upTo: int, now: int) -> None:
        """The other side has C{upTo}: what is missing before it is a gap."""
        side = self.sides[originator]
        upTo = min(upTo, side.end) if side.end is not None else upTo
        while side.next < upTo:
            self.deliver(originator, now)
            to = min([upTo, *(start for start in side.early if start > side.next)])
            if side.next < to:
                self.rows += self.parser.gap(originator, to - side.next, now)
                side.next = to
        self.deliver(originator, now)


def segments(capture: Path) -> Iterator[tuple[int, Any, Any]]:
    """Time in nanoseconds, IP packet and TCP segment of every TCP packet of a capture."""
    with capture.open("rb") as file:
        try:
            reader: Any = dpkt.pcap.Reader(file)
        except ValueError:
            file.seek(0)
            reader = dpkt.pcapng.Reader(file)
        link = reader.datalink()
        for stamp, data in reader:
            try:
                ip = _network(link, data)
            except (dpkt.UnpackError, IndexError):
                continue
            tcp = getattr(ip, "data", None)
            if isinstance(tcp, dpkt.tcp.TCP):
                yield round(float(stamp) * 1_000_000) * 1000, ip, tcp


def _network(link: int, data: bytes) -> Any:
    if link == dpkt.pcap.DLT_LINUX_SLL:
        return dpkt.sll.SLL(data).data
    if link == dpkt.pcap.DLT_EN10MB:
        return dpkt.ethernet.Ethernet(data).data
    return dpkt.ip.IP(data) if data[0] >> 4 == 4 else dpkt.ip6.IP6(data)


@dataclass(frozen=True)
class Result:
    """What one connection gave."""

    originator: str
    originatorPort: int
    responder: str
    responderPort: int
    rows: list[HTTPRow]
    parser: DrivenHTTP


def replay(capture: Path, useSkip: bool) -> list[Result]:
    """The rows of every connection of C{capture} that goes to an HTTP port and began with a SYN."""
    open_: dict[tuple[Any, ...], Connection] = {}
    done: list[tuple[tuple[Any, ...], Connection]] = []
    now = 0
    for now, ip, tcp in segments(capture):
        key = (ip.src, tcp.sport, ip.dst, tcp.dport)
        swapped = (ip.dst, tcp.dport, ip.src, tcp.sport)
        starts = tcp.flags & (dpkt.tcp.TH_SYN | dpkt.tcp.TH_ACK) == dpkt.tcp.TH_SYN
        old = open_.get(key)
        if old is not None and starts and old.sides[True].closed:
            done.append((key, open_.pop(key)))
        if key not in open_ and swapped not in open_:
            if tcp.dport not in PORTS and not (tcp.sport in PORTS and not starts):
                continue
            open_[key if tcp.dport in PORTS else swapped] = Connection(useSkip)
        payload = bytes(tcp.data)[: _payloadLength(ip, tcp)]
        if key in open_:
            open_[key].segment(True, tcp, payload, now)
        else:
            open_[swapped].segment(False, tcp, payload, now)
    done += open_.items()
    return [_result(key, connection, now) for key, connection in done if not connection.partial]


def _payloadLength(ip: Any, tcp: Any) -> int:
    return int(ip.len - ip.hl * 4 - tcp.off * 4) if isinstance(ip, dpkt.ip.IP) and ip.len else len(tcp.data)


def _result(key: tuple[Any, ...], connection: Connection, now: int) -> Result:
    rows = connection.rows + connection.parser.removed(now)
    source, sourcePort, destination, destinationPort = key
    address = dpkt.utils.inet_to_str
    return Result(address(source), sourcePort, address(destination), destinationPort, rows, connection.parser)
