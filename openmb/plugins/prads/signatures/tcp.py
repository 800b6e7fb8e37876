"""
The tables of systems: lines of PRADS's C{.fp} files, and the first of them that a fingerprint matches.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.errors import ConfigurationError
from openmb.plugins.prads.signatures.fingerprint import EOL, LETTERS, MOST_OPTIONS, MSS, NOP, SACK, SCALE, TIME, Check

BUCKETS = 241
FILES = {
    Check.SYN: "tcp-syn.fp",
    Check.SYNACK: "tcp-synack.fp",
    Check.FIN: "tcp-fin.fp",
    Check.RST: "tcp-rst.fp",
    Check.ACK: "tcp-stray-ack.fp",
}
_LINE = re.compile(rb"([0-9%*()ST]+):\s*(\d+):\s*(\d+):([0-9()*]+):([^:]+):([^ :]+):([^:]+):([^:]+)")
_OPTION = re.compile(rb"(T0|[NESTM.W?])(\*|%?\d+)?")
_SIMPLE = {b"N": NOP, b"E": EOL, b"S": SACK, b"T": TIME, b"T0": TIME}


class Window(enum.IntEnum):
    """How a signature gives the window."""

    EXACT = 0
    MULTIPLE = 1
    SEGMENTS = 2
    DATAGRAMS = 3


#: One line.  Of MSS and window scale a positive number is meant exactly, C{-n} as a multiple of n.
SIGNATURE = np.dtype(
    [
        ("line", "<i4"),
        ("size", "<i4"),
        ("window", "<i4"),
        ("maximum", "<i4"),
        ("scale", "<i4"),
        ("quirks", "<i4"),
        ("ttl", "<i4"),
        ("windowKind", "u1"),
        ("unfragmented", "u1"),
        ("timeless", "u1"),
        ("count", "u1"),
        ("options", "u1", 16),
    ]
)


@dataclass(frozen=True, slots=True)
class System:
    """What the lines of a file name."""

    name: bytes
    details: bytes


class Systems(NamedTuple):
    """
    The five tables, for kernels.

    @ivar signatures: L{SIGNATURE}C{[n]}, by table and bucket, in the order of the files.
    @ivar starts: C{int64[5, 242]}, where the signatures of each table's buckets begin.
    """

    signatures: NDArray[Any]
    starts: NDArray[np.int64]


def _parseOptions(text: bytes, made: Any) -> None:
    count = 0
    made["timeless"] = 1
    for found in _OPTION.finditer(text):
        letter, value = found[1], found[2] or b""
        if letter == b".":
            continue
        amount = -1 if value == b"*" else -int(value[1:]) if value.startswith(b"%") else int(value or b"0")
        if letter == b"M":
            made["maximum"] = amount
        elif letter == b"W":
            made["scale"] = amount
        elif letter == b"T":
            made["timeless"] = 0
        if count < MOST_OPTIONS:
            made["options"][count] = {b"M": MSS, b"W": SCALE, b"?": amount}.get(letter, _SIMPLE.get(letter, 0)) & 0xFF
            count += 1
    made["count"] = count


def _parseWindow(text: bytes, made: Any) -> None:
    kinds = {b"S": Window.SEGMENTS, b"T": Window.DATAGRAMS, b"%": Window.MULTIPLE}
    made["windowKind"] = kinds.get(text[:1], Window.EXACT)
    digits = re.search(rb"\d+", text)
    if text.startswith(b"*"):
        made["windowKind"], made["window"] = Window.MULTIPLE, 1
    else:
        made["window"] = int(digits[0]) if digits else 0


def parseLine(line: bytes, made: Any) -> System | None:
    """
    The signature of a line, C{made: SIGNATURE[()]} filled; None for one that is empty or a comment.

    @raise ValueError: it is none of them.
    """
    line = line.strip()
    if not line or line.startswith(b"#"):
        return None
    found = _LINE.match(line)
    if found is None:
        raise ValueError("not a signature")
    _parseWindow(found[1], made)
    made["ttl"], made["unfragmented"] = int(found[2]), int(found[3])
    made["size"] = 0 if found[4].startswith(b"*") else int(found[4])
    _parseOptions(found[5], made)
    made["quirks"] = 0
    for letter in found[6].decode("ascii"):
        if letter != ".":
            made["quirks"] |= LETTERS[letter]
    name = found[7]
    for prefix in (b"-", b"*", b"@"):
        name = name.removeprefix(prefix)
    return System(name, found[8])


def parseSystems(texts: Sequence[tuple[str, bytes]]) -> tuple[Systems, tuple[tuple[System, ...], ...]]:
    """
    The tables of files (names and contents, in the order of L{Check}), and what their lines name.

    @raise ConfigurationError: a line makes no sense.
    """
    tables, named, starts = [], [], np.zeros((len(texts), BUCKETS + 1), np.int64)
    total = 0
    for table, (name, text) in enumerate(texts):
        lines = text.split(b"\n")
        rows = np.zeros(len(lines), SIGNATURE)
        systems: list[System] = []
        for place, line in enumerate(lines):
            try:
                system = parseLine(line, rows[len(systems)])
            except (ValueError, KeyError, OverflowError) as error:
                raise ConfigurationError(f"{name}, line {place + 1}: {error}") from error
            if system is not None:
                rows[len(systems)]["line"] = len(systems)
                systems.append(system)
        rows = rows[: len(systems)]
        buckets = (rows["size"] << 2) ^ (rows["count"].astype(np.int32) << 1) ^ rows["unfragmented"] ^ rows["quirks"]
        buckets %= BUCKETS
        order = np.argsort(buckets, kind="stable")
        starts[table] = total + np.searchsorted(buckets[order], np.arange(BUCKETS + 1))
        tables.append(rows[order])
        named.append(tuple(systems))
        total += len(systems)
    return Systems(np.concatenate(tables), starts), tuple(named)


@njit(cache=True)
def _fits(value: Any, wanted: Any) -> Any:
    """Is a number the one that is meant, or a multiple of it?"""
    return value == wanted if wanted >= 0 else value % -wanted == 0


@njit(cache=True)
def _fitsWindow(window: Any, kind: Any, wanted: Any, maximum: Any) -> Any:
    if kind == 0:
        return window == wanted
    if kind == 1:
        return wanted > 0 and window % wanted == 0
    unit = np.int64(maximum)
    plain = np.int64(1460)
    if kind == 3:
        unit += 40
        plain = np.int64(1500)
    if maximum and window % unit == 0:
        return window // unit == wanted
    return window % plain == 0 and window // plain == wanted


@njit(cache=True)
def _matches(one: Any, found: Any) -> Any:
    """Does a signature match?"""
    size = np.int64(found["size"])
    if size and not (one["size"] == size or (one["size"] == 0 and size >= 100)):
        return False
    if one["count"] != found["count"] or one["timeless"] != (found["time"] == 0):
        return False
    if one["unfragmented"] != found["unfragmented"] or one["quirks"] != found["quirks"] or one["ttl"] < found["ttl"]:
        return False
    maximum = np.int64(found["maximum"])
    if not _fits(maximum, np.int64(one["maximum"])) or not _fits(np.int64(found["scale"]), np.int64(one["scale"])):
        return False
    if not _fitsWindow(np.int64(found["window"]), one["windowKind"], np.int64(one["window"]), maximum):
        return False
    i = 0
    while i < found["count"] and one["options"][i] == found["options"][i]:
        i += 1
    return i == found["count"]


@njit(cache=True)
def matchFingerprint(signatures: Any, starts: Any, check: Any, found: Any) -> Any:
    """
    The line of the first signature that matches, -1 for none.

    A packet that may be fragmented is tried a second time as one that may not, and stays one.
    """
    while True:
        bucket = np.int64(found["size"]) << 2 ^ np.int64(found["count"]) << 1
        bucket = (bucket ^ np.int64(found["unfragmented"]) ^ np.int64(found["quirks"])) % BUCKETS
        for place in range(starts[check, bucket], starts[check, bucket + 1]):
            if _matches(signatures[place], found):
                return np.int64(signatures[place]["line"])
        if found["unfragmented"]:
            return np.int64(-1)
        found["unfragmented"] = 1
