"""
DHCP: a message that parses up to its last option, with the cookie of RFC 2131.

The lengths of options are read as strictly as Zeek reads them: where it knows what an option holds, it takes as many
bytes as that needs, whatever the length says.

Source: RFC 2131, RFC 2132, RFC 3046.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from openmb.plugins.bro.analyzers.analyzer import Service, Sign
from openmb.plugins.bro.analyzers.datagrams import DatagramAnalyzer, Malformed

_COOKIE = b"\x63\x82\x53\x63"
_FIXED, _OPTIONS = 236, 240
_PAD, _TYPE, _RELAY, _END = 0, 53, 82, 255

#: The options whose size does not depend on their length.
_SIZES: Mapping[int, int] = {
    **dict.fromkeys((1, 2, 28, 50, 51, 54, 58, 59), 4),
    57: 2,
    **dict.fromkeys((19, _TYPE, 116), 1),
}

#: Lists of addresses: a part of an address at the end is not taken.
_LISTS = frozenset((3, 4, 5, 6, 42, 44))

#: The options that begin with fields: how many bytes they are.
_LEAST: Mapping[int, int] = {61: 1, 81: 3}


class DHCPAnalyzer(DatagramAnalyzer):
    """Parses messages; one without a type violates, and confirms all the same."""

    __slots__ = ()

    service: ClassVar[Service] = Service.DHCP

    def parse(self, originator: bool, data: bytes) -> None:
        """See L{DatagramAnalyzer.parse}."""
        if not _typeOf(data):
            self.findings.append(Sign.VIOLATED)
        if data[_FIXED:_OPTIONS] != _COOKIE:
            raise Malformed
        self.confirm()


def _typeOf(data: bytes) -> int:
    """
    The type of a message: the first option 53; 0 if it has none.

    @raise Malformed: an option does not end within the message; that option 255 is missing is no fault.
    """
    place, end, found = _OPTIONS, len(data), None
    if end < place:
        raise Malformed
    while place < end:
        code = data[place]
        if code == _END:
            break
        place += 1
        if code == _PAD:
            continue
        if place == end:
            raise Malformed
        begin, place = place + 1, _optionEnd(data, code, place)
        if place > end:
            raise Malformed
        if code == _TYPE and found is None:
            found = data[begin]
    return found or 0


def _optionEnd(data: bytes, code: int, place: int) -> int:
    """Where the option ends whose length stands at C{place}; perhaps beyond the datagram."""
    length = data[place]
    begin = place + 1
    if code == _RELAY:
        return _relayEnd(data, begin, length)
    if length < _LEAST.get(code, 0):
        raise Malformed
    if code in _LISTS:
        return begin + length // 4 * 4
    return begin + _SIZES.get(code, length)


def _relayEnd(data: bytes, begin: int, length: int) -> int:
    """Sub-options follow each other until they are as long as the option, counted in one byte, or the message ends."""
    place = begin
    while place < len(data):
        if place + 2 > len(data):
            raise Malformed
        place += 2 + data[place + 1]
        if place > len(data):
            raise Malformed
        if (place - begin) & 0xFF == length:
            break
    return place
