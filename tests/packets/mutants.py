"""
Good packets of every kind, spoilt in a repeatable way, and a fingerprint of what decoding makes of them.

Run as a program it prints the fingerprint: the kernels must give the same one compiled, bounds-checked and in plain
Python.  Each packet is decoded as the only one of its batch, so that a load beyond its end leaves the array.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from random import Random

from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.marker import buildMarker
from openmb.packets.pcap import PcapHeader, scanRecords, writeRecords
from openmb.testing.fuzzing.canary import canaryRaises
from tests.packets.build import CLIENT6, SERVER6, ethernet, fragment6, icmp, ip4, ip6, tcp, udp

BETWEEN6 = (CLIENT6, SERVER6)
LINKS = (*LinkType, 104)


def seeds() -> list[bytes]:
    """Packets of every kind that the decoder knows."""
    four = ip4(tcp(b"payload", options=b"\x01" * 12))
    six = ip6(tcp(b"payload", between=BETWEEN6))
    chain = bytes((43, 0)) + bytes(6) + bytes((51, 4, 0, 1)) + bytes(20) + bytes((17, 2, 0, 0)) + bytes(12)
    return [
        ethernet(four),
        ethernet(six, 0x86DD),
        ethernet(ip4(udp(b"question", check=0), 17)),
        ethernet(ip4(icmp(8, 0, b"echo"), 1)),
        ethernet(ip6(icmp(128, 0, b"echo", BETWEEN6), 58), 0x86DD),
        ethernet(ip6(chain + udp(b"x", between=BETWEEN6), 0), 0x86DD),
        ethernet(ip6(bytes((6, 4, 0, 1)) + bytes(36) + tcp(between=BETWEEN6), 43), 0x86DD),
        ethernet(ip4(bytes(24), 17, fragment=0x2003)),
        ethernet(ip4(udp(bytes(16)), 17, fragment=0x2000)),
        ethernet(ip6(fragment6(bytes(24), 17, 0, False), 44), 0x86DD),
        ethernet(struct.pack("!HHHH", 5, 0x8100, 6, 0x0800) + four, 0x88A8),
        ethernet(bytes.fromhex("0001004000020140") + six, 0x8847),
        ethernet(bytes.fromhex("1100000100500021") + four, 0x8864),
        ethernet(four, 40)[:14] + bytes.fromhex("aaaa030000000800") + four,
        ethernet(bytes(2) + ethernet(six, 0x86DD), 0x8903),
        ethernet(bytes(4) + ethernet(four), 0x88E7),
        ethernet(bytes(4) + b"\x08\x00" + four, 0x8926),
        b"\x02\0\0\0" + four,
        b"\0\0\0\x1e" + six,
        bytes(14) + b"\x08\x00" + four,
        b"\x86\xdd" + bytes(18) + six,
        four,
        six,
        buildMarker(1, bytes(16), 2, False),
        *tunnels(),
    ]


def tunnels() -> list[bytes]:
    """Packets inside tunnels of every kind."""
    four = ip4(tcp(b"inside"))
    six = ip6(udp(b"inside", between=BETWEEN6), 17)
    frame = ethernet(struct.pack("!HH", 5, 0x86DD) + six, 0x8100)
    return [
        ethernet(ip4(four, 4)),
        ethernet(ip4(six, 41)),
        ethernet(ip6(six, 41), 0x86DD),
        ethernet(ip4(ip6(ip4(four, 4), 4), 41)),
        ethernet(ip4(ip4(tcp(b"inside"), fragment=0x2000), 4)),
        ethernet(ip4(ip6(fragment6(bytes(16), 17, 8, True), 44), 41)),
        ethernet(ip4(bytes.fromhex("b000080000000000000000010000000a") + four + bytes(3), 47)),
        ethernet(ip6(bytes.fromhex("000086dd") + six, 47), 0x86DD),
        ethernet(ip4(bytes.fromhex("00006558") + frame, 47)),
        ethernet(ip4(bytes.fromhex("100088be00000001") + bytes(8) + frame, 47)),
        ethernet(ip4(bytes.fromhex("000022eb") + bytes(11) + b"\x01" + bytes(8) + frame, 47)),
        ethernet(ip4(bytes.fromhex("3081880b000000000000000100000002ff030021") + four, 47)),
        bytes(14) + b"\x08\x00" + ip4(six, 41),
    ]


def spoil(packet: bytes, random: Random) -> bytes:
    """Some bytes changed, or the end cut off, or both."""
    made = bytearray(packet)
    for _ in range(random.randrange(4)):
        made[random.randrange(len(made))] = random.choice(
            (0, 1, 4, 5, 6, 0x45, 0x60, 0x7F, 0x80, 0xFF, random.randrange(256))
        )
    return bytes(made[: random.randrange(len(made) + 1)] if random.randrange(3) == 0 else made)


def mutants(count: int, seed: int = 1) -> list[tuple[bytes, int, int]]:
    """C{count} packets, each with a link type and a length on the wire."""
    random = Random(seed)
    good = seeds()
    packets = [spoil(random.choice(good), random) for _ in range(count)]
    return [(packet, random.choice(LINKS), len(packet) + random.choice((0, 0, 0, 40))) for packet in packets]


def alone(packet: bytes, link: int, wire: int) -> PacketBatch:
    return packetBatch([packet], [17], link, [wire])


def fingerprint(count: int) -> str:
    """A digest of all headers, with and without checksums, and of records written, read whole and read cut off."""
    digest = hashlib.sha256()
    for checksums in (False, True):
        decoder = Decoder(checksums)
        for packet, link, wire in mutants(count):
            decoded = decoder.decode(alone(packet, link, wire))
            digest.update(decoded.headers.tobytes())
            digest.update(decoded.packets.packet(0))
        digest.update(repr(decoder.counts).encode())
    for packet, link, wire in mutants(count // 4):
        digest.update(recordsOf(alone(packet, link, wire), len(packet) % 19))
    return digest.hexdigest()


def recordsOf(batch: PacketBatch, cut: int) -> bytes:
    records = writeRecords(batch, True)
    data = packetBatch([records[: len(records) - cut]], [0]).data
    found = b""
    for bigEndian in (False, True):
        scan = scanRecords(data, 0, PcapHeader(1, True, bigEndian), 4, 262144)
        found += bytes((scan.ending, len(scan.batch))) + scan.batch.stamps.tobytes() + scan.batch.offsets.tobytes()
    return records + found


if __name__ == "__main__":
    if "checked" in sys.argv:
        sys.stdout.write("checked " if canaryRaises() else "unchecked ")
    sys.stdout.write(fingerprint(int(sys.argv[1])))
