"""
A small universe of packets, header field lists over it, and what matching means, spelt out one packet at a time.
"""

from __future__ import annotations

import itertools
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from openmb.packets.headers import HEADERS, Kind
from openmb.state.addresses import Network, addressWords, wordsAddress
from openmb.state.headers import HeaderFieldList

#: Lists made of these are so coarse that two of them intersect only if a packet of the universe matches both.
_V4 = tuple(map(IPv4Network, ("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.1/32", "10.0.0.2/32", "11.0.0.0/8")))
_V6 = tuple(map(IPv6Network, ("::/0", "2001:db8::/32", "2001:db8::1/128", "2001:db9::/33")))
_HOSTS = (("10.0.0.1", "10.0.0.2", "11.0.0.1"), ("2001:db8::1", "2001:db8::2", "2001:db9::1"))
_PORTS = (80, 443, 1024)
_TYPES = {1: (0, 3, 8, 11, 13, 14), 58: (1, 3, 128, 129, 135, 136)}
_CODES = (0, 1, 3)
_VLANS = (5, 0xFFFF)
#: Request and answer, from RFC 792, 950, 1256, 4443 and 4861.
_ANSWERS = {1: {8: 0, 0: 8, 13: 14, 14: 13}, 58: {128: 129, 129: 128, 135: 136, 136: 135}}


def header(
    source: str, sourcePort: int, destination: str, destinationPort: int, protocol: int, vlan: int = 0xFFFF
) -> NDArray[Any]:
    """One decoded packet, C{HEADERS[1]}."""
    made = np.zeros(1, HEADERS)
    made["source_high"], made["source_low"] = addressWords(source)
    made["destination_high"], made["destination_low"] = addressWords(destination)
    made["source_port"], made["destination_port"] = sourcePort, destinationPort
    made["protocol"], made["vlan"], made["inner_vlan"] = protocol, vlan, 0xFFFF
    made["kind"] = {1: Kind.ICMP, 58: Kind.ICMP, 6: Kind.TCP, 17: Kind.UDP}.get(protocol, Kind.OTHER)
    return made


def _pairs(protocol: int) -> list[tuple[int, int]]:
    if protocol in _TYPES:
        return list(itertools.product(_TYPES[protocol], _CODES))
    return list(itertools.product(_PORTS, _PORTS))


def _universe() -> NDArray[Any]:
    found = [
        header(source, near, destination, far, protocol, vlan)
        for hosts in _HOSTS
        for source, destination in itertools.product(hosts, hosts)
        for protocol in (1, 6, 17, 58, 132)
        for near, far in _pairs(protocol)
        for vlan in _VLANS
    ]
    return np.concatenate(found)


#: Every packet that there is.
UNIVERSE = _universe()


def turned(headers: NDArray[Any]) -> NDArray[Any]:
    """The packets that answer C{headers} (of TCP, UDP or others; not of ICMP)."""
    back = headers.copy()
    for half in ("high", "low", "port"):
        back[f"source_{half}"] = headers[f"destination_{half}"]
        back[f"destination_{half}"] = headers[f"source_{half}"]
    return back


def _inside(network: Network | None, high: int, low: int) -> bool:
    address = wordsAddress(high, low)
    return network is None or (address.version == network.version and address in network)


def _fits(flows: HeaderFieldList, ends: tuple[Any, Any], ports: tuple[int | None, int | None]) -> bool:
    wanted = ((flows.tpSrc, ports[0]), (flows.tpDst, ports[1]))
    return (
        _inside(flows.nwSrc, *ends[0])
        and _inside(flows.nwDst, *ends[1])
        and all(port is None or found is None or port == found for port, found in wanted)
    )


def matches(flows: HeaderFieldList, packet: np.void) -> bool:
    """Does the flow of C{packet} match?  Written for clarity, apart from the kernels."""
    kind, protocol = Kind(packet["kind"]), int(packet["protocol"])
    source = int(packet["source_high"]), int(packet["source_low"])
    destination = int(packet["destination_high"]), int(packet["destination_low"])
    versions = {4 if wordsAddress(*end).version == 4 else 6 for end in (source, destination)}
    if kind in (Kind.IGNORED, Kind.MARKER, Kind.MALFORMED):
        return False
    if flows.dlType is not None and (versions == {4}) != (flows.dlType == 0x0800):
        return False
    if flows.nwProto not in (None, protocol) or flows.dlVlan not in (None, int(packet["vlan"])):
        return False
    ported = (flows.tpSrc, flows.tpDst) != (None, None)
    if protocol in _ANSWERS and ported and flows.nwProto is None:
        return False
    near, far = int(packet["source_port"]), int(packet["destination_port"])
    there: tuple[int | None, int | None] = (near, far)
    back: tuple[int | None, int | None] = (far, near)
    if protocol in _ANSWERS:
        answer = _ANSWERS[protocol].get(near)
        there, back = ((near, far), (near, far)) if answer is None else ((near, None), (answer, None))
    if kind is Kind.FRAGMENT:
        there = back = (None, None)
    return _fits(flows, (source, destination), there) or _fits(flows, (destination, source), back)


@st.composite
def fieldLists(draw: st.DrawFn, vlans: bool = True) -> HeaderFieldList:
    """Header field lists over the universe."""
    protocol = draw(st.sampled_from((None, 1, 6, 17, 58, 132)))
    networks = draw(st.sampled_from((_V4, _V6)))
    version = draw(st.sampled_from((None, 0x0800 if networks is _V4 else 0x86DD)))
    prefixes: st.SearchStrategy[Network | None] = st.none() | st.sampled_from(networks)
    near, far = _portChoices(protocol)
    return HeaderFieldList(
        version,
        protocol,
        draw(prefixes),
        draw(prefixes),
        draw(st.none() | st.sampled_from(near)),
        draw(st.none() | st.sampled_from(far)),
        draw(st.none() | st.sampled_from(_VLANS)) if vlans else None,
    )


def _portChoices(protocol: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if protocol in _TYPES:
        return _TYPES[protocol], _CODES
    return _PORTS, _PORTS


def _wild(bits: int) -> st.SearchStrategy[Network]:
    kind = IPv4Network if bits == 32 else IPv6Network
    numbers = st.integers(0, (1 << bits) - 1)
    made = st.builds(lambda number, length: kind((number, length), strict=False), numbers, st.integers(0, bits))
    return made.filter(lambda network: not (bits == 128 and _hidesIPv4(network)))


def _hidesIPv4(network: Network) -> bool:
    return isinstance(network, IPv6Network) and network.subnet_of(IPv6Network("::ffff:0:0/96"))


@st.composite
def anyFieldLists(draw: st.DrawFn) -> HeaderFieldList:
    """All header field lists that there are."""
    bits = draw(st.sampled_from((32, 128)))
    protocol = draw(st.none() | st.integers(0, 255))
    ports = st.none() | st.integers(0, 255 if protocol in (1, 58) else 65535)
    version = draw(st.sampled_from((None, 0x0800 if bits == 32 else 0x86DD)))
    prefixes = st.none() | _wild(bits)
    vlan = draw(st.none() | st.integers(0, 4095) | st.just(0xFFFF))
    return HeaderFieldList(version, protocol, draw(prefixes), draw(prefixes), draw(ports), draw(ports), vlan)
