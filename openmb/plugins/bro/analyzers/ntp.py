"""
NTP: every datagram that parses as its mode says confirms; a server's message from the originator, or a client's from
the responder, turns the roles, whichever message it is.

Source: RFC 5905; RFC 5906 for the extension fields; RFC 1305's appendix B for mode 6; Zeek's analyser for how strictly
they are read.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from openmb.plugins.bro.analyzers.analyzer import Service
from openmb.plugins.bro.analyzers.datagrams import DatagramAnalyzer, Malformed

_CLIENT, _SERVER, _CONTROL, _PRIVATE = 3, 4, 6, 7
_STANDARD, _CONTROL_HEADER, _PRIVATE_HEADER = 48, 12, 6
_LARGEST_CODE = 24  # what remains after the extension fields: nothing, or an authentication code
_PRIVATE_CODE = 20
_SHORT = struct.Struct(">H")
_LONG = struct.Struct(">L")
_BEFORE_VALUE = 18  # of an extension field as Zeek reads it: with two bytes for the association, RFC 5906 has four


class NTPAnalyzer(DatagramAnalyzer):
    """Parses datagrams of all eight modes."""

    __slots__ = ()

    service: ClassVar[Service] = Service.NTP
    flags: ClassVar[int] = 7

    def parse(self, originator: bool, data: bytes) -> None:
        """See L{DatagramAnalyzer.parse}."""
        if not data:
            raise Malformed
        mode = data[0] & 7
        if mode == _CONTROL:
            _control(data)
        elif mode == _PRIVATE:
            _private(data)
        elif mode:
            _standard(data)
        self.confirm()
        if mode == (_SERVER if originator else _CLIENT):
            self.turnOnce(originator)


def _control(data: bytes) -> None:
    if len(data) < _CONTROL_HEADER or len(data) < _CONTROL_HEADER + _SHORT.unpack_from(data, 10)[0]:
        raise Malformed


def _private(data: bytes) -> None:
    """Mode 7; Zeek takes the count of items for the length of the data, and the data for beginning right after it."""
    if len(data) < _PRIVATE_HEADER:
        raise Malformed
    length = _SHORT.unpack_from(data, 4)[0] & 0x0FFF
    if len(data) < _PRIVATE_HEADER + length + (_PRIVATE_CODE if data[1] & 0x80 else 0):
        raise Malformed


def _standard(data: bytes) -> None:
    place, end = _STANDARD, len(data)
    if end < place:
        raise Malformed
    while end - place > _LARGEST_CODE:
        place = _extension(data, place)


def _extension(data: bytes, begin: int) -> int:
    """Where the extension field ends that begins here; at least 22 bytes later."""
    signature = begin + _BEFORE_VALUE + int(_LONG.unpack_from(data, begin + 14)[0])
    if signature + 4 > len(data):
        raise Malformed
    end = signature + 4 + int(_LONG.unpack_from(data, signature)[0])
    end = max(end, begin + int(_SHORT.unpack_from(data, begin + 2)[0]))
    if end > len(data):
        raise Malformed
    return end
