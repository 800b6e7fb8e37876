"""
Link and IP headers of packets that were changed: kernels that copy them, with another protocol and length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.checksum import onesSum
from openmb.packets.loads import Source
from openmb.plugins.smartre.words import copyBytes

#: Bytes of the longest head: where the IP header may begin, and the longest one.
LONGEST_HEAD = 128 + 60


@njit(cache=True)
def _put16(out: NDArray[np.uint8], at: Any, value: Any) -> None:
    """Big-endian."""
    out[at], out[at + 1] = value >> 8, value & 0xFF


@njit(cache=True)
def putHead(
    out: NDArray[np.uint8],
    target: Source,
    at: Any,
    source: Source,
    base: Any,
    network: Any,
    header: Any,
    protocol: Any,
    following: Any,
) -> Any:
    """
    Copy C{network} bytes of link header and C{header} of IP header from C{base} to C{at}; say there that C{following}
    bytes of C{protocol} follow.

    @param target: of C{out}; the caller has made sure of the room.
    @return: where they follow.
    """
    copyBytes(target, at, source, base, network + header)
    start = at + network
    if out[start] >> 4 == 6:
        _put16(out, start + 4, following)
        out[start + 6] = protocol
    else:
        _put16(out, start + 2, header + following)
        out[start + 9] = protocol
        _put16(out, start + 10, 0)
        _put16(out, start + 10, 0xFFFF - onesSum(target, start, header))
    return start + header


@njit(cache=True)
def putLittle(out: NDArray[np.uint8], at: Any, value: Any, count: Any) -> None:
    """C{count} bytes of C{value}, little-endian."""
    word = np.uint64(value)
    for place in range(count):
        out[at + place] = (word >> np.uint64(8 * place)) & np.uint64(0xFF)
