"""
The same traffic in other clothes: over IPv6, with VLAN tags, in fragments.
"""

from __future__ import annotations

import ipaddress
import random
import struct
from dataclasses import dataclass, replace

from openmb.state.addresses import Network
from openmb.state.headers import HeaderFieldList
from openmb.testing.simulation.traffic import Traffic, checksum

#: The prefix in which each IPv4 address has its IPv6 address.
PREFIX = ipaddress.IPv6Address("2001:db8::")
#: Bytes of an Ethernet header, and of one with an IPv4 header without options.
LINK, NETWORK = 14, 34
ICMP, TCP, UDP, FRAGMENT, ICMP6 = 1, 6, 17, 44, 58
#: ICMP types, and those that mean the same over IPv6.
ECHOES = {8: 128, 0: 129}
#: Where the checksum stands in a transport header.
CHECKSUM_AT = {ICMP: 2, TCP: 16, UDP: 6}


@dataclass(frozen=True, slots=True)
class Clothes:
    """
    What one history's traffic wears.

    @ivar six: all of it goes over IPv6.
    @ivar tagged: the chance that a conversation has a VLAN tag.
    @ivar cut: the chance that a packet is cut into fragments.
    """

    six: bool = False
    tagged: float = 0.0
    cut: float = 0.0


def drawClothes(rng: random.Random) -> Clothes:
    """Nothing in most histories."""
    if rng.random() < 0.65:
        return Clothes()
    return Clothes(rng.random() < 0.6, rng.choice((0.0, 0.5)), rng.choice((0.0, 0.15, 0.4)))


def dressed(rng: random.Random, traffic: Traffic, clothes: Clothes, span: float) -> Traffic:
    """C{traffic}, dressed; the first packet of each flow stays whole."""
    tags = [rng.randrange(1, 4095) if rng.random() < clothes.tagged else None for _ in range(traffic.flowCount)]
    steps: list[tuple[float, int, bool, bytes, int]] = []
    seen: set[int] = set()
    datagrams = 0
    for time, flow, fromClient, packet in zip(
        traffic.times, traffic.flows, traffic.fromClient, traffic.packets, strict=True
    ):
        if clothes.six:
            packet = overSix(packet)
        datagram, pieces = -1, [(time, packet)]
        if flow in seen and rng.random() < clothes.cut:
            datagram, datagrams = datagrams, datagrams + 1
            pieces = apart(rng, time, fragments(rng, packet, datagram), span)
        seen.add(flow)
        steps += [(when, flow, fromClient, tag(piece, tags[flow]), datagram) for when, piece in pieces]
    steps.sort(key=lambda step: step[0])
    times, flows, directions, packets, numbers = (list(column) for column in zip(*steps, strict=True))
    return Traffic(times, packets, flows, directions, traffic.flowCount, numbers)


# -- IPv6 -------------------------------------------------------------------------------------------------------------


def sixOf(address: bytes) -> bytes:
    """The IPv6 address of an IPv4 address."""
    return PREFIX.packed[:12] + address


def overSix(packet: bytes) -> bytes:
    """An Ethernet frame with IPv4 as one with IPv6; a wrong transport checksum is as wrong as before."""
    protocol, payload = packet[23], packet[NETWORK:]
    source, destination = packet[26:30], packet[30:34]
    number = ICMP6 if protocol == ICMP else protocol
    ends = sixOf(source) + sixOf(destination)
    before = b"" if protocol == ICMP else source + destination + struct.pack("!HH", protocol, len(payload))
    after = ends + struct.pack("!IHH", len(payload), 0, number)
    head = struct.pack("!IHBB", 6 << 28, len(payload), number, 64) + ends
    return packet[:12] + b"\x86\xdd" + head + moved(protocol, payload, before, after)


def moved(protocol: int, payload: bytes, before: bytes, after: bytes) -> bytes:
    """The transport's bytes under another pseudo-header."""
    at = CHECKSUM_AT[protocol]
    changed = bytes([ECHOES[payload[0]]]) + payload[1:] if protocol == ICMP else payload
    if protocol == UDP:  # without a checksum before; IPv6 wants one
        total = checksum(after + changed) or 0xFFFF
    else:
        old = int.from_bytes(payload[at : at + 2])
        total = checksum(  # the sum that was, without the old pseudo-header, with the new one (RFC 1624)
            struct.pack("!HH", old ^ 0xFFFF, checksum(before + payload[:2])) + after + changed[:2]
        )
    return changed[:at] + total.to_bytes(2) + changed[at + 2 :]


def flowsOverSix(text: str) -> str:
    """The list of the same flows over IPv6."""
    flows = HeaderFieldList.parse(text)
    if flows.dlType is None:
        return text
    number = ICMP6 if flows.nwProto == ICMP else flows.nwProto
    source, destination = (None if each is None else _prefix(each) for each in (flows.nwSrc, flows.nwDst))
    return str(replace(flows, dlType=0x86DD, nwProto=number, nwSrc=source, nwDst=destination))


def _prefix(prefix: Network) -> Network:
    return ipaddress.IPv6Network((sixOf(prefix.network_address.packed), 96 + prefix.prefixlen))


# -- VLAN tags and fragments ------------------------------------------------------------------------------------------


def tag(packet: bytes, number: int | None) -> bytes:
    """With an IEEE 802.1Q tag."""
    return packet if number is None else packet[:12] + struct.pack("!HH", 0x8100, number) + packet[12:]


def fragments(rng: random.Random, packet: bytes, identifier: int) -> list[bytes]:
    """Two or three fragments of a packet without a tag, or the packet, if it is too short."""
    start = NETWORK if packet[12:14] == b"\x08\x00" else LINK + 40
    places = range(8, len(packet) - start, 8)
    cuts = sorted(rng.sample(places, min(rng.choice((1, 1, 2)), len(places))))
    pieces = []
    for begin, end in zip((0, *cuts), (*cuts, len(packet) - start), strict=True):
        more = end < len(packet) - start
        pieces.append(fragment(packet[:start], packet[start + begin : start + end], begin, more, identifier))
    return pieces if cuts else [packet]


def fragment(head: bytes, data: bytes, begin: int, more: bool, identifier: int) -> bytes:
    """One fragment, from the headers of the whole packet."""
    link, network = head[:LINK], head[LINK:]
    if network[0] >> 4 == 6:
        extension = struct.pack("!BBHI", network[6], 0, begin | more, identifier)
        length = (len(data) + len(extension)).to_bytes(2)
        return link + network[:4] + length + bytes([FRAGMENT]) + network[7:] + extension + data
    place = begin >> 3 | (0x2000 if more else 0)
    fields = struct.pack("!HHH", 20 + len(data), identifier & 0xFFFF, place)
    network = network[:2] + fields + network[8:10] + bytes(2) + network[12:]
    return link + network[:10] + checksum(network).to_bytes(2) + network[12:] + data


def apart(rng: random.Random, time: float, pieces: list[bytes], span: float) -> list[tuple[float, bytes]]:
    """When each piece comes: mostly at once, some late, so that others overtake it, some twice, some never."""
    found = []
    for piece in pieces:
        late = time + (rng.random() * span * 0.02 if rng.random() < 0.3 else 0.0)
        found += [(late, piece)] * (rng.choices((1, 2, 0), (92, 5, 3))[0] if len(pieces) > 1 else 1)
    rng.shuffle(found)
    return found
