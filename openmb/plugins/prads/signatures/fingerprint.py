"""
The fingerprint of one TCP packet: what PRADS takes from its headers and options, and the text of it.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numba import njit

#: Options that are looked at: PRADS's bound.
MOST_OPTIONS = 15

#: One fingerprint.  C{size}: IP total length (IPv6: payload length); C{options}: C{count} kinds in order; C{maximum},
#: C{scale}, C{time}: the last MSS, window scale and time stamp; C{quirks}: L{Quirk} bits.
FINGERPRINT = np.dtype(
    [
        ("time", "<u4"),
        ("size", "<i4"),
        ("window", "<i4"),
        ("maximum", "<i4"),
        ("scale", "<i4"),
        ("quirks", "<i4"),
        ("ttl", "u1"),
        ("unfragmented", "u1"),
        ("count", "u1"),
        ("options", "u1", 16),
    ]
)


class Check(enum.IntEnum):
    """What is fingerprinted; in the order of the tables."""

    SYN = 0
    SYNACK = 1
    FIN = 2
    RST = 3
    ACK = 4


class Quirk(enum.IntFlag):
    """Oddities of a packet."""

    PAST = 1  # bytes after the end of options
    ZERO_ID = 2  # IP identification, or flow label, of zero
    IP_OPTIONS = 4
    URGENT = 8
    RESERVED = 0x10
    ACK = 0x20  # an acknowledgement number
    TIME = 0x40  # a second time stamp
    FLAGS = 0x80  # flags that are not usual
    DATA = 0x100
    BROKEN = 0x200  # options that make no sense
    RST_ACK = 0x400
    EQUAL = 0x800  # sequence and acknowledgement numbers
    ZERO_SEQUENCE = 0x1000
    FIN_ACK = 0x2000
    FLOW_LABEL = 0x4000


#: Letters of quirks in signature files.
LETTERS = dict(zip("PZIUXATFD!KQ0NL", Quirk, strict=True))
#: And the order in which they are written.
_WRITTEN = [(letter, int(LETTERS[letter])) for letter in "KQ0PZIUXATFDNL!"]

EOL, NOP, MSS, SCALE, SACK, TIME = 0, 1, 2, 3, 4, 8
_FIN, _SYN, _RST, _PUSH, _ACK = 1, 2, 4, 8, 16
_USUAL = _SYN | _RST | _ACK | 0x40 | 0x80
_SYN_CHECK, _FIN_CHECK, _RST_CHECK, _ACK_CHECK = (int(each) for each in (Check.SYN, Check.FIN, Check.RST, Check.ACK))
_PAST, _ZERO, _IP, _URGENT, _RESERVED, _ACKED, _SECOND, _FLAGS, _DATA, _BROKEN, _K, _Q, _0, _N, _L = map(int, Quirk)


@njit(cache=True)
def octet(data: Any, place: Any, stop: Any) -> Any:
    """One byte; 0 at or behind C{stop}."""
    return np.int64(data[place]) if place < stop else np.int64(0)


@njit(cache=True)
def number(data: Any, place: Any, stop: Any, size: Any) -> Any:
    """A big-endian number of C{size} bytes, at most 8."""
    total = np.uint64(0)
    for i in range(size):
        total = (total << np.uint64(8)) | np.uint64(octet(data, place + i, stop))
    return total


@njit(cache=True)
def _readOptions(data: Any, place: Any, left: Any, stop: Any, end: Any, made: Any) -> Any:
    """Read C{left} bytes of options from C{place} on; the quirks they have."""
    quirks = np.int64(0)
    count = 0
    while left > 0:
        kind = octet(data, place, stop)
        place += 1
        left -= 1
        if kind == EOL:
            if left > 0:
                quirks |= _PAST
        elif kind == SACK:
            place += 1
            left -= 1
        elif kind != NOP:
            if kind == MSS:
                length = np.int64(3)
            elif kind == SCALE:
                length = np.int64(2)
            elif kind == TIME:
                length = np.int64(9)
            else:
                length = octet(data, place, stop) - 1
                if place + 1 > end or length < 0 or length > 32:
                    quirks |= _BROKEN
                    break
            # how far an option of another kind reaches is not looked at
            if kind in (MSS, SCALE, TIME) and place + length > end:
                quirks |= _BROKEN
                break
            if kind == MSS:
                made["maximum"] = np.int64(number(data, place + 1, stop, 2))
            elif kind == SCALE:
                made["scale"] = octet(data, place + 1, stop)
            elif kind == TIME:
                made["time"] = np.uint32(number(data, place + 1, stop, 4))
                if number(data, place + 5, stop, 4):
                    quirks |= _SECOND
            place += length
            left -= length
        made["options"][count] = kind
        count += 1
        if count >= MOST_OPTIONS or (left > 0 and place >= end):
            quirks |= _BROKEN
            break
    made["count"] = count
    return quirks


@njit(cache=True)
def readFingerprint(
    data: Any, network: Any, transport: Any, stop: Any, end: Any, four: Any, check: Any, made: Any
) -> Any:
    """
    The fingerprint of the TCP packet whose headers begin at C{network} and C{transport}; false if it has none.

    @param stop: where the captured bytes end; what lies behind is zero.
    @param end: where PRADS believes that the packet ends.
    @param check: a L{Check}.
    @param made: L{FINGERPRINT}, filled.
    """
    quirks = np.int64(0)
    made["maximum"] = 0
    made["scale"] = 0
    made["time"] = 0
    if four:
        size = np.int64(number(data, network + 2, stop, 2))
        words = octet(data, network, stop) & 15
        if words < 5 or size < 20:
            return False
        if words > 5:
            quirks |= _IP
        made["unfragmented"] = (octet(data, network + 6, stop) >> 6) & 1
        made["ttl"] = octet(data, network + 8, stop)
        if number(data, network + 4, stop, 2) == 0:
            quirks |= _ZERO
        final = network + size
    else:
        size = np.int64(number(data, network + 4, stop, 2))
        made["unfragmented"] = 1
        made["ttl"] = octet(data, network + 7, stop)
        quirks |= _L if np.int64(number(data, network, stop, 4)) & 0xFFFFF else _ZERO
        final = network + 40 + size
    flags = octet(data, transport + 13, stop)
    sequence, acknowledged = number(data, transport + 4, stop, 4), number(data, transport + 8, stop, 4)
    if check == _RST_CHECK and flags & _ACK:
        quirks |= _K
    if check == _FIN_CHECK and flags & _ACK:
        quirks |= _N
    if sequence == acknowledged:
        quirks |= _Q
    if sequence == 0:
        quirks |= _0
    if flags & ~(_USUAL | (_PUSH if check == _ACK_CHECK else 0)):
        quirks |= _FLAGS
    if acknowledged:
        quirks |= _ACKED
    if number(data, transport + 18, stop, 2):
        quirks |= _URGENT
    length = 4 * (octet(data, transport + 12, stop) >> 4)
    if octet(data, transport + 12, stop) & 15:
        quirks |= _RESERVED
    if check != _ACK_CHECK and transport + length < min(end, final):
        quirks |= _DATA
    made["window"] = np.int64(number(data, transport + 14, stop, 2))
    made["size"] = 0 if check == _ACK_CHECK else size
    made["quirks"] = quirks | _readOptions(data, transport + 20, length - 20, stop, end, made)
    return True


def fingerprintText(found: np.void) -> str:
    """Its text, C{WSS:TTL:DF:SIZE:OPTS:QUIRKS}."""
    size = int(found["size"])
    options = ",".join(_optionText(found, kind) for kind in found["options"][: found["count"]].tolist())
    quirks = "".join(letter for letter, bit in _WRITTEN if found["quirks"] & bit)
    return ":".join(
        (
            _windowText(int(found["window"]), int(found["maximum"])),
            str(int(found["ttl"])),
            str(int(found["unfragmented"])),
            str(size) if size < 100 else f"*({size})",
            options if len(options) > 1 else options + ".",
            quirks or ".",
        )
    )


def _windowText(window: int, maximum: int) -> str:
    if not window:
        return "0"
    for letter, more, plain in (("S", 0, 1460), ("T", 40, 1500)):
        for unit in (maximum + more if maximum else 0, plain):
            if unit and window % unit == 0:
                return f"{letter}{window // unit}"
    return "*(12345)" if window == 12345 else str(window)


def _optionText(found: np.void, kind: int) -> str:
    if kind == MSS:
        return f"M{int(found['maximum'])}"
    if kind == SCALE:
        return f"W{int(found['scale'])}"
    if kind == TIME:
        return "T" if found["time"] else "T0"
    return {EOL: "E", NOP: "N", SACK: "S"}.get(kind, f"?{kind}")


#: What PRADS calls links, by the MSS of their packets plus 40.
LINKS = {
    256: "radio modem", 386: "ethernut", 552: "SLIP line / encap ppp", 576: "sometimes modem", 1280: "gif tunnel",
    1300: "PIX, SMC, sometimes wireless", 1362: "sometimes DSL (1)", 1372: "cable modem", 1400: "(Google/AOL)",
    1408: "virtualization", 1415: "sometimes wireless", 1420: "GPRS, T1, FreeS/WAN", 1423: "sometimes cable",
    1440: "sometimes DSL (2)", 1442: "IPIP tunnel", 1450: "vtun", 1452: "sometimes DSL (3)", 1454: "sometimes DSL (4)",
    1456: "ISDN ppp", 1458: "BT DSL (?)", 1460: "3G WAN", 1462: "sometimes DSL (5)", 1470: "(Google 2)",
    1476: "IPSec/GRE", 1480: "IPv6/IPIP", 1492: "pppoe (DSL)", 1496: "vLAN", 1500: "ethernet/modem",
    1656: "Ericsson HIS", 2024: "wireless/IrDA", 2048: "Cyclom X.25 WAN", 2250: "AiroNet wireless", 3924: "loopback",
    4056: "token ring (1)", 4096: "Sangoma X.25 WAN", 4352: "FDDI", 4500: "token ring (2)", 9180: "FORE ATM",
    16384: "sometimes loopback (1)", 16436: "sometimes loopback (2)", 18000: "token ring x4",
}  # fmt: skip


def linkText(maximum: int) -> str:
    """The link that packets with such an MSS come over."""
    size = maximum + 40 & 0xFFFF
    return LINKS.get(size, f"unknown-{size}")


def distanceOf(ttl: int) -> int:
    """How many hops away a sender is."""
    for first in (32, 64, 128):
        if ttl <= first:
            return first - ttl
    return 255 - ttl
