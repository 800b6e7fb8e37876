"""
Kernels for 802.11 frames: where a data frame's payload begins.

As Zeek reads them: frames of management and control, data frames without data and encrypted ones hold nothing; of an
aggregate (A-MSDU) only the first frame is looked at, where Zeek looks at all.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from openmb.packets.loads import Source, load8, load16, loadLittle16

#: Instead of a position: nothing inside; cut off.
NO_DATA = -1
_CUT_OFF = -2

_HEADER, _ADDRESS, _QUALITY, _SUBFRAME = 24, 6, 2, 14
#: Bits of the frame control field's first byte (type data, subtypes without data and with quality of service) and of
#: its second (to and from the distribution system, protected).
_DATA, _EMPTY, _WITH_QUALITY = 0x08, 0x40, 0x80
_BOTH_WAYS, _PROTECTED = 0x03, 0x40
_AGGREGATE = 0x80


@njit(cache=True)
def behindRadiotap(source: Source, base: np.int64, end: np.int64) -> np.int64:
    """Where the 802.11 header begins."""
    if base + 4 > end:
        return np.int64(_CUT_OFF)
    place = base + loadLittle16(source, base + 2)
    return place if place < end else np.int64(_CUT_OFF)


@njit(cache=True)
def behindWireless(source: Source, base: np.int64, end: np.int64) -> np.int64:
    """Where, in the 802.11 frame at C{base}, LLC begins; L{NO_DATA} or another negative number instead."""
    place = base + _HEADER
    if place >= end:
        return np.int64(_CUT_OFF)
    control, flags = load8(source, base), load8(source, base + 1)
    if not control & _DATA or control & _EMPTY:
        return np.int64(NO_DATA)
    if flags & _BOTH_WAYS == _BOTH_WAYS:
        place += _ADDRESS
    if place >= end:
        return np.int64(_CUT_OFF)
    if not control & _WITH_QUALITY:
        return place
    if flags & _PROTECTED:
        return np.int64(NO_DATA)
    isAggregate = load8(source, place) & _AGGREGATE
    place += _QUALITY
    if not isAggregate:
        return place if place < end else np.int64(_CUT_OFF)
    if place + _SUBFRAME > end or load16(source, place + 12) > end - place - _SUBFRAME:
        return np.int64(_CUT_OFF)
    return place + _SUBFRAME
