"""
Targets made of packets: captures, pcap streams, application data.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from openmb.errors import CaptureError, OperationError, ProtocolError
from openmb.packets.capture import openCapture
from openmb.packets.stream import PcapStreamReader, writeCapture
from openmb.plugins.bro.analyzers.analyzer import Analyzer, Surroundings
from openmb.plugins.bro.analyzers.dns.rows import Queries
from openmb.plugins.bro.analyzers.http.rows import Pairing
from openmb.plugins.bro.analyzers.kinds import KINDS
from openmb.plugins.bro.service import Service
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


#: What the originator and the responder may say, for each analyser.
SPOKEN: dict[Service, tuple[bytes, ...]] = {
    Service.HTTP: (*REQUESTS, b"".join(REQUESTS)),
    Service.DNS: (
        bytes.fromhex("00171234010000010000000000000161026262000001000112348180000100010000000001610262620000010001"),
        bytes.fromhex("123481800001000100000000016102626200000c0001c00c000c00010000003c0004016103626262"),
    ),
    Service.SSL: (
        bytes.fromhex(
            "160301002d0100002903030000000000000000000000000000000000000000000000000000000000000000000002002f0100"
        ),
        bytes.fromhex("802e0100020015000000100100800300800700c0060040020080040080") + bytes(32),
        bytes.fromhex("15030100020228140301000101"),
    ),
    Service.DTLS: (b"\x16\xfe\xff" + bytes(9) + b"\x36\x01\0\0\x2a" + bytes(5) + b"\0\0\x2a\xfe\xfd" + bytes(40),),
    Service.SSH: (
        b"SSH-2.0-OpenSSH_9\r\n" + struct.pack("!IBB", 12, 4, 20) + bytes(10) + struct.pack("!IBB", 12, 4, 21),
        b"SSH-1.99-x\n" + bytes(64),
        b"SSH-1.5-x\n" + struct.pack("!I", 9) + bytes(7) + b"\x03" + bytes(20),
    ),
    Service.FTP: (
        b"USER a\r\nPASV\r\nEPSV\r\nPORT 1,2,3,4,5,6\r\nEPRT |2|::1|99|\r\nAUTH TLS\r\n",
        b"220-x\r\n220 y\r\n331 z\r\n227 (1,2,3,4,5,6)\r\n229 (|||77|)\r\n234 go\r\n",
    ),
    Service.SMTP: (b"EHLO x\r\nMAIL a\r\nDATA\r\n.\r\nSTARTTLS\r\n", b"220 x\r\n250-a\r\n250 b\r\n354 go\r\n220 y\r\n"),
    Service.POP3: (
        b"CAPA\r\nUSER a\r\nLIST\r\nAUTH PLAIN\r\n\r\nSTLS\r\n",
        b"+OK\r\na\r\n.\r\n-ERR x\r\n+ \r\n+OK\r\n",
    ),
    Service.IMAP: (b"a capability\r\nb STARTTLS\r\nc login {3}\r\nabc\r\n", b"* OK x\r\n* CAPABILITY y\r\nb OK z\r\n"),
    Service.DHCP: (b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63\x35\1\1\x37\3\1\2\3\0\xff",),
    Service.NTP: (b"\x1b" + bytes(47), b"\x16\2" + bytes(10), b"\x17\0\3\x2a" + bytes(4)),
    Service.SNMP: (
        bytes.fromhex("302602010104067075626c6963a219020101020100020100300e300c06082b060102010101000500"),
        bytes.fromhex("303e020103301102042b5a6ba0020300ffe30401040201030410300e0400020100020100040004000400")
        + bytes.fromhex("301404000400a00e020419a44a4902010002010030 00".replace(" ", "")),
    ),
    Service.RDP: (
        bytes.fromhex("030000130ee000000000000100080003000000"),
        bytes.fromhex("030000130ed000001234000200080001000000"),
    ),
}
#: Datagrams have edges.
_DATAGRAMS = (Service.DTLS, Service.DHCP, Service.NTP, Service.SNMP)


def analyzers() -> Iterator[Target]:
    """Each analyser, both directions, in pieces, with gaps, passed over as it allows, dumped and loaded on the way."""
    for service, seeds in SPOKEN.items():
        run = partial(_speak, KINDS[service], service in _DATAGRAMS)
        yield Target(f"{service.text} analyser", run, (), list(seeds), WORDS)


def _speak(kind: type[Analyzer], isDatagram: bool, data: bytes) -> None:
    """Feed C{data} to an analyser."""
    dice = random.Random(len(data) * 31 + (data[0] if data else 0))
    around = Surroundings(tcp=not isDatagram)
    analyzer, position, now = kind(around), 0, 1
    while position < len(data):
        size, client = len(data) if isDatagram else dice.choice((1, 3, 20, 200, 2000)), dice.random() < 0.5
        part = data[position : position + size]
        skip = analyzer.skip(client)
        if skip > 0 and dice.random() < 0.5:
            analyzer.skipped(client, min(skip, len(part)), now)
        elif dice.random() < 0.03:
            analyzer.gap(client, dice.choice((1, 100, 1 << 40)), now)
        elif skip >= 0:
            analyzer.data(client, part, now)
        analyzer.findings.clear()
        if dice.random() < 0.05 or isDatagram:
            around = _again(around)
            analyzer = _loaded(kind, analyzer.dump(), around)
        position += size
        now += 1
    analyzer.finished(True, now)
    analyzer.removed(now)


def _again(around: Surroundings) -> Surroundings:
    """The open rows, dumped and loaded."""
    return Surroundings(
        around.tcp, requests=Pairing.load(around.requests.dump()), queries=Queries.load(around.queries.dump())
    )


def _loaded(kind: type[Analyzer], dump: bytes, around: Surroundings) -> Analyzer:
    analyzer = kind.load(dump, around)
    if analyzer.dump() != dump:
        raise AssertionError("a dump that is loaded is dumped as something else")
    return analyzer


def dumps() -> Target:
    """States of analysers as another middlebox might send them; one that is accepted must work."""
    seeds = []
    for service, spoken in SPOKEN.items():
        for text in spoken:
            for cut in (0, 7, len(text) // 2, len(text) - 1):
                analyzer = KINDS[service](Surroundings(tcp=service not in _DATAGRAMS))
                analyzer.data(cut % 2 == 0, text[:cut], 1)
                seeds.append(bytes((service,)) + analyzer.dump())

    def run(data: bytes) -> None:
        if not data or data[0] not in KINDS:
            return
        around = Surroundings(tcp=data[0] not in _DATAGRAMS)
        try:
            analyzer = KINDS[data[0]].load(data[1:], around)
        except OperationError:
            return
        for text in SPOKEN[Service(data[0])]:
            for client in (True, False):
                if analyzer.skip(client) >= 0:
                    analyzer.data(client, text, 5)
        analyzer.dump()
        analyzer.removed(6)

    return Target("analyser dumps", run, (), seeds, WORDS)
