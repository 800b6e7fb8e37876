"""
Which addresses are local: the private and special ones, as Zeek takes them when nothing else is configured.

Source: IANA's special-purpose registries as in Zeek 8.2's C{Site::private_address_space}; each IPv4 network also as
6to4.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from openmb.state.addresses import addressNumber

_FOUR = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/24 239.0.0.0/8 240.0.0.0/4 "
    "255.255.255.255/32"
)
_SIX = "::/128 ::1/128 64:ff9b:1::/48 100::/64 2001::/23 2001:2::/48 2001:db8::/32 fc00::/7 fe80::/10 fec0::/10"


def _prefixes() -> tuple[tuple[int, int], ...]:
    """(shift, prefix) of every network, over 128-bit numbers."""
    found = []
    for text in _FOUR.split():
        network = ipaddress.IPv4Network(text)
        found.append((32 - network.prefixlen, addressNumber(network.network_address)))
        found.append((112 - network.prefixlen, 0x2002 << 112 | int(network.network_address) << 80))
    for text in _SIX.split():
        other = ipaddress.IPv6Network(text)
        found.append((128 - other.prefixlen, int(other.network_address)))
    return tuple((shift, number >> shift) for shift, number in found)


_PREFIXES = _prefixes()


@lru_cache(maxsize=65536)
def isLocal(high: int, low: int) -> bool:
    """Is the address of these two words local?"""
    number = high << 64 | low
    return any(number >> shift == prefix for shift, prefix in _PREFIXES)
