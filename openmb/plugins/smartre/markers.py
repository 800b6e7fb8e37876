"""
Fingerprints of a payload: which places are sampled, and what stands for them in the table (docs/smartre.md, section 3).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source
from openmb.plugins.smartre.hashing import K, mix
from openmb.plugins.smartre.words import Number, load64, times

#: Bytes of a window, and of the shortest match.
WINDOW = 32
#: Of how many bytes at most one is a marker.
GROUP = 8
#: Room for the markers of the longest payload.
MARKERS = 2048 // GROUP
#: Where an entry's parts begin: the id's low half, the offset, the tag.
OFFSET, TAG = 32, 43


@njit(cache=True)
def collect(source: Source, start: Number, length: Number, shift: Number, positions: NDArray[np.int32]) -> Number:
    """Put the markers of a payload in C{positions}; how many there are."""
    found, group, end = 0, 0, length - WINDOW + 1
    shifted = np.uint64(shift)
    while group < end:
        for place in range(group, min(group + GROUP, end)):
            if times(load64(source, start + place), K) >> shifted == np.uint64(0):
                positions[found] = place
                found += 1
                break
        group += GROUP
    return found


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
