"""
The text of header field lists, as in C{ovs-ofctl}: fields and keywords, separated by commas or blanks.

Reading gives a mapping from the seven canonical names (L{FIELDS}) to values; writing takes the same.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

from openmb.errors import InvalidHeaderFields
from openmb.state.addresses import Network

FIELDS = ("dl_type", "nw_proto", "nw_src", "nw_dst", "tp_src", "tp_dst", "dl_vlan")
Value = int | Network

IPV4, IPV6 = 0x0800, 0x86DD
#: Keyword: IP version and protocol.  The order is that of preference when writing.
KEYWORDS: Mapping[str, tuple[int, int | None]] = {
    "ip": (IPV4, None),
    "ipv6": (IPV6, None),
    "icmp": (IPV4, 1),
    "icmp6": (IPV6, 58),
    "tcp": (IPV4, 6),
    "tcp6": (IPV6, 6),
    "udp": (IPV4, 17),
    "udp6": (IPV6, 17),
    "sctp": (IPV4, 132),
    "sctp6": (IPV6, 132),
}
_WORDS = {pair: word for word, pair in KEYWORDS.items()}
#: The protocols whose "ports" are type and code.
ICMP_PROTOCOLS = (1, 58)
#: Spelling: canonical name, and the protocol it implies.
_PORTS = {
    f"{name}_{end}": (f"tp_{end}", protocol)
    for name, protocol in (("tp", None), ("tcp", 6), ("udp", 17), ("sctp", 132))
    for end in ("src", "dst")
}
_ADDRESSES = {
    f"{name}_{end}": (f"nw_{end}", version)
    for name, version in (("nw", 4), ("ip", 4), ("ipv6", 6))
    for end in ("src", "dst")
}
_ICMP = {"icmp_type": "tp_src", "icmp_code": "tp_dst"}
_EVERYTHING = ("*", "any")


class _Reading:
    """The fields collected so far from one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.fields: dict[str, Value] = {}
        self.icmp = self.ports = False

    def fail(self, reason: str) -> InvalidHeaderFields:
        """The error that says what is wrong with the text."""
        return InvalidHeaderFields(f"header fields {self._text!r}: {reason}")

    def put(self, name: str, value: Value, spelt: str) -> None:
        """Constrain a field; twice the same is harmless, a contradiction is not."""
        if self.fields.setdefault(name, value) != value:
            raise self.fail(f"{spelt!r} contradicts what {name} was before")

    def number(self, spelt: str, text: str, limit: int) -> int:
        """A decimal or hexadecimal number up to C{limit}."""
        if not re.fullmatch(r"[0-9]{1,5}|0[xX][0-9a-fA-F]{1,4}", text):
            raise self.fail(f"{spelt} takes a number, not {text!r}")
        value = int(text, 16 if text[1:2] in ("x", "X") else 10)
        if value > limit:
            raise self.fail(f"{spelt} takes a number up to {limit}, not {text}")
        return value

    def network(self, spelt: str, text: str, version: int) -> Network:
        """An address with or without a mask; bits outside the mask are dropped."""
        address, slash, mask = text.partition("/")
        kind: type[Network] = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
        try:
            width = 32 if version == 4 else 128
            made = kind((address, _maskLength(mask, width) if slash else width), strict=False)
        except ValueError as error:
            raise self.fail(f"{spelt} takes an IPv{version} address or prefix: {error}") from error
        if "%" in address:
            raise self.fail(f"{spelt} takes no zone, as in {address!r}")
        return made

    def address(self, spelt: str, text: str) -> None:
        """C{nw_src=10.0.0.0/8} and its like."""
        name, version = _ADDRESSES[spelt]
        network = self.network(spelt, text, version)
        self.put("dl_type", IPV4 if version == 4 else IPV6, spelt)
        if network.prefixlen:
            self.put(name, network, spelt)

    def port(self, spelt: str, text: str) -> None:
        """C{tp_dst=80} and its like."""
        name, protocol = _PORTS[spelt]
        self.ports = True
        if protocol is not None:
            self.put("nw_proto", protocol, spelt)
        self.put(name, self.number(spelt, text, 65535), spelt)

    def part(self, part: str) -> None:
        """One keyword or C{field=value}."""
        name, equals, value = part.partition("=")
        if not equals:
            self.keyword(name)
        elif name in _ADDRESSES:
            self.address(name, value)
        elif name in _PORTS:
            self.port(name, value)
        elif name in _ICMP:
            self.icmp = True
            self.put(_ICMP[name], self.number(name, value, 255), name)
        elif name in _NUMBERS:
            canonical, limit = _NUMBERS[name]
            self.put(canonical, self.number(name, value, limit), name)
        else:
            raise self.fail(f"unknown field {name!r}; known are {', '.join(_KNOWN)}")

    def keyword(self, word: str) -> None:
        """C{tcp} and its like."""
        if word not in KEYWORDS:
            raise self.fail(f"unknown keyword {word!r}; known are {', '.join(KEYWORDS)}")
        version, protocol = KEYWORDS[word]
        self.put("dl_type", version, word)
        if protocol is not None:
            self.put("nw_proto", protocol, word)


