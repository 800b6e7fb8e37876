"""
What the data of a resource record says: the texts of C{answers} in dns.log.

Each reader gets a message and the place of the data, and returns the text and where it stopped reading; what comes next
is read from there, whatever length the record claimed: so does Zeek.  No text (None): the record is passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from socket import AF_INET6, inet_ntop

from openmb.errors import ProtocolError
from openmb.plugins.bro.analyzers.dns.labels import readName, skipName


class Unreadable(ProtocolError):
    """A message breaks off, or contradicts itself: what was read of it counts."""


class Violation(Unreadable):
    """More than that: this is not DNS."""


#: Message, place of the data, end of the message, length of the data, are long labels allowed, owner's name.
Reader = Callable[[bytes, int, int, int, bool, bytes], tuple[bytes | None, int]]

_MAPPED = b"\0" * 10 + b"\xff\xff"
_PAIR = struct.Struct("!HH")


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise Unreadable(what)


def readAddress(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    """A."""
    _need(length == 4, "an IPv4 address of another length")
    return b"%d.%d.%d.%d" % (*data[place : place + 4],), place + 4


def _readSix(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    """AAAA and A6: four words, those that are there."""
    present = min(16, (end - place) & ~3)
    octets = data[place : place + present].ljust(16, b"\0")
    if octets.startswith(_MAPPED):
        return b"%d.%d.%d.%d" % (*octets[12:],), place + present
    return inet_ntop(AF_INET6, octets).encode("ascii"), place + present


def _readHost(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    """NS, CNAME, PTR."""
    return readName(data, place, end, longLabels)


def _readExchange(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    """MX: the name without the preference."""
    return readName(data, place + 2 if end - place >= 2 else place, end, longLabels)


def _readService(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    """SRV: the target without priority, weight and port."""
    return readName(data, place + 2 * min(3, (end - place) // 2), end, longLabels)


def _readAuthority(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    """SOA: the primary server."""
    name, place = readName(data, place, end, longLabels)
    place = skipName(data, place, end, longLabels)
    _need(end - place >= 20, "a short SOA")
    return name, place + 20


def _strings(data: bytes, place: int, end: int) -> list[bytes]:
    """Strings with their length before them, up to C{end}."""
    found: list[bytes] = []
    while place < end:
        begin = place + 1
        place = begin + data[place]
        _need(place <= end, "a string beyond the end of its record")
        found.append(data[begin:place])
    return found


def _readText(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    stop = place + length
    return b" ".join([b"TXT %d %s" % (len(each), each) for each in _strings(data, place, stop)]), stop


def _readPolicy(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    stop = place + length
    return b" ".join([b"SPF %d %s" % (len(each), each) for each in _strings(data, place, stop)]), stop


def _readPointer(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    """NAPTR: order, preference, flags, service, then what there is of expression and replacement."""
    stop = place + length
    if length < 4:
        raise Violation("a short NAPTR")
    order, preference = _PAIR.unpack_from(data, place)
    place += 4
    words: list[bytes] = []
    for _ in range(3):
        if place >= stop or place + 1 + data[place] > stop:
            raise Violation("a string beyond the end of a NAPTR")
        words.append(data[place + 1 : place + 1 + data[place]])
        place += 1 + data[place]
    replacement = readName(data, place, end, longLabels, False)[0]
    rest = b" ".join(filter(None, (words[2], replacement)))
    return b"NAPTR %d %d %s %s %s" % (order, preference, words[0], words[1], rest), stop


def _skipMaps(data: bytes, place: int, end: int, length: int) -> int:
    """Where the bitmaps of NSEC and NSEC3 end."""
    while length > 0 and end - place >= 2:
        size = data[place + 1]
        place += 2
        if not size:
            break
        place += min(size, end - place)
        length -= 2 + size
    return place


def _skipString(data: bytes, place: int, end: int) -> int:
    """Where a string ends that has its length before it."""
    return min(place + 1 + data[place], end) if place < end else place


def _rest(place: int, end: int, length: int) -> int:
    """Where C{length} bytes end, or the message."""
    return min(place + max(length, 0), end)


def _readSignature(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    _need(end - place >= 18, "a short RRSIG")
    covered = int.from_bytes(data[place : place + 2], "big")
    signer, stop = readName(data, place + 18, end, longLabels)
    return b"RRSIG %d %s" % (covered, signer or b"<Root>"), _rest(stop, end, length - (stop - place))


def _readKey(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    _need(end - place >= 4, "a short DNSKEY")
    return b"DNSKEY %d" % data[place + 3], _rest(place + 4, end, length - 4)


def _readDigest(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    _need(end - place >= 4, "a short DS")
    return b"DS %d %d" % (data[place + 2], data[place + 3]), _rest(place + 4, end, length - 4)


def _readNext(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    name, stop = readName(data, place, end, longLabels)
    return b"NSEC %s %s" % (owner, name), _skipMaps(data, stop, end, length - (stop - place))


def _readHashed(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    _need(end - place >= 6, "a short NSEC3")
    stop = _skipString(data, _skipString(data, place + 4, end), end)
    return b"NSEC3", _skipMaps(data, stop, end, length - (stop - place))


def _readParameters(
    data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes
) -> tuple[bytes, int]:
    _need(end - place >= 5, "a short NSEC3PARAM")
    return b"NSEC3PARAM", _skipString(data, place + 4, end)


def _readSigning(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    _need(end - place >= 5, "a short signal of BIND")
    return b"BIND9 signing signal", _rest(place + 4, end, length - 4)


def _readPrint(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    _need(end - place >= 2, "a short SSHFP")
    stop = _rest(place + 2, end, length - 2)
    return b"SSHFP: " + data[place + 2 : stop].hex().encode("ascii"), stop


def _readLocation(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    _need(end - place >= 15, "a short LOC")
    words = min(3, (end - place - 4) // 4)
    return b"LOC:  %d %d %d" % (*data[place + 1 : place + 4],), place + 4 + 4 * words


def _readEmpty(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[bytes, int]:
    """WKS: counts as an answer, but has no text."""
    return b"", place + length


def _pass(data: bytes, place: int, end: int, length: int, longLabels: bool, owner: bytes) -> tuple[None, int]:
    """HINFO, NetBIOS's name records, OPT, SVCB, HTTPS, TKEY, TSIG, CAA."""
    return None, place + length


#: The readers by type; every other type has the text C{<unknown type=N>}.
READERS: dict[int, Reader] = {
    1: readAddress,
    2: _readHost,
    5: _readHost,
    6: _readAuthority,
    11: _readEmpty,
    12: _readHost,
    15: _readExchange,
    16: _readText,
    28: _readSix,
    29: _readLocation,
    33: _readService,
    35: _readPointer,
    38: _readSix,
    43: _readDigest,
    44: _readPrint,
    46: _readSignature,
    47: _readNext,
    48: _readKey,
    50: _readHashed,
    51: _readParameters,
    99: _readPolicy,
    65534: _readSigning,
} | dict.fromkeys((13, 32, 41, 64, 65, 249, 250, 257), _pass)
