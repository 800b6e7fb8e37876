"""
The hello messages of TLS (RFC 8446, section 4.1; RFC 5246, section 7.4.1), as far as their lengths must agree.
"""

from __future__ import annotations

#: Versions before 1.3, as they stand in messages; 2 is SSL version 2.
OLD_VERSIONS = frozenset((0x0002, 0x0300, 0x0301, 0x0302, 0x0303))
_VERSIONS = OLD_VERSIONS | {0x0304, 0xFEFF, 0xFEFD, 0xFEFC}
_COOKIES = (0xFEFF, 0xFEFD)
_SUPPORTED_VERSIONS = 43
#: Extensions that are a list with its length before it, and how long this length is.
_LISTS = {0: 2, 10: 2, 11: 1, 13: 2, 16: 2}
_LISTS_OF_CLIENTS = {43: 1, 45: 1, 51: 2}


def known(version: int) -> bool:
    """Is there such a version, or a draft of one?"""
    return version in _VERSIONS or version >> 8 == 0x7F


def _number(data: bytes, place: int, size: int) -> int:
    """A number, or more than anything may be long where it is missing."""
    return int.from_bytes(data[place : place + size], "big") if place + size <= len(data) else len(data)


def _extensions(data: bytes, place: int, client: bool) -> dict[int, bytes] | None:
    """The extensions from C{place} on, which may be missing; C{None} if they do not fill what is left."""
    found: dict[int, bytes] = {}
    if place == len(data):
        return found
    place += 2
    while place < len(data):
        kind, length = _number(data, place, 2), _number(data, place + 2, 2)
        content = data[place + 4 : place + 4 + length]
        place += 4 + length
        size = _LISTS.get(kind, 0) or (_LISTS_OF_CLIENTS.get(kind, 0) if client else 0)
        if place > len(data) or (size and content and size + _number(content, 0, size) > len(content)):
            return None
        found.setdefault(kind, content)
    return found if place == len(data) else None


def clientVersion(body: bytes) -> int | None:
    """The version of a client's hello; C{None} if its lengths do not agree."""
    version, place = _number(body, 0, 2), 34
    place += 1 + _number(body, place, 1)
    if version in _COOKIES:
        place += 1 + _number(body, place, 1)
    place += 2 + (_number(body, place, 2) & ~1)
    place += 1 + _number(body, place, 1)
    if place > len(body) or _extensions(body, place, client=True) is None:
        return None
    return version


def serverVersion(body: bytes) -> tuple[int, int] | None:
    """The version of a server's hello, and the one agreed upon; C{None} if its lengths do not agree."""
    version, place = _number(body, 0, 2), 34
    if version == 0x0304 or version >> 8 == 0x7F:
        place += 2
    else:
        place += 1 + _number(body, place, 1) + 3
    extensions = _extensions(body, place, client=False) if place <= len(body) else None
    if extensions is None:
        return None
    selected = extensions.get(_SUPPORTED_VERSIONS, b"")
    return version, (_number(selected, 0, 2) if len(selected) >= 2 else version)
