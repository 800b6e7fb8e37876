"""
Kernels that read the head of a request or reply, the way L{openmb.plugins.bro.analyzers.http} would: what they do not
know how to read they leave to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.plugins.bro.fastpath.lanes import LONGEST_HEAD
from openmb.plugins.bro.tracking.letters import LOWER
from openmb.plugins.bro.tracking.numbers import INNER, Number, Truth, constants

#: Results: more bytes are needed; it is none of the heads that are read here.
INCOMPLETE, UNUSUAL = constants((0, -1))

#: What is found: places and sizes of texts, by L{lanes.METHOD} and so on, then these.
(
    SIZES,
    LENGTH,
    VERSION,
    KEEPS_ALIVE,
    IS_HEAD,
    IS_ESCAPED,
    STATUS,
    CHUNKED,
    COMPRESSED,
    CLOSES,
) = constants((8, 16, 17, 18, 19, 20, 21, 22, 23, 24))

_METHODS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ")
#: Header fields by number; beyond these none matters.
_FIELDS = (
    b"host", b"referer", b"user-agent", b"origin", b"content-length", b"content-type", b"connection",
    b"transfer-encoding", b"content-encoding", b"content-range", b"upgrade", b"authorization", b"proxy-authorization",
    b"forwarded", b"x-forwarded-for", b"x-forwarded-from", b"client-ip", b"via", b"xroxy-connection",
    b"proxy-connection",
)  # fmt: skip
_HOST, _REFERER, _AGENT, _ORIGIN, _LENGTH, _TYPE, _CONNECTION, _TRANSFER, _CONTENT, _RANGE, _UPGRADE = constants(
    range(11)
)
_ROLES = constants((2, 3, 4, 5))  # of the texts that the first four fields are
_OF_METHOD, _OF_URI, _OF_REASON = constants((0, 1, 6))


def _padded(texts: tuple[bytes, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    longest = max(map(len, texts))
    rows = np.zeros((len(texts), longest), np.uint8)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return rows, np.array([len(text) for text in texts], np.int64)


_METHOD_BYTES, _METHOD_SIZES = _padded(_METHODS)
_FIELD_BYTES, _FIELD_SIZES = _padded(_FIELDS)
_WORD_BYTES, _WORD_SIZES = _padded((b"keep-alive", b"close", b"upgrade", b"chunked", b"gzip", b"x-gzip", b"deflate"))
_KEEP_ALIVE, _CLOSE, _TO_UPGRADE, _CHUNKED, _GZIP, _XGZIP, _DEFLATE = constants(range(7))

#: What a byte may be part of: a URI, a field's name, a MIME token.
_IN_URI, _IN_NAME, _IN_WORD = constants((1, 2, 4))


def _classes() -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    table[list(letters + b":/?#[]@!$&'()*+,;=-_.~%")] |= np.uint8(_IN_URI)
    table[33:127] |= np.uint8(_IN_NAME)
    table[58] &= np.uint8(~_IN_NAME & 255)
    table[list(letters + b"!#$%&'*+-.^_`{|}~")] |= np.uint8(_IN_WORD)
    return table


_CLASSES = _classes()


@njit(**INNER)
def _lineEnd(data: Any, position: Number, end: Number) -> Number:
    """Where the CR of the next CRLF is; -1: there is none yet; -2: some other end of line comes first."""
    while position < end:
        byte = data[position]
        if byte == 13:
            if position + 1 == end:
                return np.int64(-1)
            return position if data[position + 1] == 10 else np.int64(-2)
        if byte == 10:
            return np.int64(-2)
        position += 1
    return np.int64(-1)


@njit(**INNER)
def _isText(data: Any, position: Number, size: Number, texts: Any, sizes: Any, which: Number) -> Truth:
    """Is it this text, whatever the case?"""
    same = size == sizes[which]
    place = 0
    while same and place < size:
        same = LOWER[data[position + place]] == texts[which, place]
        place += 1
    return same


@njit(**INNER)
def beginsRequest(data: Any, position: Number, end: Number) -> Truth:
    """Does a request begin here whose method is known?"""
    which = 0
    while which < len(_METHOD_SIZES) and not _methodAt(data, position, end, which):
        which += 1
    return which < len(_METHOD_SIZES)


@njit(**INNER)
def _methodAt(data: Any, position: Number, end: Number, which: Number) -> Truth:
    size = _METHOD_SIZES[which]
    same = end - position >= size
    place = 0
    while same and place < size:
        same = data[position + place] == _METHOD_BYTES[which, place]
        place += 1
    return same


@njit(**INNER)
def _version(data: Any, position: Number) -> Number:
    """10 or 11 where C{HTTP/1.0} or C{HTTP/1.1} stands, 0 for anything else; eight bytes are there."""
    if data[position] != 72 or data[position + 1] != 84 or data[position + 2] != 84 or data[position + 3] != 80:
        return np.int64(0)
    if data[position + 4] != 47 or data[position + 5] != 49 or data[position + 6] != 46:
        return np.int64(0)
    last = np.int64(data[position + 7])
    return last - 38 if last == 48 or last == 49 else np.int64(0)


@njit(**INNER)
def _requestLine(data: Any, position: Number, stop: Number, found: Any) -> Truth:
    """Read a request line that ends at C{stop}."""
    which = -1
    for each in range(len(_METHOD_SIZES)):
        if _methodAt(data, position, stop, each):
            which = each
    if which < 0:
        return False
    found[_OF_METHOD] = position
    found[SIZES + _OF_METHOD] = _METHOD_SIZES[which] - 1
    found[IS_HEAD] = 1 if which == 2 else 0
    begin = position + _METHOD_SIZES[which]
    place = begin
    while place < stop and _CLASSES[data[place]] & _IN_URI:
        if data[place] == 37:
            found[IS_ESCAPED] = 1
        place += 1
    if place == begin or stop - place != 9 or data[place] != 32:
        return False
    found[_OF_URI] = begin
    found[SIZES + _OF_URI] = place - begin
    found[VERSION] = _version(data, place + 1)
    return found[VERSION] != 0


@njit(**INNER)
def _statusLine(data: Any, position: Number, stop: Number, found: Any) -> Truth:
    """Read a status line that ends at C{stop}."""
    if stop - position < 14 or data[position + 8] != 32 or data[position + 12] != 32 or data[position + 13] == 32:
        return False
    found[VERSION] = _version(data, position)
    status = np.int64(0)
    for i in range(9, 12):
        digit = np.int64(data[position + i]) - 48
        if digit < 0 or digit > 9:
            return False
        status = 10 * status + digit
    found[STATUS] = status
    found[_OF_REASON] = position + 13
    found[SIZES + _OF_REASON] = stop - position - 13
    return found[VERSION] != 0 and status >= 100 and data[position + 13] != 9


@njit(**INNER)
def _wordSize(data: Any, position: Number, stop: Number) -> Number:
    """Bytes of the MIME token that begins here, 0 for none."""
    size = np.int64(0)
    while position + size < stop and _CLASSES[data[position + size]] & _IN_WORD:
        size += 1
    return size


@njit(**INNER)
def _number(data: Any, position: Number, size: Number) -> Number:
    """A decimal number, -1 if it is none or has more than 15 digits."""
    if size == 0 or size > 15:
        return np.int64(-1)
    number = np.int64(0)
    for i in range(size):
        digit = np.int64(data[position + i]) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        number = 10 * number + digit
    return number


@njit(**INNER)
def _isReadByLines(data: Any, position: Number, size: Number) -> Truth:
    """May a body of this type have to be read by lines: multipart, message, or nothing that is understood here?"""
    if size == 0:
        return True
    first = LOWER[data[position]]
    if first == 109:  # m
        return size > 1 and LOWER[data[position + 1]] in (101, 117)
    return first < 97 or first > 122


@njit(**INNER)
def _field(data: Any, which: Number, position: Number, stop: Number, isRequest: Truth, found: Any) -> Truth:
    """A header field that matters, with its value from C{position} to C{stop}; false if it is unusual."""
    while position < stop and data[position] in (32, 9, 11, 12):
        position += 1
    if which <= _ORIGIN:
        if isRequest:
            found[_ROLES[0] + which] = position
            found[SIZES + _ROLES[0] + which] = stop - position
        return True
    if which > _UPGRADE:
        return not isRequest  # of proxies and authorization, which replies may tell as they like
    if which == _RANGE:
        return False
    if which == _UPGRADE:
        return isRequest
    size = _wordSize(data, position, stop)
    if size == 0:
        return False
    if which == _LENGTH:
        found[LENGTH] = _number(data, position, size)
        return found[LENGTH] >= 0
    if which == _TYPE:
        return not _isReadByLines(data, position, size)
    if which == _CONNECTION:
        if isRequest:
            if _isText(data, position, size, _WORD_BYTES, _WORD_SIZES, _KEEP_ALIVE):
                found[KEEPS_ALIVE] = 1
        elif _isText(data, position, size, _WORD_BYTES, _WORD_SIZES, _CLOSE):
            found[CLOSES] = 1
        elif _isText(data, position, size, _WORD_BYTES, _WORD_SIZES, _TO_UPGRADE):
            return False
        return True
    if isRequest:
        return False
    if which == _TRANSFER:
        if _isText(data, position, size, _WORD_BYTES, _WORD_SIZES, _CHUNKED):
            found[CHUNKED] = 1
        return True
    for packed in range(_GZIP, _DEFLATE + 1):
        if _isText(data, position, size, _WORD_BYTES, _WORD_SIZES, packed):
            found[COMPRESSED] = 1
    return True


@njit(**INNER)
def readHead(data: Any, begin: Number, end: Number, isRequest: Truth, found: Any) -> Number:
    """
    Read a head that begins at C{begin}.

    @param found: filled; places are those in C{data}.
    @return: bytes of the head, L{INCOMPLETE} or L{UNUSUAL}.
    """
    for text in range(SIZES):
        found[text] = -1
        found[SIZES + text] = 0
    found[LENGTH] = -1
    for each in range(VERSION, CLOSES + 1):
        found[each] = 0
    stop = _lineEnd(data, begin, min(end, begin + LONGEST_HEAD))
    if stop < 0:
        return INCOMPLETE if stop == -1 and end - begin < LONGEST_HEAD else UNUSUAL
    if isRequest:
        if not _requestLine(data, begin, stop, found):
            return UNUSUAL
    elif not _statusLine(data, begin, stop, found):
        return UNUSUAL
    while True:
        position = stop + 2
        stop = _lineEnd(data, position, min(end, begin + LONGEST_HEAD))
        if stop < 0:
            return INCOMPLETE if stop == -1 and end - begin < LONGEST_HEAD else UNUSUAL
        if stop == position:
            return stop + 2 - begin
        colon = position
        while colon < stop and _CLASSES[data[colon]] & _IN_NAME:
            colon += 1
        if colon in (position, stop) or data[colon] != 58 or data[position] == 40:
            return UNUSUAL
        for which in range(len(_FIELD_SIZES)):
            if _isText(data, position, colon - position, _FIELD_BYTES, _FIELD_SIZES, which):
                if not _field(data, which, colon + 1, stop, isRequest, found):
                    return UNUSUAL
                break
