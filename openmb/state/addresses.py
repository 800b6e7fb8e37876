"""
IP addresses as two 64-bit words.

An address is 128 bits, kept as its high and its low half; an IPv4 address a.b.c.d stands as the mapped address
::ffff:a.b.c.d (RFC 4291, section 2.5.5.2), so that one form serves both.
"""

from __future__ import annotations

import ipaddress

#: Either version, as the standard library has it.
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The 96 bits that stand before a mapped IPv4 address.
MAPPED_PREFIX = 0xFFFF << 32
_HALF = (1 << 64) - 1


def addressNumber(address: str | Address) -> int:
    """
    The 128-bit number of C{address}, mapped if it is IPv4.

    @raise ValueError: not an address.
    """
    parsed = ipaddress.ip_address(address)
    return int(parsed) | MAPPED_PREFIX if parsed.version == 4 else int(parsed)


def addressWords(address: str | Address) -> tuple[int, int]:
    """The high and the low half of L{addressNumber}."""
    number = addressNumber(address)
    return number >> 64, number & _HALF


def wordsAddress(high: int, low: int) -> Address:
    """The address of two halves; a mapped one comes out as IPv4."""
    number = int(high) << 64 | int(low)
    if number >> 32 == 0xFFFF:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return ipaddress.IPv6Address(number)


def networkWords(network: Network) -> tuple[int, int, int, int]:
    """The prefix and its mask as words: high, low, high of the mask, low of the mask."""
    length = network.prefixlen + (96 if network.version == 4 else 0)
    mask = ((1 << length) - 1) << (128 - length)
    prefix = addressNumber(network.network_address)
    return prefix >> 64, prefix & _HALF, mask >> 64, mask & _HALF
