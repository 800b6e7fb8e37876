"""
The introspection events of a PRADS middlebox: what prads-asset.log says, told while it happens.
"""

from __future__ import annotations

import re
import struct

from openmb.interfaces import Announce
from openmb.plugins.prads.hosts import Service
from openmb.state.addresses import wordsAddress
from openmb.state.announcements import Announced, Announcement, Datum, Field, FieldType, Subject

_KEY = struct.Struct("<2Q")
_T, _W = FieldType.TEXT, FieldType.WHOLE
_HOST = Field("host", _T, "the host's address")
_VLAN = Field("vlan", _W, "VLAN tag of its packet that was seen last, 0 for none")
#: What a text of a file may hold that reads as an escaped octet, and the escapes.
_MISTAKABLE, _ESCAPED = re.compile(rb"\\(?=x[0-9a-f]{2})"), re.compile(rb"\\x([0-9a-f]{2})")
SYSTEM_FOUND = Announcement(
    "system-found",
    Subject.HOST,
    "A host has shown a fingerprint that it had not shown before, and its line is written.",
    (
        _HOST,
        _VLAN,
        Field("check", _T, "SYN, SYNACK, FIN, RST or ACK"),
        Field("line", _W, "which signature of that check's file, from 0; -1: none"),
        Field("system", _T, "the system and its details"),
    ),
)
SERVICE_FOUND = Announcement(
    "service-found",
    Subject.HOST,
    "A service of a host is new, or another one than was known, and its line is written.",
    (
        _HOST,
        _VLAN,
        Field("port", _W, "the port"),
        Field("protocol", _W, "6 for TCP, 17 for UDP"),
        Field("role", _W, "2 server; 1 or 0 client"),
        Field("service", _T, "the service"),
        Field("application", _T, "what the signature made of it; @ and a name if only the port tells"),
        Field("ttl", _W, "of the packet that told of it first"),
    ),
)
CARD_FOUND = Announcement(
    "card-found",
    Subject.HOST,
    "An ARP reply tells of a network card that was not known, and its line is written.",
    (_HOST, _VLAN, Field("card", _T, "its address, hexadecimal"), Field("vendor", _T, "who made it")),
)
ANNOUNCEMENTS = (SYSTEM_FOUND, SERVICE_FOUND, CARD_FOUND)


def hostText(key: bytes) -> str:
    """The address of a host's native key."""
    return str(wordsAddress(*_KEY.unpack(key)))


class Announcer:
    """Tells who listens."""

    def __init__(self) -> None:
        self.wanted: frozenset[str] = frozenset()
        self._announce: Announce | None = None

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        """See C{IAnnouncer}."""
        self.wanted, self._announce = wanted, announce

    def _tell(self, event: Announcement, key: bytes, stamp: int, *values: Datum) -> None:
        if event.name in self.wanted and self._announce is not None:
            self._announce([Announced(event.name, stamp, key, (hostText(key), *values))])

    def system(self, key: bytes, vlan: int, stamp: int, check: str, line: int, name: bytes) -> None:
        """A line about a system is written."""
        if self.wanted:
            self._tell(SYSTEM_FOUND, key, stamp, vlan, check, line, textOf(name))

    def service(self, key: bytes, vlan: int, stamp: int, at: tuple[int, int], service: Service) -> None:
        """A line about a service is written."""
        if self.wanted:
            texts = textOf(service.name), textOf(service.application)
            self._tell(SERVICE_FOUND, key, stamp, vlan, *at, service.role, *texts, service.ttl)

    def card(self, key: bytes, vlan: int, stamp: int, card: bytes, vendor: bytes | None) -> None:
        """A line about a network card is written."""
        if self.wanted:
            self._tell(CARD_FOUND, key, stamp, vlan, card.hex(), None if vendor is None else textOf(vendor))


def textOf(octets: bytes) -> str:
    """
    What a file has, as the text of an event: an octet that is no UTF-8 as a backslash, C{x} and two digits, and so is a
    backslash that could be taken for the beginning of one.  At most four characters an octet.
    """
    return _MISTAKABLE.sub(rb"\\x5c", octets).decode("utf-8", "backslashreplace")


def octetsOf(text: str) -> bytes:
    """The inverse of L{textOf}."""
    return _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), text.encode("utf-8"))
