"""
Which connections speak of a scan, and which of a service: decided from their finished records, all at once.

The rules are those of Zeek's C{policy/misc/scan} (to version 6.0): attempts that nobody answered, that were rejected,
and that were broken off before anything was said; with the roles exchanged where the responder was seen to begin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.tracking.states import (
    ESTABLISHED,
    INACTIVE,
    LETTER_ACK,
    LETTER_DATA,
    LETTER_SYN,
    RESET,
    SYN_ACK_SENT,
    SYN_SENT,
)

_RESPONDER = 16
_SYN = 1 << int(LETTER_SYN), 1 << int(LETTER_SYN) + _RESPONDER
_DATA = 1 << int(LETTER_DATA) | 1 << int(LETTER_DATA) + _RESPONDER
_WENT_ON = 1 << int(LETTER_ACK) | 1 << int(LETTER_DATA)


def failedAttempts(rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """
    The places in C{ROW[n]} of connections that failed, and whether the responder was the one who tried.
    """
    states, seen = rows["state"], rows["seen"]
    isTCP = rows["tcp"] == 1
    unanswered = isTCP & np.isin(states[:, 0], (SYN_SENT, SYN_ACK_SENT)) & (states[:, 1] == INACTIVE)
    backwards = unanswered & (states[:, 0] == SYN_ACK_SENT)
    forth = isTCP & _brokenOff(states[:, 0], states[:, 1], seen, _SYN[0])
    back = isTCP & ~forth & _brokenOff(states[:, 1], states[:, 0], seen, _SYN[1])
    places = np.flatnonzero(unanswered | forth | back)
    return places, (backwards | back)[places]


def _brokenOff(
    mine: NDArray[np.uint8], others: NDArray[np.uint8], seen: NDArray[np.uint32], syn: int
) -> NDArray[np.bool_]:
    """Was the attempt of the side with state C{mine} rejected, or did it break off before anything was said?"""
    rejected = (mine == SYN_SENT) & (others == RESET)
    half = (others == SYN_ACK_SENT) | ((others == ESTABLISHED) & ((seen & syn) != 0))
    broken: NDArray[np.bool_] = rejected | ((mine == RESET) & half & ((seen & _DATA) == 0))
    return broken


def established(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """C{bool[n]}: did both sides open this TCP connection, and did the originator go on?"""
    seen = rows["seen"]
    opened = ((seen & _SYN[0]) != 0) & ((seen & _SYN[1]) != 0) & ((seen & _WENT_ON) != 0)
    found: NDArray[np.bool_] = (rows["tcp"] == 1) & opened
    return found
