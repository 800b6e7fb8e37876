"""
The packets that a decoder sends on: the kernel that puts payloads back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import load8, sourceOf
from openmb.plugins.smartre.format import PROTOCOL, SHIM_LENGTH
from openmb.plugins.smartre.heads import putHead
from openmb.plugins.smartre.unframing import Found
from openmb.plugins.smartre.words import copyBytes

_PLAIN, _ENCODED, _ESCAPED, _FOREIGN = int(Found.PLAIN), int(Found.ENCODED), int(Found.ESCAPED), int(Found.FOREIGN)


@njit(cache=True)
def restorePackets(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    wire: NDArray[np.uint32],
    found: NDArray[Any],
    items: NDArray[Any],
    isDecoded: NDArray[np.bool_],
    payloads: NDArray[np.uint8],
    starts: NDArray[np.int64],
    out: NDArray[np.uint8],
    sent: NDArray[np.int64],
) -> Any:
    """
    Write what is sent on for a batch, in order.

    @param isDecoded: for each item: its payload, C{items["length"]} bytes, lies in C{payloads} from C{starts} on.
    @param sent: C{int64[n, 4]}, for what is sent: offset, length, bytes on the wire, the packet whose stamp it has.
    @return: how many packets are sent, and how many bytes of C{out} they fill.
    """
    source, target, restored = sourceOf(data), sourceOf(out), sourceOf(payloads)
    at: Any = 0
    count = 0
    for index in range(len(offsets)):
        row = found[index]
        what, base, length = row["found"], offsets[index], np.int64(lengths[index])
        network, header, start = np.int64(row["network"]), np.int64(row["header"]), row["start"]
        sent[count, 0], sent[count, 3] = at, index
        isPlain = what in (_PLAIN, _FOREIGN)
        if isPlain:
            copyBytes(target, at, source, base, length)
            at += length
        elif what == _ESCAPED:
            size = row["length"] - SHIM_LENGTH
            at = putHead(out, target, at, source, base, network, header, PROTOCOL, size)
            copyBytes(target, at, source, start + SHIM_LENGTH, size)
            at += size
        elif what == _ENCODED and isDecoded[row["item"]]:
            size, transport = np.int64(items[row["item"]]["length"]), np.int64(load8(source, start + 5))
            protocol = load8(source, start + 4)
            at = putHead(out, target, at, source, base, network, header, protocol, transport + size)
            copyBytes(target, at, source, start + SHIM_LENGTH, transport)
            copyBytes(target, at + transport, restored, starts[row["item"]], size)
            at += transport + size
        else:
            continue
        sent[count, 1] = at - sent[count, 0]
        sent[count, 2] = np.int64(wire[index]) if isPlain else sent[count, 1]
        count += 1
    return count, at
