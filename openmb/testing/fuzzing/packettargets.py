"""
Targets made of packets: captures, pcap streams, application data.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

from openmb.errors import CaptureError, OperationError, ProtocolError
from openmb.packets.capture import openCapture
from openmb.packets.stream import PcapStreamReader, writeCapture
from openmb.plugins.bro.analyzers.http.parser import HTTPParser
from openmb.plugins.bro.analyzers.ssh import SSHWatcher
from openmb.testing.fuzzing.target import Target
from openmb.testing.simulation.traffic import makeTraffic

REQUESTS = (
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
    b"POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, worldHTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 206 Partial\r\nContent-Type: multipart/byteranges; boundary=x\r\n\r\n--x\r\n\r\nab\r\n--x--\r\n",
    b"CONNECT h:443 HTTP/1.1\r\nVia: a\r\nAuthorization: Basic YTpi\r\n\r\n\x16\x03\x01",
)
WORDS = (
    *(b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b":", b"HTTP/1.1 ", b"HTTP/0.9", b"chunked\r\n", b"\xff", b"\x00"),
    *(b"Content-Length: 99999999999999999999\r\n", b"Content-Range: bytes 0-9/10\r\n", b"ffffffffffffffff\r\n", b"-1"),
    *(b"HEAD / HTTP/1.1\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"--x\r\n"),
)


def small(folder: Path) -> list[bytes]:
    """Captures of a few conversations each, in pcap of both resolutions, and in pcapng of both byte orders."""
    found = []
    for seed in range(4):
        batch = makeTraffic(random.Random(seed), 3.0, 3, ["10.1.0.1"]).batch()
        path = folder / "small.pcap"
        writeCapture(path, [batch], nanoseconds=bool(seed & 1))
        found.append(path.read_bytes())
    return [*found, *(pcapng(order, bytes(batch.packet(0))) for order in "<>")]


def pcapng(order: str, packet: bytes) -> bytes:
    """C{packet} in blocks of every type, with options, in a byte order."""

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    def block(kind: int, body: bytes) -> bytes:
        size = len(padded(body)) + 12
        return struct.pack(order + "II", kind, size) + padded(body) + struct.pack(order + "I", size)

    def options(*some: tuple[int, bytes]) -> bytes:
        return b"".join(struct.pack(order + "HH", code, len(data)) + padded(data) for code, data in (*some, (0, b"")))

    resolution, offset = (9, b"\x09"), (14, struct.pack(order + "q", 3))
    size = len(packet), len(packet)
    first = block(1, struct.pack(order + "HHI", 1, 0, 65535) + options((2, b"eth0"), (4, bytes(8)), resolution, offset))
    second = block(1, struct.pack(order + "HHI", 101, 0, 100) + options((9, b"\x94")))
    enhanced = struct.pack(order + "IIIII", 0, 1, 2, *size) + padded(packet) + options((1, b"a word"), (2, bytes(4)))
    names = struct.pack(order + "HH", 1, 6) + padded(bytes((10, 1, 0, 1)) + b"a\0") + struct.pack(order + "HH", 0, 0)
    return b"".join(
        (
            block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + options((4, b"somebody"))),
            *(first, second, block(6, enhanced), block(3, struct.pack(order + "I", len(packet)) + packet)),
            block(2, struct.pack(order + "HHIIII", 1, 0, 3, 4, *size) + padded(packet) + options()),
            block(5, struct.pack(order + "III", 0, 1, 2) + options((4, bytes(8)), (5, bytes(8)))),
            *(block(4, names + options((2, b"ns"))), block(0xBAD, bytes(8)), block(6, enhanced)),
        )
    )


def captures(folder: Path) -> Target:
    """Files that claim to be captures."""
    path = folder / "fuzzed"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        for batch in openCapture(path).batches(64):
            for place in range(len(batch)):
                batch.packet(place)

    words = [b"\xd4\xc3\xb2\xa1", b"\n\r\r\n", b"\x06\0\0\0", b"\x01\0\0\0", b"\xff\xff\xff\xff"]
    return Target("captures", run, (CaptureError,), small(folder), words)


def streams(folder: Path) -> Target:
    """Pcap streams in pieces."""
    seeds = [seed for seed in small(folder) if not seed.startswith(b"\n\r\r\n")]

    def run(data: bytes) -> None:
        reader = PcapStreamReader()
        for start in range(0, len(data), 97):
            reader.feed(data[start : start + 97])
        reader.finish()

    return Target("pcap streams", run, (ProtocolError,), seeds, [b"\xd4\xc3\xb2\xa1", b"\xff\xff\xff\xff"])


def requests() -> Target:
    """HTTP in both directions, in pieces, with gaps, passed over as the parser allows, dumped and loaded on the way."""

    def run(data: bytes) -> None:
        dice = random.Random(len(data) * 31 + (data[0] if data else 0))
        parser, position, now = HTTPParser(), 0, 1
        while position < len(data):
            size, client = dice.choice((1, 3, 20, 200, 2000)), dice.random() < 0.5
            part = data[position : position + size]
            skip = parser.skip(client)
            if skip > 0 and dice.random() < 0.5:
                parser.skipped(client, min(skip, len(part)), now)
            elif dice.random() < 0.03:
                parser.gap(client, dice.choice((1, 100, 1 << 40)), now)
            else:
                parser.data(client, part, now, position)
            if dice.random() < 0.05:
                dumped = parser.dump()
                parser = HTTPParser.load(dumped)
                if parser.dump() != dumped:
                    raise AssertionError("a dump that is loaded is dumped as something else")
            position += size
            now += 1
        parser.finished(True, now)
        parser.removed(now)

    return Target("HTTP", run, (), [*REQUESTS, b"".join(REQUESTS)], WORDS)


def dumps() -> Target:
    """States of parsers as another middlebox might send them; one that is accepted must work."""
    seeds = []
    for cut in range(20, 200, 20):
        for text in REQUESTS:
            parser = HTTPParser()
            parser.data(cut % 40 == 0, text[:cut], 1)
            seeds.append(parser.dump())
    watcher = SSHWatcher()
    watcher.data(True, b"SSH-2.0-x\r\n", 1)
    seeds.append(watcher.dump())

    def run(data: bytes) -> None:
        for kind in (HTTPParser, SSHWatcher):
            try:
                parser = kind.load(data)
            except OperationError:
                continue
            for text in REQUESTS[:3]:
                for client in (True, False):
                    parser.skip(client)
                    parser.data(client, text, 5, 100)
            parser.dump()
            parser.removed(6)

    return Target("parser dumps", run, (), seeds, WORDS)


def shells() -> Target:
    """The beginning of SSH connections."""

    def run(data: bytes) -> None:
        watcher = SSHWatcher()
        for start in range(0, len(data), 13):
            watcher.data(start % 2 == 0, data[start : start + 13], 1)
        SSHWatcher.load(watcher.dump())

    seeds = [b"SSH-2.0-OpenSSH_9\r\n" + struct.pack("!IBB", 12, 4, 20) + bytes(10), b"SSH-1.99-x\n" + bytes(64)]
    return Target("SSH", run, (), seeds, [b"\xff\xff\xff\xff", b"SSH-", b"\n", b"\x15"])
