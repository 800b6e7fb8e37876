"""
Which packets an encoder looks at: a kernel that says of every packet what becomes of it, and why (docs/smartre.md, 4).
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.batch import LinkType
from openmb.packets.checksum import onesSum
from openmb.packets.headers import Kind, Status
from openmb.packets.loads import Source, load8, load16, load32, sourceOf
from openmb.plugins.smartre.format import MAGIC, PROTOCOL
from openmb.plugins.smartre.hashing import mix


class Fate(enum.IntEnum):
    """What becomes of a packet at the encoder: to be encoded, or passed as it is, for a reason."""

    ENCODE = 0
    ESCAPE = 1  # of our protocol, and not ours: a decoder could take it for ours
    NOT_IP = 2  # or a header that is cut off or impossible
    FRAGMENT = 3
    TUNNEL = 4  # read as what is inside, or a link header that says how long the packet is
    EXTENDED = 5  # IPv6 extension headers
    OTHER_PROTOCOL = 6
    BAD_HEADER = 7  # IP header checksum, lengths, transport header
    TRAILING = 8  # bytes behind the IP packet, or not captured whole
    CONTROL = 9  # SYN, FIN, RST
    SHORT = 10
    LONG = 11
    BYPASSED = 12  # encrypted or compressed, by what came before in the flow
    NO_CACHE = 13  # no cache takes packets to this destination


#: What a plan says of one packet.  C{network}: where the IP header begins, C{header}: its bytes, C{transport}: bytes
#: of the transport header, C{start}: where in the batch's data the payload begins, C{length}: its bytes; C{flow}: a
#: hash of addresses and ports.
PLAN = np.dtype(
    [
        ("fate", "u1"),
        ("cache", "u1"),
        ("header", "u1"),
        ("transport", "u1"),
        ("network", "<u4"),
        ("start", "<i8"),
        ("length", "<u4"),
        ("flow", "<u4"),
    ]
)
#: Which packets go to which cache: those to C{address} (both halves, under C{mask}) whose hash is in a range.
RULE = np.dtype(
    [
        ("high", "<u8"),
        ("low", "<u8"),
        ("highMask", "<u8"),
        ("lowMask", "<u8"),
        ("first", "<u8"),
        ("last", "<u8"),
        ("cache", "u1"),
    ]
)
#: What is known of the flows that share a place in the table (docs/smartre.md, 4, Bypass).
FLOW = np.dtype([("misses", "u1"), ("given", "u1"), ("seen", "u1"), ("spare", "u1"), ("stage", "<u2"), ("skip", "<u2")])

#: Payloads shorter than this are not worth it.
SHORTEST = 64
#: IP headers begin this far into a frame at most.
FARTHEST = 128
#: Bytes of an answer beside IP header and payload.
ANSWER_LENGTH = 20
#: Packets that did not get shorter until a flow is bypassed, packets passed then at first and at most, probes between.
PATIENCE, FIRST_SKIP, MOST_SKIP, PROBES = 8, 32, 1024, 2
#: So many bytes of a payload, evenly spread, with so many different values among them look encrypted or compressed:
#: 256 * (1 - exp(-128 / 256)) = 101 are to be expected of random ones, 35 to 60 of text.
SAMPLED, DIVERSE = 128, 84

_ENCODE, _ESCAPE, _NOT_IP, _FRAGMENT, _TUNNEL, _EXTENDED, _OTHER = (int(fate) for fate in list(Fate)[:7])
_BAD, _TRAILING, _CONTROL, _SHORT, _LONG, _BYPASSED, _NO_CACHE = (int(fate) for fate in list(Fate)[7:])
_TCP, _UDP, _OTHER_KIND, _FRAGMENT_KIND = int(Kind.TCP), int(Kind.UDP), int(Kind.OTHER), int(Kind.FRAGMENT)
_SIX = int(Status.IPV6)
_INSIDE = int(Status.TUNNELLED | Status.REASSEMBLED)
_CUT = int(Status.TRUNCATED)
_BAD_TRANSPORT = int(Status.BAD_TRANSPORT)
_ETHERNET = int(LinkType.ETHERNET)
_IP4, _IP6, _LOWEST_TYPE = 0x0800, 0x86DD, 1536
_CLOSING = 0x07  # FIN, SYN, RST
_MAGIC_AS_READ = int.from_bytes(MAGIC.to_bytes(2, "little"), "big")
_PROTOCOL = PROTOCOL


@njit(cache=True)
def isChecksumRight(source: Source, start: np.int64, header: np.int64) -> Any:
    """Has the IPv4 header at C{start} the one checksum that whoever restores it would write?"""
    rest = onesSum(source, start, np.int64(10)) + onesSum(source, start + 12, header - 12)
    rest = (rest & 0xFFFF) + (rest >> 16)
    return bool(load16(source, start + 10) + rest == 0xFFFF)


@njit(cache=True)
def judge(source: Source, base: Any, length: Any, wire: Any, link: Any, record: Any) -> Any:
    """
    Could this packet be encoded, or be an encoded one, by its headers up to IP's?

    @return: bytes of the IP header, or else the negative of a L{Fate}.
    """
    kind, status, network = record["kind"], record["status"], np.int64(record["network"])
    if kind == _FRAGMENT_KIND:
        return -_FRAGMENT
    if kind != _TCP and kind != _UDP and kind != _OTHER_KIND:
        return -_NOT_IP if kind == 0 or kind > _FRAGMENT_KIND else -_OTHER
    if status & _INSIDE or network > FARTHEST:
        return -_TUNNEL
    if status & _CUT or wire != length:
        return -_TRAILING
    if link == _ETHERNET:
        before = load16(source, base + network - 2)
        if (before != _IP4 and before != _IP6) or load16(source, base + 12) < _LOWEST_TYPE:
            return -_TUNNEL
    start = base + network
    header = np.int64(record["transport"]) - network
    if status & _SIX:
        if header != 40:
            return -_EXTENDED
        return header if load16(source, start + 4) + 40 == length - network else -_TRAILING
    if load16(source, start + 2) != length - network:
        return -_TRAILING
    if load16(source, start + 6) & 0x3FFF:
        return -_FRAGMENT
    return header if isChecksumRight(source, start, header) else -_BAD


@njit(cache=True)
def planPayload(source: Source, base: Any, length: Any, record: Any, longest: Any, row: Any) -> Any:
    """Fill in where the payload of a packet with a sound IP header lies; its L{Fate} by its transport."""
    kind, transport = record["kind"], np.int64(record["transport"])
    if kind == _OTHER_KIND:
        return _OTHER
    if record["status"] & _BAD_TRANSPORT:
        return _BAD
    start = np.int64(record["payload"])
    row["transport"] = start - transport
    row["start"] = base + start
    row["length"] = length - start
    if length - start < SHORTEST:
        return _SHORT
    if kind == _TCP and record["flags"] & _CLOSING:
        return _CONTROL
    return _LONG if length - start > longest else _ENCODE


@njit(cache=True)
def _cacheOf(record: Any, identification: np.uint64, rules: Any) -> Any:
    """The cache that takes a packet; -1: none."""
    if len(rules) == 0:
        return 0
    hashed = mix(mix(np.uint64(0), record["source_low"]), record["destination_low"])
    hashed = mix(mix(hashed, record["source_high"]), record["destination_high"])
    ports = (np.uint64(record["source_port"]) << np.uint64(16)) | np.uint64(record["destination_port"])
    hashed = mix(mix(hashed, ports), identification)
    hashed = mix(hashed, np.uint64(record["sequence"])) >> np.uint64(32)
    for place in range(len(rules)):
        rule = rules[place]
        outside = (record["destination_high"] ^ rule["high"]) & rule["highMask"]
        outside |= (record["destination_low"] ^ rule["low"]) & rule["lowMask"]
        if outside == np.uint64(0) and rule["first"] <= hashed and hashed <= rule["last"]:
            return np.int64(rule["cache"])
    return -1


@njit(cache=True)
def _flowOf(record: Any) -> Any:
    ports = (np.uint64(record["source_port"]) << np.uint64(16)) | np.uint64(record["destination_port"])
    hashed = mix(mix(np.uint64(1), record["source_low"]), record["destination_low"])
    hashed = mix(mix(hashed, record["source_high"] ^ (record["destination_high"] << np.uint64(1))), ports)
    return np.int64(hashed >> np.uint64(32))


@njit(cache=True)
def _isBypassed(flow: Any) -> Any:
    """Is the flow's next packet to pass?  Counts it."""
    if flow["stage"] == 0:
        return False
    if flow["skip"] > 0:
        flow["skip"] -= 1
        return True
    if flow["given"] < PROBES:
        flow["given"] += 1
        return False
    return True


