"""
Names in messages: labels, compression, and NetBIOS's encoding.
"""

from __future__ import annotations

import re

#: Pointers that one name may follow.
DEEPEST = 20

#: Bytes of a name, the dots counted; as in Zeek's parser.
ROOM = 512

_LONGEST_LABEL = 63
_POINTER = 0xC0
_ENCODED = re.compile(rb"[a-p]{32}")
_DIGITS = bytes.maketrans(b"abcdefghijklmnop", b"0123456789abcdef")
_GOOD = re.compile(rb"[\x00-\x02 -~]*")


def readName(
    data: bytes, place: int, end: int, longLabels: bool, lower: bool = True, depth: int = 0, room: int = ROOM
) -> tuple[bytes, int]:
    """
    The name at C{place}; one that is broken ends where it breaks, as in Zeek.

    @param end: where the message ends, or the name that points here.
    @param longLabels: labels may have more than 63 bytes.
    @return: the labels joined by dots, without a last dot; where it went on reading stopped.
    """
    labels: list[bytes] = []
    while place < end:
        size = data[place]
        place += 1
        if not size or place >= end:
            break
        if size >= _POINTER:
            target = (size & 0x3F) << 8 | data[place]
            if target < place - 1 and depth < DEEPEST:
                labels.append(readName(data, target, place - 1, longLabels, True, depth + 1, room)[0])
            else:
                labels.append(b"")  # what comes before it keeps its dot, of which one is cut off below
            place += 1
            return _joined(labels, lower), place
        if size > end - place:
            place = end
            break
        if size >= room or (size > _LONGEST_LABEL and not longLabels):
            break
        labels.append(data[place : place + size])
        place += size
        room -= size + 1
    name = b".".join(labels)
    return (name.lower() if lower else name), place


def skipName(data: bytes, place: int, end: int, longLabels: bool) -> int:
    """Where L{readName} stops, without a look at what the name points to."""
    room = ROOM
    while place < end:
        size = data[place]
        place += 1
        if not size or place >= end:
            break
        if size >= _POINTER:
            return place + 1
        if size > end - place:
            return end
        if size >= room or (size > _LONGEST_LABEL and not longLabels):
            break
        place += size
        room -= size + 1
    return place


def _joined(labels: list[bytes], lower: bool) -> bytes:
    """A name whose last part was read elsewhere and has lost its last dot there."""
    name = b".".join(labels)
    if len(name) >= 2 and name.endswith(b"."):
        name = name[:-1]
    return name.lower() if lower else name


def netbiosName(name: bytes) -> bytes:
    """What a name of the NetBIOS name service stands for; the name itself if that is nothing."""
    if not _ENCODED.fullmatch(name):
        return name
    plain = bytes.fromhex(name.translate(_DIGITS).decode("ascii"))
    good = _GOOD.match(plain)
    found = good.group() if good else b""
    return found[:15].rstrip(b" \0") or name