_NUMBERS = {
    "dl_type": ("dl_type", 65535),
    "dl_vlan": ("dl_vlan", 65535),
    "nw_proto": ("nw_proto", 255),
    "ip_proto": ("nw_proto", 255),
}
_KNOWN = (*_NUMBERS, *_ADDRESSES, *_PORTS, *_ICMP)


def _maskLength(mask: str, width: int) -> int:
    """The prefix length that C{mask} (a number, or an address of ones followed by zeros) stands for."""
    if re.fullmatch(r"[0-9]{1,3}", mask):
        length = int(mask)
        if length > width:
            raise ValueError(f"a prefix has at most {width} bits, not {length}")
        return length
    address: Callable[[str], ipaddress.IPv4Address | ipaddress.IPv6Address]
    address = ipaddress.IPv4Address if width == 32 else ipaddress.IPv6Address
    bits = int(address(mask))
    zeros = ((1 << width) - 1) ^ bits
    if zeros & (zeros + 1):
        raise ValueError(f"the mask {mask} is not ones followed by zeros")
    return width - zeros.bit_length()


def readFields(text: str) -> dict[str, Value]:
    """
    The constrained fields that C{text} names.

    @raise InvalidHeaderFields: says what cannot be understood.
    """
    reading = _Reading(text)
    if text.strip() in _EVERYTHING:
        return {}
    if not text.strip():
        raise reading.fail("nothing is selected; '*' selects everything")
    for part in re.split(r"\s*,\s*|\s+", text.strip()):
        if not part:
            raise reading.fail("a field is missing between two commas")
        reading.part(part)
    protocol = reading.fields.get("nw_proto")
    if reading.icmp and (reading.ports or protocol not in ICMP_PROTOCOLS):
        raise reading.fail("icmp_type and icmp_code go with icmp or icmp6 and without ports")
    return reading.fields


def writeFields(fields: Mapping[str, Value]) -> str:
    """The canonical text: keyword, VLAN, addresses, ports; C{*} for everything."""
    version, protocol = fields.get("dl_type"), fields.get("nw_proto")
    icmp = protocol in ICMP_PROTOCOLS
    parts = [*_head(version, protocol)]
    if "dl_vlan" in fields:
        vlan = fields["dl_vlan"]
        parts.append(f"dl_vlan={'0xffff' if vlan == 0xFFFF else vlan}")
    for end in ("src", "dst"):
        network = fields.get(f"nw_{end}")
        if isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network):
            parts.append(f"{'nw' if network.version == 4 else 'ipv6'}_{end}={_networkText(network)}")
    for name, spelt in zip(("tp_src", "tp_dst"), _ICMP if icmp else ("tp_src", "tp_dst"), strict=True):
        if name in fields:
            parts.append(f"{spelt}={fields[name]}")
    return ",".join(parts) or "*"


def _head(version: Value | None, protocol: Value | None) -> tuple[str, ...]:
    word = _WORDS.get((version, protocol))  # type: ignore[arg-type]
    if word is not None:
        return (word,)
    first = () if version is None else (_WORDS[(version, None)],)  # type: ignore[index]
    return first if protocol is None else (*first, f"nw_proto={protocol}")


def _networkText(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
