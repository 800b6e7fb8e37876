"""Reads a capture in the plainest way, packet by packet with dpkt, and says what is in it."""

from __future__ import annotations

import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dpkt

Flow = tuple[int, str, int, str, int]
WEB_PORTS = (80, 8080)
NAMES_PORT = 53


@dataclass(frozen=True, slots=True)
class Web:
    """One packet with data of a web connection, or of DNS: when, which flow, from its client or not, its bytes."""

    stamp: float
    flow: Flow
    fromClient: bool
    data: bytes


@dataclass(slots=True)
class Facts:
    """What is in a capture: numbers, and the data of web connections and of DNS over UDP."""

    packets: int = 0
    first: float = 0.0
    last: float = 0.0
    badChecksums: int = 0
    fragments: int = 0
    resets: int = 0
    flows: set[Flow] = field(default_factory=set)
    packetsOf: Counter[str] = field(default_factory=Counter)
    bytesOf: Counter[str] = field(default_factory=Counter)
    protocols: Counter[str] = field(default_factory=Counter)
    web: list[Web] = field(default_factory=list)
    names: list[Web] = field(default_factory=list)
    perSecond: Counter[int] = field(default_factory=Counter)


def onesSum(data: bytes) -> int:
    """The Internet checksum of C{data}, 0 where a contained checksum is right (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(raw: bytes) -> str:
    """The text of an IPv4 or IPv6 address."""
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def isFragment(packet: Any) -> bool:
    """Whether an IP packet is a piece of a datagram."""
    if isinstance(packet, dpkt.ip.IP):
        return bool(packet.mf or packet.offset)
    return dpkt.ip.IP_PROTO_FRAGMENT in packet.extension_hdrs


def checksumsRight(packet: Any, raw: bytes) -> bool:
    """Whether the checksums of an IP packet that is no fragment are right: IPv4 header, TCP, UDP, ICMP, ICMPv6."""
    if isinstance(packet, dpkt.ip.IP):
        headerLength, total = packet.hl * 4, packet.len
        if onesSum(raw[:headerLength]):
            return False
    else:
        headerLength, total = 40, 40 + packet.plen
    if isFragment(packet):
        return True
    payload = raw[headerLength:total]
    protocol = packet.p if isinstance(packet, dpkt.ip.IP) else packet.nxt
    pseudo = b"" if protocol == 1 else packet.src + packet.dst + struct.pack("!II", len(payload), protocol)
    return onesSum(pseudo + payload) == 0


def flowOf(packet: Any) -> tuple[Flow, bool]:
    """The flow of a packet from its client's side, and whether the client sends it: by the servers' addresses."""
    ports = (packet.data.sport, packet.data.dport) if isinstance(packet.data, (dpkt.tcp.TCP, dpkt.udp.UDP)) else (0, 0)
    protocol = packet.p if isinstance(packet, dpkt.ip.IP) else packet.nxt
    source, target = address(packet.src), address(packet.dst)
    if serverOf(target):
        return (protocol, source, ports[0], target, ports[1]), True
    return (protocol, target, ports[1], source, ports[0]), False


def serverOf(text: str) -> str | None:
    """Which of the two servers an address belongs to, if any."""
    return {"10.9.0.10": "10", "fd09::10": "10", "10.9.0.20": "20", "fd09::20": "20"}.get(text)


def note(facts: Facts, stamp: float, frame: bytes) -> None:
    """Add one packet."""
    facts.packets += 1
    facts.last = stamp
    facts.perSecond[int(stamp - facts.first)] += 1
    packet = dpkt.ethernet.Ethernet(frame).data
    if not isinstance(packet, (dpkt.ip.IP, dpkt.ip6.IP6)):
        facts.protocols["not IP"] += 1
        return
    facts.badChecksums += not checksumsRight(packet, frame[14:])
    flow, fromClient = flowOf(packet)
    server = serverOf(flow[3]) or "neither"
    facts.packetsOf[server] += 1
    facts.bytesOf[server] += len(frame)
    version = "IPv6" if isinstance(packet, dpkt.ip6.IP6) else "IPv4"
    facts.protocols[f"{version} {type(packet.data).__name__}"] += 1
    if isFragment(packet):
        facts.fragments += 1
        return
    facts.flows.add(flow)
    if isinstance(packet.data, dpkt.tcp.TCP):
        facts.resets += bool(packet.data.flags & dpkt.tcp.TH_RST)
        if flow[4] in WEB_PORTS and packet.data.data:
            facts.web.append(Web(stamp, flow, fromClient, bytes(packet.data.data)))
    elif isinstance(packet.data, dpkt.udp.UDP) and flow[4] == NAMES_PORT:
        facts.names.append(Web(stamp, flow, fromClient, bytes(packet.data.data)))


def readFacts(path: Path) -> Facts:
    """Read a whole capture."""
    facts = Facts()
    with path.open("rb") as file:
        for stamp, frame in dpkt.pcap.Reader(file):
            facts.first = facts.first or stamp
            note(facts, stamp, frame)
    return facts


def openAt(facts: Facts, moments: list[float]) -> Iterator[tuple[float, Counter[str], Counter[str]]]:
    """
    For each moment (seconds from the first packet), per server: how many connections have a request in flight (the last
    data was the client's, the next is the server's), and how many a request half sent (the last data was the client's
    without the end of a header, and more of the client's comes).
    """
    byFlow: dict[Flow, list[Web]] = defaultdict(list)
    for item in facts.web:
        byFlow[item.flow].append(item)
    for moment in moments:
        pending: Counter[str] = Counter()
        half: Counter[str] = Counter()
        for flow, items in byFlow.items():
            before = [item for item in items if item.stamp <= facts.first + moment]
            after = items[len(before) :]
            if not before or not after or not before[-1].fromClient:
                continue
            server = serverOf(flow[3]) or "neither"
            if after[0].fromClient:
                half[server] += b"\r\n\r\n" not in before[-1].data
            else:
                pending[server] += 1
        yield moment, pending, half


def askedAt(facts: Facts, moments: list[float]) -> Iterator[tuple[float, Counter[str]]]:
    """For each moment (seconds from the first packet), per server: how many DNS queries over UDP wait for an answer."""
    answered = {(item.flow, item.data[:2]): item.stamp for item in facts.names if not item.fromClient}
    asked = [(item, answered.get((item.flow, item.data[:2]), 0.0)) for item in facts.names if item.fromClient]
    for moment in moments:
        at = facts.first + moment
        yield moment, Counter(serverOf(item.flow[3]) or "neither" for item, end in asked if item.stamp <= at < end)