@njit(cache=True)
def looksRandom(source: Source, start: Any, length: Any) -> Any:
    """Has a payload the many different bytes of what is encrypted or compressed?"""
    step = max(length // SAMPLED, 1)
    first, second, third, fourth = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    place, end = start, start + min(length, step * SAMPLED)
    while place < end:
        byte = load8(source, place)
        bit = np.uint64(1) << np.uint64(byte & 63)
        if byte < 64:
            first |= bit
        elif byte < 128:
            second |= bit
        elif byte < 192:
            third |= bit
        else:
            fourth |= bit
        place += step
    return bool(
        _ones(first) + _ones(second) + _ones(third) + _ones(fourth) >= DIVERSE * min(length, SAMPLED) // SAMPLED
    )


@njit(cache=True)
def _ones(word: np.uint64) -> Any:
    """Bits that are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    word += word >> np.uint64(8)
    word += word >> np.uint64(16)
    word += word >> np.uint64(32)
    return np.int64(word & np.uint64(127))


@njit(cache=True)
def learn(flow: Any, isShorter: bool, isRandom: bool) -> None:
    """Note in a flow's counters what came of a packet that was looked at."""
    if isShorter or (flow["stage"] == 0 and not isRandom):
        flow["misses"], flow["stage"], flow["skip"], flow["given"], flow["seen"] = 0, 0, 0, 0, 0
    elif flow["stage"] == 0:
        flow["misses"] += 1
        if flow["misses"] >= PATIENCE:
            flow["stage"], flow["skip"] = FIRST_SKIP, FIRST_SKIP
            flow["misses"], flow["given"], flow["seen"] = 0, 0, 0
    elif flow["given"] > 0:
        flow["seen"] += 1
        if flow["seen"] >= PROBES:
            flow["stage"] = min(2 * np.int64(flow["stage"]), MOST_SKIP)
            flow["skip"], flow["given"], flow["seen"] = flow["stage"], 0, 0


@njit(cache=True)
def planPackets(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    wire: NDArray[np.uint32],
    link: Any,
    headers: NDArray[Any],
    slotBytes: Any,
    mtu: Any,
    rules: NDArray[Any],
    flows: NDArray[Any],
    plan: NDArray[Any],
) -> None:
    """
    Fill C{plan}, zeros at first, a L{PLAN} for each packet.

    @param flows: C{FLOW[power of two]}; of length 1: no flow is ever bypassed.
    """
    source = sourceOf(data)
    for index in range(len(offsets)):
        record, row = headers[index], plan[index]
        base, length = offsets[index], np.int64(lengths[index])
        if base < 0 or base > len(data) - length:
            row["fate"] = _NOT_IP
            continue
        header = judge(source, base, length, np.int64(wire[index]), link, record)
        if header < 0:
            row["fate"] = -header
            continue
        row["header"], row["network"] = header, record["network"]
        network = np.int64(record["network"])
        if record["protocol"] == _PROTOCOL:
            start = network + header
            ours = length - start >= 2 and load16(source, base + start) == _MAGIC_AS_READ
            row["start"], row["length"] = base + start, length - start
            row["fate"] = _ESCAPE if ours else _OTHER
            continue
        fate = planPayload(source, base, length, record, min(slotBytes, mtu - header - ANSWER_LENGTH), row)
        if fate == _ENCODE:
            identification = np.uint64(load32(source, base + network + 4)) if header != 40 else np.uint64(0)
            cache = _cacheOf(record, identification, rules)
            row["flow"] = _flowOf(record) & (len(flows) - 1)
            if cache < 0:
                fate = _NO_CACHE
            elif len(flows) > 1 and _isBypassed(flows[row["flow"]]):
                fate = _BYPASSED
            else:
                row["cache"] = cache
        row["fate"] = fate
