"""
When the kernel must wait for the analysers: what they find may change how a packet is counted that comes soon.

Mostly only the next packet of the same connection; an FTP connection, and one that may yet turn out to be one, may
also agree on a connection that begins with the next packet.
"""

from __future__ import annotations

import enum
import re
from typing import Any

import numpy as np
from numba import njit

from openmb.plugins.bro.tracking.letters import LOWER
from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth, constants


class Urgency(enum.IntEnum):
    """Before which packet what was read of a connection must have been looked at."""

    NONE = 0
    ANY = 1  # before any other
    OWN = 2  # before the next one of this connection
    LINES = 3  # before any other if the bytes might agree on a connection, else before one that finds this one expired
    MESSAGES = 4  # DNS over TCP between messages: not at all, while whole ordinary ones come
    PACKETS = 5  # SSH between packets: while whole ordinary ones come, before one that finds this one expired


URGENT_ANY, URGENT_OWN, URGENT_LINES, URGENT_MESSAGES, URGENT_PACKETS = constants(list(Urgency)[1:])

#: A chunk of at most so many bytes has no command that is too long.
SHORT_CHUNK = 100

#: What a chunk of whole lines contains that agrees on a connection, or hides it: commands and codes of FTP, NUL bytes
#: and telnet's options.
AGREEING = re.compile(rb"(?i:port|eprt)|22[79]|\x00|\xff")

_TWO, _SEVEN, _NINE, _E, _O, _P, _R, _T = constants(b"279eoprt")

#: Of DNS (RFC 1035, section 4.1.1): bytes of the length before a message; the bit of a reply; the kinds of query that
#: are followed are L{openmb.plugins.bro.analyzers.dns.message.TRACKED}.
_LENGTH, _REPLY, _QUERY, _NOTIFY, _UPDATE = constants((2, 0x80, 0, 4, 5))
#: Of SSH: bytes of a packet's length, and a length that no packet is near; how the lines of versions begin (RFC 4253).
_SIZE, _LARGE = constants((4, 1 << 20))
_VERSIONS = np.frombuffer(b"SSH-2.SSH-1.99", np.uint8)
_SHORT, _LONG = constants((6, 8))


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


@njit(**INNER)
def areMessages(data: Any, begin: Number, end: Number, side: Number) -> Truth:
    """
    Is this nothing but whole messages of DNS, no reply from the originator among them, each of a kind that is followed?
    """
    while end - begin > _LENGTH:
        size = np.int64(data[begin]) << 8 | np.int64(data[begin + 1])
        begin += _LENGTH
        if size > end - begin:
            return False
        if size > _LENGTH:
            flags = np.int64(data[begin + 2])
            kind = flags >> 3 & 15
            if (flags & _REPLY and side == 0) or kind not in (_QUERY, _NOTIFY, _UPDATE):
                return False
        begin += size
    return begin == end


@njit(**INNER)
def _begins(data: Any, begin: Number, end: Number, place: Number, length: Number) -> Truth:
    if end - begin < length:
        return False
    i = 0
    while i < length and data[begin + i] == _VERSIONS[place + i]:
        i += 1
    return i == length


@njit(**INNER)
def arePackets(data: Any, begin: Number, end: Number, isFirst: Truth) -> Truth:
    """
    Is this nothing but whole packets of SSH?

    @param isFirst: nothing came before: then the whole line of a version that speaks version 2.
    """
    if isFirst:
        if not _begins(data, begin, end, 0, _SHORT) and not _begins(data, begin, end, _SHORT, _LONG):
            return False
        last = end - 2 if data[end - 2] == 13 else end - 1
        for i in range(begin, last):
            if data[i] == 10 or data[i] == 13:
                return False
        return data[end - 1] == 10
    while end - begin >= _SIZE:
        size = np.int64(0)
        for i in range(_SIZE):
            size = size << 8 | np.int64(data[begin + i])
        if size > _LARGE or size > end - begin - _SIZE:
            return False
        begin += _SIZE + size
    return begin == end
