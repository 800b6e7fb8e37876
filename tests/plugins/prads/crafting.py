"""
TCP headers for tests of fingerprints: of any kind, broken ones too, each from an address of its own.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmb.plugins.prads.signatures.fingerprint import LETTERS, Check, Quirk
from openmb.plugins.prads.signatures.tcp import BUCKETS, Window

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
#: What a packet's flags must have for each check.
FLAGS = {Check.SYN: SYN, Check.SYNACK: SYN | ACK, Check.FIN: FIN, Check.RST: RST, Check.ACK: ACK}
#: A morning of January 2024: long enough ago for the real program's time-outs.
SECONDS = 1_704_090_000
SERVER_PORT = 9999


@dataclass(frozen=True, slots=True)
class Segment:
    """
    What a packet says of itself, true or not.

    @ivar size: IP total length, or payload length of IPv6; None: the true one.
    @ivar words: header length of TCP; None: the true one.
    @ivar padding: bytes behind it all.
    @ivar identification: of IPv4; the flow label of IPv6.
    """

    check: Check
    flags: int
    four: bool = True
    ttl: int = 64
    unfragmented: bool = True
    identification: int = 7
    internet: bytes = b""
    size: int | None = None
    window: int = 5840
    sequence: int = 99
    acknowledged: int = 0
    urgent: int = 0
    reserved: int = 0
    words: int | None = None
    options: bytes = b""
    payload: bytes = b""
    padding: bytes = b""
    tag: int | None = None


def frame(one: Segment, number: int) -> bytes:
    """The frame of a segment from host C{number}."""
    port = 1024 + number % 60000
    words = 5 + (len(one.options) + 3) // 4 if one.words is None else one.words
    tcp = struct.pack("!HHIIBBHHH", port, SERVER_PORT, one.sequence, one.acknowledged, words << 4 | one.reserved,
                      one.flags, one.window, 0, one.urgent) + one.options + one.payload  # fmt: skip
    ethernet = bytes(12) + (b"" if one.tag is None else struct.pack("!HH", 0x8100, one.tag))
    if one.four:
        size = 20 + len(one.internet) + len(tcp) if one.size is None else one.size
        first = 0x45 + len(one.internet) // 4
        fragment = 0x4000 if one.unfragmented else 0
        head = struct.pack("!BBHHHBBHII", first, 0, size, one.identification, fragment, one.ttl, 6, 0,
                           0x0A000000 + number, 0xC0A80001) + one.internet  # fmt: skip
        return ethernet + b"\x08\x00" + head + tcp + one.padding
    size = len(tcp) if one.size is None else one.size
    head = struct.pack("!IHBB", 0x60000000 | one.identification & 0xFFFFF, size, 6, one.ttl)
    addresses = b"\x20\x01\x0d\xb8" + number.to_bytes(12, "big") + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x99"
    return ethernet + b"\x86\xdd" + head + addresses + tcp + one.padding


def writeSegments(path: Path, segments: Sequence[Segment]) -> None:
    """A capture of segments, each host's preceded by one that only makes the connection known, where that matters."""
    records = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for number, one in enumerate(segments, 1):
        data = [frame(one, number)]
        if one.check in (Check.FIN, Check.RST, Check.ACK):
            data.insert(0, frame(Segment(one.check, 0, one.four, tag=one.tag), number))
        records += [struct.pack("<IIII", SECONDS + number // 50, 0, len(each), len(each)) + each for each in data]
    path.write_bytes(b"".join(records))


def anyOption(dice: random.Random) -> bytes:
    """One option; every tenth is none."""
    kind = dice.choice((0, 1, 1, 2, 2, 3, 4, 4, 5, 8, 8, 9, 19, 30, 253))
    if dice.random() < 0.1:
        return bytes((kind,)) + dice.randbytes(dice.randrange(5))
    if kind in (0, 1):
        return bytes((kind,))
    if kind == 2:
        return struct.pack("!BBH", 2, 4, dice.choice((1460, 1440, 1380, 536, 265, 0, dice.randrange(65536))))
    if kind == 3:
        return bytes((3, 3, dice.choice((0, 1, 2, 7, dice.randrange(256)))))
    if kind == 8:
        return struct.pack("!BBII", 8, 10, dice.choice((0, dice.getrandbits(32))), dice.choice((0, 0, 77)))
    length = 0 if kind == 4 else dice.choice((0, 0, 2, 6, dice.randrange(33)))
    return bytes((kind, length + 2)) + dice.randbytes(length)


def anySegment(dice: random.Random) -> Segment:
    """A segment of any kind."""
    check = dice.choice(list(Check))
    four = dice.random() < 0.7
    options = b"".join(anyOption(dice) for _ in range(dice.randrange(8)))[:40]
    if dice.random() < 0.1:
        options = dice.choice((b"\1" * 40, bytes(40), b"\4\2" * 16, b"\1" * dice.randrange(41)))
    maximum = dice.choice((1460, 1500, 1440, 536, 576, 1))
    payload = dice.choice((b"", b"", b"x" * dice.randrange(1, 9)))
    whole = 5 + (len(options) + 3) // 4
    # beyond the packet the real program reads what an earlier one has left, so these headers end inside
    inside = min(5 + (len(options) + len(payload)) // 4, 14)
    words = dice.choice((None, None, None, dice.randrange(inside + 1)))
    if words is None and whole > inside:
        options += dice.choice((b"\0\0\0", b"\1\1\1", dice.randbytes(3)))[: -len(options) % 4]
    if check in (Check.SYN, Check.SYNACK) and dice.random() < 0.1:
        words = dice.randrange(16) if options else 4

    def often(part: float, *others: int) -> int:
        return dice.choice(others) if dice.random() < part else 0

    return Segment(
        check,
        FLAGS[check]
        | often(0.3, *((PSH, URG, 0x40, 0x80, FIN, 0xC0) if check != Check.ACK else (PSH, URG, 0x40)))
        | often(0.5, *((ACK,) if check in (Check.FIN, Check.RST) else (0,))),
        four,
        ttl=dice.choice((0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, dice.randrange(256))),
        unfragmented=dice.random() < 0.6,
        identification=dice.choice((0, 1, 0xFFFF)),
        internet=dice.choice((b"", b"", b"", bytes(4), bytes(40))),
        size=dice.choice((None, None, None, 0, 40, 60, 99, 100, 101, dice.randrange(65536))),
        window=dice.choice((0, 12345, maximum * dice.randrange(40), dice.randrange(65536))),
        sequence=dice.choice((0, 1, 1, dice.getrandbits(32))),
        acknowledged=often(0.5, 1, dice.getrandbits(32)),
        urgent=often(0.1, 1, 0xFFFF),
        reserved=often(0.1, 1, 15),
        words=words,
        options=options,
        payload=payload,
        padding=dice.choice((b"", b"", b"", bytes(6))),
        tag=often(0.2, 5, 0xE00A) or None,
    )


def _option(kind: int, signature: Any, maximum: int, stamp: int, second: int) -> bytes:
    if kind in (0, 1):
        return bytes((kind,))
    if kind == 2:
        return struct.pack("!BBH", 2, 4, maximum)
    if kind == 3:
        scale = int(signature["scale"])
        return bytes((3, 3, 201 if scale == -1 else abs(scale)))
    if kind == 8:
        return struct.pack("!BBII", 8, 10, stamp, second)
    return bytes((kind, 2))


def _window(signature: Any, maximum: int, isPlain: bool) -> int:
    amount, kind = int(signature["window"]), int(signature["windowKind"])
    if kind == Window.SEGMENTS:
        return amount * (1460 if isPlain else maximum)
    if kind == Window.DATAGRAMS:
        return amount * (1500 if isPlain else maximum + 40)
    return 12347 if kind == Window.MULTIPLE and amount == 1 else amount


def isMakeable(signature: Any) -> bool:
    """
    Is there a packet with such options and quirks?

    Options fill whole words, and what fills them up are options, too; bytes after the end of options are options.
    """
    kinds = signature["options"][: signature["count"]].tolist()
    if signature["quirks"] & Quirk.PAST and 0 not in kinds[:-1]:
        return False
    sizes = {0: 1, 1: 1, 2: 4, 3: 3, 8: 10}
    return bool(signature["quirks"] & Quirk.BROKEN) or sum(sizes.get(kind, 2) for kind in kinds) % 4 == 0


def _sizes(signature: Any, check: Check, true: int) -> list[int]:
    """IP lengths under which the line is found."""
    size = int(signature["size"])
    if size or check == Check.ACK:
        return [size or true]
    rest = int(signature["count"]) << 1 ^ int(signature["unfragmented"]) ^ int(signature["quirks"])
    return [each for each in range(max(100, true), 4000) if (each << 2 ^ rest) % BUCKETS == rest % BUCKETS][:2]


def segmentsFor(signature: Any, check: Check) -> list[Segment]:
    """Segments that the signature is meant for; those of some cannot be."""
    quirks = int(signature["quirks"])
    has = {letter: bool(quirks & bit) for letter, bit in LETTERS.items()}
    kinds = [int(kind) for kind in signature["options"][: signature["count"]]]
    maximum = int(signature["maximum"])
    found = []
    for base, isPlain in [(abs(maximum) if maximum else 0, False)] + (
        [(1460, False), (1380, False), (1400, True)] if maximum == -1 else []
    ):
        window = _window(signature, base, isPlain or not base)
        stamp = 0 if signature["timeless"] else 360_000
        options = b"".join(_option(kind, signature, base, stamp, 5 * has["T"]) for kind in kinds)
        if has["!"]:
            options += b"\x1e\x00"
        options += bytes(-len(options) % 4) if has["!"] else b""
        ends = {len(options) + 3 & ~3, len(options) & ~3}
        for length in sorted(each for each in ends if each <= 40):
            for four in (True, False):
                internet = bytes(4) if four and has["I"] else b""
                payload = b"x" * 8 if has["D"] else b""
                true = (20 + len(internet) if four else 0) + 20 + length + len(payload)
                flags = FLAGS[check] | (URG if has["F"] and check != Check.FIN else 0)
                flags |= ACK if has["K"] or has["N"] else 0
                acknowledged = 88 if has["A"] else 0
                sequence = acknowledged if has["Q"] else 0 if has["0"] else 99
                body = options + bytes(max(length - len(options), 0))
                found += [
                    Segment(
                        *(check, flags, four, int(signature["ttl"]) & 0xFF, bool(signature["unfragmented"])),
                        identification=5 if has["L"] or (four and not has["Z"]) else 0,
                        internet=internet,
                        size=size,
                        window=window & 0xFFFF,
                        sequence=sequence,
                        acknowledged=acknowledged,
                        urgent=3 * has["U"],
                        reserved=1 * has["X"],
                        words=5 + length // 4,
                        options=body,
                        payload=payload,
                    )
                    for size in _sizes(signature, check, true)
                ]
    return found
