"""
Home networks: lists like C{10.0.0.0/8,fe80::/64}, with what PRADS makes of them.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.errors import InvalidOption

#: Unless told otherwise everything is at home.
DEFAULT = "0.0.0.0/0,::/0"
MOST = 128

HOMES = np.dtype([("high", "<u8"), ("low", "<u8"), ("highMask", "<u8"), ("lowMask", "<u8"), ("four", "u1")])
_WORD = (1 << 64) - 1


def parseHomes(text: str) -> NDArray[Any]:
    """
    L{HOMES}C{[n]} of a list; as with the real program, nothing counts from the first element without a C{/} on.

    @raise InvalidOption: an element is no network.
    """
    rows: list[tuple[int, int, int, int, int]] = []
    for element in text.split(","):
        network, slash, mask = element.strip().partition("/")
        if not slash or len(rows) == MOST:
            break
        try:
            rows.append(_home(ipaddress.ip_address(network), mask))
        except ValueError as error:
            raise InvalidOption(f"--home-nets: {element!r}: {error}") from error
    return np.array(rows, HOMES) if rows else np.zeros(0, HOMES)


def _home(network: ipaddress.IPv4Address | ipaddress.IPv6Address, mask: str) -> tuple[int, int, int, int, int]:
    size = network.max_prefixlen
    if not mask.isdigit():
        bits = int(ipaddress.ip_address(mask))
    elif int(mask) > size:
        raise ValueError(f"a mask of {mask} bits")
    else:
        bits = ((1 << int(mask)) - 1) << (size - int(mask))
        if size == 128:
            # the real program forgets the byte order of each of the mask's words
            words = bits.to_bytes(16, "big")
            bits = int.from_bytes(b"".join(words[place : place + 4][::-1] for place in range(0, 16, 4)), "big")
    value = int(network)
    if size == 32:
        return 0, value & bits, 0, bits, 1
    return value >> 64, value & _WORD, bits >> 64, bits & _WORD, 0


@njit(cache=True)
def isHome(homes: Any, high: Any, low: Any, four: Any) -> Any:
    """Is an address in one of the networks?  Of IPv6 the real program combines what differs wrongly."""
    for i in range(len(homes)):
        one = homes[i]
        if one["four"] != four:
            continue
        if four:
            if low & np.uint64(0xFFFFFFFF) & one["lowMask"] == one["low"]:
                return True
        elif ((low & one["lowMask"]) ^ one["low"]) & ((high & one["highMask"]) ^ one["high"]) == np.uint64(0):
            return True
    return False
