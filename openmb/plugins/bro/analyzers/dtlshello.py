"""
The hellos of DTLS: which version the client offers and the server chose.

Source: RFC 5246, section 7.4.1; RFC 6347, section 4.2.1; RFC 8446, section 4.2.1.
"""

from __future__ import annotations

import struct

from openmb.plugins.bro.analyzers.datagrams import Malformed

DTLS_THREE = 0xFEFC
_COOKIES = frozenset((0xFEFF, 0xFEFD))
_SUPPORTED_VERSIONS = 43
_SHORT = struct.Struct(">H")
_FIXED = 34  # version and random


def clientVersion(body: bytes) -> int:
    """
    The version of a ClientHello.

    @raise Malformed: it ends too early.
    """
    version = _short(body, 0)
    place = _past(body, _FIXED, 1)
    if version in _COOKIES:
        place = _past(body, place, 1)
    suites = place + 2 + _short(body, place) // 2 * 2
    _extensions(body, _past(body, suites, 1))
    return version


def chosenVersion(body: bytes) -> int:
    """
    The version that a ServerHello chooses.

    @raise Malformed: it ends too early.
    """
    version = _short(body, 0)
    place = _past(body, _FIXED, 1) + 3
    if place > len(body):
        raise Malformed
    found = _extensions(body, place).get(_SUPPORTED_VERSIONS, b"")
    return _short(found, 0) if len(found) == 2 else version


def _extensions(body: bytes, place: int) -> dict[int, bytes]:
    """The extensions, of which there may be none, up to the end; their common length is not looked at."""
    found: dict[int, bytes] = {}
    if place == len(body):
        return found
    _short(body, place)
    place += 2
    while place < len(body):
        kind, begin = _short(body, place), place + 4
        place = begin + _short(body, place + 2)
        if place > len(body):
            raise Malformed
        found[kind] = body[begin:place]
    return found


def _short(body: bytes, place: int) -> int:
    if place + 2 > len(body):
        raise Malformed
    return int(_SHORT.unpack_from(body, place)[0])


def _past(body: bytes, place: int, size: int) -> int:
    """Where the bytes end whose number stands at C{place}, in C{size} bytes."""
    begin = place + size
    if begin > len(body):
        raise Malformed
    end = begin + int.from_bytes(body[place:begin], "big")
    if end > len(body):
        raise Malformed
    return end
