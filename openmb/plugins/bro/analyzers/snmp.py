"""
SNMP, versions 1, 2c and 3, as far as a message has to be well formed.

Of the Basic Encoding Rules Zeek checks tags, and that values end within the datagram, but not that a SEQUENCE does.
A PDU with an unknown tag is accepted; its length has to be readable. Only what a responder sends confirms.

Source: RFC 1157, RFC 3412 and RFC 3416; the limits of Zeek's analyser.
"""

from __future__ import annotations

from typing import ClassVar

from openmb.plugins.bro.analyzers.analyzer import Service, Sign
from openmb.plugins.bro.analyzers.datagrams import DatagramAnalyzer, Malformed

_INTEGER, _OCTETS, _OBJECT, _SEQUENCE, _IP_ADDRESS, _TICKS = 0x02, 0x04, 0x06, 0x30, 0x40, 0x43
_TRAP = 0xA4
_PDUS = range(0xA0, 0xA9)
_LONGEST_INTEGER = 9
_WORD = (1 << 64) - 1


class SNMPAnalyzer(DatagramAnalyzer):
    """Parses messages to their end."""

    __slots__ = ()

    service: ClassVar[Service] = Service.SNMP

    def parse(self, originator: bool, data: bytes) -> None:
        """See L{DatagramAnalyzer.parse}."""
        place = _sequence(data, 0)
        number, place = _value(data, place, _INTEGER)
        version = _wrapped(number)
        plain = version in (0, 1)
        if plain:
            place = _value(data, place, _OCTETS)[1]
        elif version == 3:
            plain, place = self._versionThree(data, place)
        if not originator:
            self.confirm()
        if plain:
            _pdu(data, place)

    def _versionThree(self, data: bytes, place: int) -> tuple[bool, int]:
        """Read the header of version 3; does a PDU follow that is not encrypted, and where?"""
        place = _sequence(data, place)
        for _ in ("message id", "maximum size"):
            place = _value(data, place, _INTEGER)[1]
        flags, place = _value(data, place, _OCTETS)
        place = _value(data, place, _INTEGER)[1]
        if len(flags) != 1:
            self.findings.append(Sign.VIOLATED)
        place = _value(data, place, _OCTETS)[1]
        tag, _length, place = _header(data, place)
        if tag != _SEQUENCE:
            return False, place
        for _ in ("context's engine", "context's name"):
            place = _value(data, place, _OCTETS)[1]
        return True, place


def _pdu(data: bytes, place: int) -> None:
    tag, _length, place = _header(data, place)
    if tag not in _PDUS:
        return
    fields = (_OBJECT, _IP_ADDRESS, _INTEGER, _INTEGER, _TICKS) if tag == _TRAP else (_INTEGER,) * 3
    for expected in fields:
        place = _value(data, place, expected)[1]
    place = _sequence(data, place)
    while place < len(data):  # every turn takes six bytes or more
        place = _value(data, _sequence(data, place), _OBJECT)[1]
        place = _value(data, place, None)[1]


def _header(data: bytes, place: int) -> tuple[int, int, int]:
    """Tag, length, and where the contents begin."""
    begin = place + 2
    if begin > len(data):
        raise Malformed
    tag, length = data[place], data[place + 1]
    if length < 0x80:
        return tag, length, begin
    end = begin + (length & 0x7F)
    if end > len(data):
        raise Malformed
    return tag, _wrapped(data[begin:end]), end


def _sequence(data: bytes, place: int) -> int:
    """Where the contents of the SEQUENCE that must stand here begin."""
    tag, _length, place = _header(data, place)
    if tag != _SEQUENCE:
        raise Malformed
    return place


def _value(data: bytes, place: int, expected: int | None) -> tuple[bytes, int]:
    """A value and where it ends."""
    tag, length, begin = _header(data, place)
    end = begin + length
    if end > len(data) or (expected is not None and tag != expected):
        raise Malformed
    if tag == expected == _INTEGER and length > _LONGEST_INTEGER:
        raise Malformed
    return data[begin:end], end


def _wrapped(data: bytes) -> int:
    """A number of any size as Zeek reads it: of 64 bits, later bytes over the earlier ones that do not fit."""
    number = int.from_bytes(data, "big")
    folded = number & _WORD
    while number := number >> 64:
        folded |= number & _WORD
    return folded
