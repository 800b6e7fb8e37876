"""
Header field lists: which flows.

A list constrains header fields; an absent field is a wildcard.  It selects I{flows}, so it matches a packet or key in
either direction: with the fields as given, or with source and destination exchanged together.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import FinerThanNative, InvalidHeaderFields
from openmb.state.addresses import MAPPED_PREFIX, Network, networkWords
from openmb.state.fieldtext import ICMP_PROTOCOLS, IPV4, IPV6, Value, readFields, writeFields
from openmb.state.flowkey import FLOW_WORDS, HOST_WORDS, counterpart, keyWords, uniform
from openmb.state.matching import addressesMatch, headersMatch, keysMatch, packConstraint

_VLANS = (*range(4096), 0xFFFF)
_MAPPED = ipaddress.IPv6Network((MAPPED_PREFIX, 96))


@dataclass(frozen=True, slots=True)
class HeaderFieldList:
    """
    Constraints on the headers of a flow; None is a wildcard.

    For ICMP the ports are type and code: a type selects the flows in which it or its counterpart is sent, a code counts
    only for types without a counterpart.  Port constraints without a protocol mean every protocol but ICMP.

    @ivar dlType: 0x0800 or 0x86dd; addresses imply it.
    @ivar nwProto: 0 to 255.
    @ivar nwSrc: source prefix, of at least one bit.
    @ivar nwDst: destination prefix.
    @ivar tpSrc: source port.
    @ivar tpDst: destination port.
    @ivar dlVlan: 0 to 4095, or 0xffff for untagged.
    """

    dlType: int | None = None
    nwProto: int | None = None
    nwSrc: Network | None = None
    nwDst: Network | None = None
    tpSrc: int | None = None
    tpDst: int | None = None
    dlVlan: int | None = None
    _packed: NDArray[np.uint64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("nwSrc", "nwDst"):
            self._settle(name)
        _checkNumber("dl_type", self.dlType, (IPV4, IPV6))
        _checkNumber("nw_proto", self.nwProto, range(256))
        ports = range(256) if self.nwProto in ICMP_PROTOCOLS else range(65536)
        _checkNumber("tp_src", self.tpSrc, ports)
        _checkNumber("tp_dst", self.tpDst, ports)
        _checkNumber("dl_vlan", self.dlVlan, _VLANS)
        object.__setattr__(self, "_packed", self._pack())

    def _settle(self, name: str) -> None:
        """Let a prefix imply the IP version, and drop one of no bits."""
        network: Network | None = getattr(self, name)
        if network is None:
            return
        if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
            raise InvalidHeaderFields(f"{network} is IPv4 in the clothes of IPv6: say nw_src or nw_dst")
        implied = IPV4 if network.version == 4 else IPV6
        if self.dlType not in (None, implied):
            raise InvalidHeaderFields(f"{network} does not go with the other fields: one IP version at a time")
        object.__setattr__(self, "dlType", implied)
        if not network.prefixlen:
            object.__setattr__(self, name, None)

    def _pack(self) -> NDArray[np.uint64]:
        family = {None: None, IPV4: 4, IPV6: 6}[self.dlType]
        source, destination = (None if prefix is None else networkWords(prefix) for prefix in (self.nwSrc, self.nwDst))
        return packConstraint((source, destination), family, (self.nwProto, self.tpSrc, self.tpDst, self.dlVlan))

    @classmethod
    def parse(cls, text: str) -> HeaderFieldList:
        """
        Read the text form, as in C{ovs-ofctl}: C{tcp,nw_src=10.0.0.0/8,tp_dst=80}; C{*} or C{any}: everything.

        @raise InvalidHeaderFields: says what cannot be understood.
        """
        fields: dict[str, Any] = readFields(text)
        try:
            return cls(**{_ATTRIBUTES[name]: value for name, value in fields.items()})
        except InvalidHeaderFields as error:
            raise InvalidHeaderFields(f"header fields {text!r}: {error}") from error

    def _fields(self) -> dict[str, Value]:
        found = {name: getattr(self, attribute) for name, attribute in _ATTRIBUTES.items()}
        return {name: value for name, value in found.items() if value is not None}

    def __str__(self) -> str:
        return writeFields(self._fields())

    @property
    def constrained(self) -> frozenset[str]:
        """The names of the constrained fields, as in the text form (C{nw_src} for IPv6 too)."""
        return frozenset(self._fields())

    @property
    def turned(self) -> HeaderFieldList:
        """Source and destination exchanged: the same flows, seen from the other end (ICMP types and codes stay)."""
        ports = (self.tpSrc, self.tpDst) if self.nwProto in ICMP_PROTOCOLS else (self.tpDst, self.tpSrc)
        return replace(self, nwSrc=self.nwDst, nwDst=self.nwSrc, tpSrc=ports[0], tpDst=ports[1])

    def matchHeaders(self, headers: NDArray[Any], oneWay: bool = False) -> NDArray[np.bool_]:
        """
        Which of the decoded C{headers[n]} (C{openmb.packets.headers.HEADERS}) belong to matching flows: C{bool[n]}.

        A fragment matches by addresses, protocol and VLAN alone; what is no packet of a flow never matches.

        @param oneWay: the packet's own source and destination must be those of the list; else either end may be.
        """
        found = np.empty(len(headers), np.bool_)
        headersMatch(self._packed, uniform(headers), oneWay, found)
        return found

    def matchKeys(self, keys: NDArray[Any]) -> NDArray[np.bool_]:
        """
        Which of the flow keys (C{FLOW_KEY[n]} or C{uint64[n, 5]}) match: C{bool[n]}.

        @raise FinerThanNative: the list constrains the VLAN, which is not part of a flow key.
        """
        if self.dlVlan is not None:
            raise FinerThanNative("dl_vlan", "the 5-tuple")
        found = np.empty(len(keys), np.bool_)
        keysMatch(self._packed, uniform(keyWords(keys, FLOW_WORDS)), found)
        return found

    def matchAddresses(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """
        Which hosts match: C{bool[n]}; those that lie in one of the prefixes the list names, or all if it names none.

        Protocol, ports and VLAN are not looked at.
        """
        return self.matchHosts(np.stack((high, low), axis=1).astype(np.uint64, copy=False))

    def matchHosts(self, keys: NDArray[Any]) -> NDArray[np.bool_]:
        """L{matchAddresses} for C{HOST_KEY[n]} or C{uint64[n, 2]}."""
        found = np.empty(len(keys), np.bool_)
        addressesMatch(self._packed, uniform(keyWords(keys, HOST_WORDS)), found)
        return found

    def intersects(self, other: HeaderFieldList) -> bool:
        """Can one flow match both lists, each in either orientation?"""
        pairs = ((self.dlType, other.dlType), (self.nwProto, other.nwProto), (self.dlVlan, other.dlVlan))
        if not all(_compatible(mine, theirs) for mine, theirs in pairs):
            return False
        if self.nwProto in ICMP_PROTOCOLS or other.nwProto in ICMP_PROTOCOLS:
            return _meetInMessages(self, other)
        return _meetInPorts(self, other) or _meetInPorts(self, other.turned)

    def covers(self, other: HeaderFieldList) -> bool:
        """Does every flow that matches C{other} surely match this one?  Lists of ICMP cover as they are given."""
        return _covers(self, other) or (self.nwProto not in ICMP_PROTOCOLS and _covers(self.turned, other))


def _covers(mine: HeaderFieldList, theirs: HeaderFieldList) -> bool:
    numbers = ("dlType", "nwProto", "tpSrc", "tpDst", "dlVlan")
    if not all(getattr(mine, name) in (None, getattr(theirs, name)) for name in numbers):
        return False
    networks = (mine.nwSrc, theirs.nwSrc), (mine.nwDst, theirs.nwDst)
    # both are of one version: dl_type says so
    return all(
        wide is None or (narrow is not None and narrow.subnet_of(wide))  # type: ignore[arg-type]
        for wide, narrow in networks
    )


#: Canonical field name: attribute.
_ATTRIBUTES = {
    "dl_type": "dlType",
    "nw_proto": "nwProto",
    "nw_src": "nwSrc",
    "nw_dst": "nwDst",
    "tp_src": "tpSrc",
    "tp_dst": "tpDst",
    "dl_vlan": "dlVlan",
}


def _checkNumber(name: str, value: int | None, allowed: range | tuple[int, ...]) -> None:
    if value is None or value in allowed:
        return
    if name == "dl_type":
        raise InvalidHeaderFields(f"dl_type {value:#06x}: only 0x0800 (IPv4) and 0x86dd (IPv6) have flows")
    raise InvalidHeaderFields(f"{name} cannot be {value}")


def _compatible(mine: int | None, theirs: int | None) -> bool:
    return mine is None or theirs is None or mine == theirs


def _overlap(mine: Network | None, theirs: Network | None) -> bool:
    return mine is None or theirs is None or mine.overlaps(theirs)


def _meetInAddresses(mine: HeaderFieldList, theirs: HeaderFieldList) -> bool:
    return _overlap(mine.nwSrc, theirs.nwSrc) and _overlap(mine.nwDst, theirs.nwDst)


def _meetInPorts(mine: HeaderFieldList, theirs: HeaderFieldList) -> bool:
    """Can a packet, and not an ICMP message, match both lists as they are given?"""
    ports = _compatible(mine.tpSrc, theirs.tpSrc) and _compatible(mine.tpDst, theirs.tpDst)
    return ports and _meetInAddresses(mine, theirs)


def _meetInMessages(mine: HeaderFieldList, theirs: HeaderFieldList) -> bool:
    """Can an ICMP flow match both lists?"""
    for one in (mine, theirs):
        if one.nwProto is None and (one.tpSrc, one.tpDst) != (None, None):
            return False  # ports without a protocol: no ICMP
    protocol = mine.nwProto if mine.nwProto is not None else theirs.nwProto
    aligned, crossed = _meetInAddresses(mine, theirs), _meetInAddresses(mine, theirs.turned)
    if mine.tpSrc is None and theirs.tpSrc is None:
        return aligned or crossed  # any type that has a counterpart
    kind = theirs.tpSrc if mine.tpSrc is None else mine.tpSrc
    answer = int(counterpart(protocol, kind))
    same = _compatible(mine.tpSrc, theirs.tpSrc)
    if answer < 0:
        return same and _compatible(mine.tpDst, theirs.tpDst) and (aligned or crossed)
    answered = mine.tpSrc is None or _compatible(theirs.tpSrc, answer)
    return (same and aligned) or (answered and crossed)


#: The list without constraints.
EVERYTHING = HeaderFieldList()
