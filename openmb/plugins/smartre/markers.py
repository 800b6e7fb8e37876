"""
Fingerprints of a payload: which places are sampled, and what stands for them in the table (docs/smartre.md, section 3).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source
from openmb.plugins.smartre.hashing import K, mix
from openmb.plugins.smartre.words import Number, below, load64, trailingZeros

#: Bytes of a window, and of the shortest match.
WINDOW = 32
#: Of how many bytes at most one is a marker.
GROUP = 8
#: Room for the markers of the longest payload.
MARKERS = 2048 // GROUP
#: Where an entry's parts begin: the id's low half, the offset, the tag.
OFFSET, TAG = 32, 43


@njit(cache=True)
def collect(
    source: Source, start: Number, length: Number, limit: Number, base: Number, positions: NDArray[np.int64]
) -> Number:
    """Put the markers of a payload in C{positions} from C{base} on; how many there are."""
    found, end = base, length - WINDOW + 1
    for group in range(0, end, GROUP):
        marked = below(source, start + group, K, limit)
        if end - group < GROUP:
            marked &= (np.uint64(1) << np.uint64(end - group)) - np.uint64(1)
        # no branch that depends on the bytes: it would be guessed wrong once a marker
        positions[found] = group + trailingZeros(marked | np.uint64(1 << GROUP))
        found += marked != np.uint64(0)
    return found - base


@njit(cache=True)
def fingerprint(source: Source, at: Number) -> Number:
    """Of the window that begins at C{at}."""
    value = mix(mix(np.uint64(0), load64(source, at)), load64(source, at + 8))
    return mix(mix(value, load64(source, at + 16)), load64(source, at + 24))


@njit(cache=True)
def entryOf(number: Number, position: Number, finger: Number) -> Number:
    """What the table holds of a marker."""
    tag = (finger >> np.uint64(TAG)) << np.uint64(TAG)
    return (number & np.uint64(0xFFFFFFFF)) | (np.uint64(position) << np.uint64(OFFSET)) | tag
