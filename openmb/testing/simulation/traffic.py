"""
Traffic for one history: flows of several kinds, their packets in order of arrival at the switch.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from openmb.packets.batch import PacketBatch, packetBatch

#: Packet time of simulated time 0, in seconds.
EPOCH = 1_700_000_000

SYN, ACK, FIN, RST, PSH = 2, 16, 1, 4, 8


def address(text: str) -> bytes:
    """The four bytes of an IPv4 address."""
    return bytes(map(int, text.split(".")))


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    total = int(sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])))
    if len(data) & 1:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(source: bytes, destination: bytes, protocol: int, payload: bytes) -> bytes:
    """An Ethernet frame around one IPv4 packet."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0, source, destination)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00" + head + payload


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Client and server of one flow."""

    client: bytes
    clientPort: int
    server: bytes
    serverPort: int

    def segment(self, fromClient: bool, flags: int, sequence: int, acknowledgement: int, data: bytes = b"") -> bytes:
        """One TCP segment."""
        ports = (self.clientPort, self.serverPort) if fromClient else (self.serverPort, self.clientPort)
        ends = (self.client, self.server) if fromClient else (self.server, self.client)
        tcp = struct.pack("!HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, acknowledgement, 0x50, flags, 8192, 0, 0)
        total = checksum(ends[0] + ends[1] + struct.pack("!BBH", 0, 6, 20 + len(data)) + tcp + data)
        return ipv4(*ends, 6, tcp[:16] + struct.pack("!H", total) + tcp[18:] + data)

    def datagram(self, fromClient: bool, data: bytes) -> bytes:
        """One UDP datagram (without a checksum)."""
        ports = (self.clientPort, self.serverPort) if fromClient else (self.serverPort, self.clientPort)
        ends = (self.client, self.server) if fromClient else (self.server, self.client)
        return ipv4(*ends, 17, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data)

    def echo(self, fromClient: bool, number: int) -> bytes:
        """One ICMP echo request or reply."""
        ends = (self.client, self.server) if fromClient else (self.server, self.client)
        body = struct.pack("!BBHHH", 8 if fromClient else 0, 0, 0, 77, number) + b"abcdefgh"
        return ipv4(*ends, 1, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


#: One step of a conversation: from the client?, the packet, and the relative length of the pause before it.
Exchange = Iterator[tuple[bool, bytes, float]]


def webConversation(rng: random.Random, ends: Endpoints) -> Exchange:
    """HTTP with some requests on one connection, split at awkward places, ended in several ways or not at all."""
    c, s = rng.getrandbits(32), rng.getrandbits(32)
    yield True, ends.segment(True, SYN, c, 0), 1.0
    if rng.random() < 0.08:
        return
    yield False, ends.segment(False, SYN | ACK, s, (c + 1) & 0xFFFFFFFF), 0.2
    c, s = c + 1, s + 1
    yield True, ends.segment(True, ACK, c, s & 0xFFFFFFFF), 0.1
    for number in range(rng.randrange(1, 4)):
        request = f"GET /{ends.clientPort}/{number} HTTP/1.1\r\nHost: h{rng.randrange(9)}.test\r\n\r\n".encode()
        cut = rng.randrange(1, len(request))
        for part in (request[:cut], request[cut:]):
            yield True, ends.segment(True, ACK | PSH, c, s & 0xFFFFFFFF, part), rng.uniform(0.1, 2)
            c += len(part)
        body = rng.randbytes(rng.randrange(0, 60))
        reply = f"HTTP/1.1 {rng.choice([200, 404])} OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        cut = rng.randrange(1, len(reply))
        for part in (reply[:cut], reply[cut:]):
            yield False, ends.segment(False, ACK | PSH, s, c & 0xFFFFFFFF, part), rng.uniform(0.1, 2)
            s += len(part)
        yield True, ends.segment(True, ACK, c, s & 0xFFFFFFFF), 0.1
    end = rng.random()
    if end < 0.6:
        yield True, ends.segment(True, FIN | ACK, c, s & 0xFFFFFFFF), rng.uniform(0.1, 2)
        yield False, ends.segment(False, FIN | ACK, s, (c + 1) & 0xFFFFFFFF), 0.2
        yield True, ends.segment(True, ACK, c + 1, (s + 1) & 0xFFFFFFFF), 0.1
    elif end < 0.75:
        yield rng.random() < 0.5, ends.segment(True, RST | ACK, c, s & 0xFFFFFFFF), 0.5


def datagramConversation(rng: random.Random, ends: Endpoints) -> Exchange:
    """UDP both ways."""
    for _ in range(rng.randrange(1, 8)):
        fromClient = rng.random() < 0.55
        yield fromClient, ends.datagram(fromClient, rng.randbytes(rng.randrange(1, 80))), rng.uniform(0.1, 2)


def echoConversation(rng: random.Random, ends: Endpoints) -> Exchange:
    """Ping and its replies."""
    for number in range(rng.randrange(1, 5)):
        yield True, ends.echo(True, number), rng.uniform(0.2, 2)
        if rng.random() < 0.9:
            yield False, ends.echo(False, number), 0.1


@dataclass(frozen=True, slots=True)
class Traffic:
    """
    All packets of a history.

    @ivar times: when each reaches the switch, in seconds of simulated time, rising.
    @ivar packets: the frames; C{stamps} are only filled in by the switch.
    @ivar flows: which flow (conversation) each packet belongs to.
    @ivar fromClient: which direction it goes.
    @ivar datagrams: for a fragment, the number of its datagram, else -1; empty: there are no fragments.
    """

    times: list[float]
    packets: list[bytes]
    flows: list[int]
    fromClient: list[bool]
    flowCount: int
    datagrams: list[int] = field(default_factory=list)

    def batch(self) -> PacketBatch:
        """Every packet, stamped with its time of arrival."""
        return packetBatch(self.packets, [stampOf(time) for time in self.times])


def stampOf(time: float) -> int:
    """Packet time, in ns, of a moment of simulated time."""
    return EPOCH * 1_000_000_000 + int(time * 1e9)


def makeTraffic(rng: random.Random, span: float, flows: int, servers: list[str]) -> Traffic:
    """Flows that begin all over C{span} seconds; some use the addresses and ports of an earlier one again."""
    steps: list[tuple[float, int, bool, bytes]] = []
    used: list[Endpoints] = []
    for flow in range(flows):
        kind = rng.choices((webConversation, datagramConversation, echoConversation), (7, 2, 1))[0]
        ends = Endpoints(
            address(f"10.0.{rng.randrange(2)}.{rng.randrange(1, 30)}"),
            rng.randrange(1024, 65000),
            address(rng.choice(servers)),
            80 if kind is webConversation else rng.choice((514, 9999)),
        )
        if used and rng.random() < 0.2:
            ends = rng.choice(used)
        used.append(ends)
        time = rng.random() * span * 0.9
        pace = span * rng.choice((0.002, 0.01, 0.04))
        for fromClient, packet, pause in kind(rng, ends):
            time += pause * pace * rng.uniform(0.3, 1.7)
            steps.append((time, flow, fromClient, packet))
    steps.sort(key=lambda step: step[0])
    return Traffic(
        [step[0] for step in steps],
        [step[3] for step in steps],
        [step[1] for step in steps],
        [step[2] for step in steps],
        flows,
    )
