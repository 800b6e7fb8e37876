"""Datagrams made by hand, and analysers of datagrams put to the tests that all of them pass."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.analyzer import Analyzer, Finding, Surroundings

#: A direction (true: from the originator) and what it sends.
Datagram = tuple[bool, bytes]


def findingsOf(kind: type[Analyzer], datagrams: Iterable[Datagram], moving: bool = False) -> list[list[Finding]]:
    """What is found with each of C{datagrams}; C{moving}: the analyser is dumped and loaded between them."""
    around = Surroundings(tcp=False)
    analyzer, found = kind(around), []
    for originator, data in datagrams:
        analyzer.data(originator, data, 1)
        found.append(analyzer.findings)
        analyzer.findings = []
        if moving:
            analyzer = kind.load(analyzer.dump(), around)
    return found


def checkHostile(test: SynchronousTestCase, kind: type[Analyzer], examples: list[Datagram], seed: int) -> None:
    """Cut, mutated and random datagrams: nothing is thrown, a move changes nothing; and the same after odd dumps."""
    rng = random.Random(seed)
    for originator, data in examples:
        cuts: list[Datagram] = [(originator, data[:size]) for size in range(len(data))]
        test.assertEqual(findingsOf(kind, cuts), findingsOf(kind, cuts, moving=True))
    for _ in range(150):
        run = [(rng.random() < 0.5, _mutated(rng, rng.choice(examples)[1])) for _ in range(6)]
        run.append((rng.random() < 0.5, rng.randbytes(rng.randrange(80))))
        test.assertEqual(findingsOf(kind, run), findingsOf(kind, run, moving=True))
        analyzer = kind(Surroundings(tcp=False))
        for originator, data in run[:3]:
            analyzer.data(originator, data, 1)
        _loadMutated(rng, kind, analyzer.dump(), run)


def _loadMutated(rng: random.Random, kind: type[Analyzer], dump: bytes, run: list[Datagram]) -> None:
    for changed in (_mutated(rng, dump), dump[: rng.randrange(len(dump))], dump + b"\0"):
        try:
            analyzer = kind.load(changed, Surroundings(tcp=False))
        except OperationError:
            continue
        for originator, data in run:
            analyzer.data(originator, data, 1)
        analyzer.dump()


def _mutated(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(4)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(changed)


def dhcp(options: bytes, cookie: bytes = b"\x63\x82\x53\x63") -> bytes:
    """A DHCP message with these options."""
    return bytes((1, 1, 6, 0)) + bytes(232) + cookie + options


def ber(tag: int, contents: bytes) -> bytes:
    """A value in the Basic Encoding Rules."""
    if len(contents) < 128:
        return bytes((tag, len(contents))) + contents
    size = (len(contents).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(contents).to_bytes(size, "big") + contents


def snmp(pdu: bytes, version: int = 0) -> bytes:
    """A message of version 1 or 2c."""
    return ber(0x30, ber(2, bytes((version,))) + ber(4, b"public") + pdu)


def snmpPDU(tag: int = 0xA0, bindings: bytes | None = None) -> bytes:
    """A PDU that asks for one object."""
    if bindings is None:
        bindings = ber(0x30, ber(6, bytes.fromhex("2b06010201010500")) + ber(5, b""))
    return ber(tag, ber(2, b"\x12\x34") + ber(2, b"\0") + ber(2, b"\0") + ber(0x30, bindings))


def clientHello(version: int = 0xFEFD, extensions: bytes = b"") -> bytes:
    """The body of a ClientHello."""
    cookie = b"\0" if version in (0xFEFF, 0xFEFD) else b""
    return struct.pack(">H", version) + bytes(range(32)) + b"\0" + cookie + b"\0\2\xc0\x2b\1\0" + extensions


def handshake(body: bytes, kind: int = 1, number: int = 0, offset: int = 0, size: int | None = None) -> bytes:
    """A fragment of a handshake message, the whole of it when there is no C{size}."""
    part = body[offset : None if size is None else offset + size]
    lengths = len(body).to_bytes(3, "big") + struct.pack(">H", number)
    return bytes((kind,)) + lengths + offset.to_bytes(3, "big") + len(part).to_bytes(3, "big") + part


def dtlsRecord(body: bytes, kind: int = 22, version: int = 0xFEFF, sequence: int = 0, epoch: int = 0) -> bytes:
    """A record."""
    return struct.pack(">BHHHLH", kind, version, epoch, sequence >> 32, sequence & 0xFFFFFFFF, len(body)) + body
