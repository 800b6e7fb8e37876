"""
When the kernel must wait for the analysers: what they find may change how a packet is counted that comes soon.

Mostly only the next packet of the same connection; an FTP connection, and one that may yet turn out to be one, may
also agree on a connection that begins with the next packet.
"""

from __future__ import annotations

import enum
import re
from typing import Any

from numba import njit

from openmb.plugins.bro.tracking.letters import LOWER
from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth, constants


class Urgency(enum.IntEnum):
    """Before which packet what was read of a connection must have been looked at."""

    NONE = 0
    ANY = 1  # before any other
    OWN = 2  # before the next one of this connection
    LINES = 3  # before any other if the bytes might agree on a connection, else before one that finds this one expired


URGENT_ANY, URGENT_OWN, URGENT_LINES = constants((Urgency.ANY, Urgency.OWN, Urgency.LINES))

#: A chunk of at most so many bytes has no command that is too long.
SHORT_CHUNK = 100

#: What a chunk of whole lines contains that agrees on a connection, or hides it: commands and codes of FTP, NUL bytes
#: and telnet's options.
AGREEING = re.compile(rb"(?i:port|eprt)|22[79]|\x00|\xff")

_TWO, _SEVEN, _NINE, _E, _O, _P, _R, _T = constants(b"279eoprt")


@njit(**INNER)
def isWhole(data: Any, begin: Number, end: Number) -> Truth:
    """Does a chunk end with the end of a line?"""
    return end > begin and (data[end - 1] == 10 or data[end - 1] == 13)


@njit(**INNER)
def mayAgree(data: Any, begin: Number, end: Number) -> Truth:
    """L{AGREEING} as a kernel."""
    for i in range(begin, end):
        byte = data[i]
        if byte == 0 or byte == 255:
            return True
        if i - begin >= 2 and byte in (_SEVEN, _NINE) and data[i - 1] == _TWO and data[i - 2] == _TWO:
            return True
        if i - begin >= 3 and LOWER[byte] == _T:
            first, second, third = LOWER[data[i - 3]], LOWER[data[i - 2]], LOWER[data[i - 1]]
            if (first == _P and second == _O and third == _R) or (first == _E and second == _P and third == _R):
                return True
    return False
