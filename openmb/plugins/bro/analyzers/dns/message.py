"""
One message: its header, then its questions and answers into the row it belongs to.

Authority and additional sections are not looked at, except that in a dynamic update the former holds the changes.
"""

from __future__ import annotations

import struct

from openmb.plugins.bro.analyzers.dns.answers import READERS, Unreadable, Violation
from openmb.plugins.bro.analyzers.dns.entries import OpenRow
from openmb.plugins.bro.analyzers.dns.labels import netbiosName, readName, skipName
from openmb.plugins.bro.analyzers.dns.names import NETBIOS_PORT, SRV, typeName

#: Bytes of a header; what is shorter is no message.
HEADER_LENGTH = 12

#: The opcodes that are in use; messages with others have no row.
QUERY, NOTIFY, UPDATE = 0, 4, 5
TRACKED = frozenset((QUERY, NOTIFY, UPDATE))

#: A message with more questions is none.
MOST_QUESTIONS = 25

#: When the texts of a section have more bytes, the rest is not read: compression makes megabytes of one message.  Zeek
#: has no such bound.
MOST_TEXT = 256 << 10

_HEADER, _RECORD, _PAIR = struct.Struct("!HBBHHHH"), struct.Struct("!HHLH"), struct.Struct("!HH")
_NONE, _ANY = 254, 255
_NSEC = 47
_POINTER = 0xC0
_ADDRESSES = {1: b"A", 28: b"AAAA", 38: b"A6"}


class Message:
    """
    A message whose header was read.

    @param data: at least a header.
    @param ports: of the connection, originator's and responder's.
    @ivar isReply: the QR bit.
    @ivar isUpdate: a dynamic update, not of NetBIOS.
    """

    __slots__ = (
        "_answers",
        "_changes",
        "_data",
        "_more",
        "_now",
        "_place",
        "_questions",
        "_responderIsNetbios",
        "_second",
        "_third",
        "identifier",
        "isReply",
        "isUpdate",
        "opcode",
    )

    def __init__(self, data: bytes, ports: tuple[int, int], now: int) -> None:
        (self.identifier, self._second, self._third, self._questions, self._answers, self._changes, self._more) = (
            _HEADER.unpack_from(data)
        )
        self._data, self._now, self._place = data, now, HEADER_LENGTH
        self.isReply, self.opcode = self._second >= 128, self._second >> 3 & 15
        self._responderIsNetbios = ports[1] == NETBIOS_PORT
        self.isUpdate = self.opcode == UPDATE and NETBIOS_PORT not in ports

    def read(self, row: OpenRow | None) -> None:
        """
        Read questions and answers.

        @param row: where to note them; None: nowhere.
        @raise Unreadable: the message breaks off; what came before is noted.
        @raise Violation: this is no DNS message.
        """
        if row is not None:
            row.opcode = self.opcode
            if self.isReply:
                row.code = code = self._third & 15
                if code and not self._questions:
                    row.rejected = True
        if self._questions > MOST_QUESTIONS:
            raise Violation("too many questions")
        for _ in range(self._questions):
            self._readQuestion(row)
        if self._answers:
            self._readRecords(self._answers, row, False)

    def readChanges(self, row: OpenRow | None) -> None:
        """Read what a dynamic update changes; after L{read}, and with the same errors."""
        self._readRecords(self._changes, row, True)

    def _readQuestion(self, row: OpenRow | None) -> None:
        data, end = self._data, len(self._data)
        begin = self._place
        place = skipName(data, begin, end, self._responderIsNetbios)
        if end - place < 4:
            raise Unreadable("a question beyond the end")
        self._place = place + 4
        if row is None or self.isUpdate:
            return
        if self.isReply:
            if not (self._answers or self._changes or self._more):
                row.rejected = True
            return
        name = self._name(begin)
        row.query = netbiosName(name) if self._responderIsNetbios else name
        row.queryType, row.queryClass = _PAIR.unpack_from(data, place)
        row.recursionDesired, row.truncated = self._second & 1 == 1, self._second & 2 == 2
        row.flags = self._third >> 4 & 7

    def _readRecords(self, count: int, row: OpenRow | None, areChanges: bool) -> None:
        """Read a section of resource records."""
        texts: list[bytes] = []
        lifetimes: list[int] = []
        first, room = -1, MOST_TEXT  # where the first record stands that counts as an answer
        try:
            for _ in range(count):
                if room < 0:
                    raise Unreadable("more text than a message should expand to")
                begin = self._place
                text, lifetime = self._readUpdate(areChanges) if self.isUpdate else self._readRecord()
                if text is not None:
                    if first < 0:
                        first = begin
                    if text:
                        texts.append(text)
                        lifetimes.append(lifetime)
                        room -= len(text)
        finally:
            if row is not None and self.isReply and first >= 0:
                self._note(row, first, tuple(texts), tuple(lifetimes))

    def _note(self, row: OpenRow, first: int, texts: tuple[bytes, ...], lifetimes: tuple[int, ...]) -> None:
        """There were answers."""
        if row.query is None:
            row.query = self._name(first)
        row.authoritative, row.recursionAvailable = self._second & 4 == 4, self._third & 128 == 128
        # times are cut to microseconds first, as everywhere in the logs
        row.roundTrip = row.roundTrip or self._now // 1000 - row.stamp // 1000 or None
        if texts:
            row.answers, row.lifetimes = (row.answers or ()) + texts, (row.lifetimes or ()) + lifetimes

    def _name(self, place: int) -> bytes:
        """The name at C{place}."""
        return readName(self._data, place, len(self._data), self._responderIsNetbios)[0]

    def _readHead(self) -> tuple[int, int, int, int]:
        """Type, class, lifetime and length of the next record."""
        data, end, place = self._data, len(self._data), self._place
        if place + 1 < end and data[place] >= _POINTER:
            place += 2
        else:
            place = skipName(data, place, end, self._responderIsNetbios)
        if end - place < 10:
            raise Unreadable("a record beyond the end")
        self._place = place + 10
        head = _RECORD.unpack_from(data, place)
        left = end - place - 10
        if head[3] > left or (not head[3] and left and not self.isUpdate):
            raise Unreadable("the data of a record beyond the end, or none")
        return head

    def _readRecord(self) -> tuple[bytes | None, int]:
        """The text of the next record, None if it is passed over, and its lifetime."""
        begin = self._place
        kind, _, lifetime, length = self._readHead()
        reader = READERS.get(kind)
        if reader is None:
            self._place += length
            return b"<unknown type=%d>" % kind, lifetime
        if kind == SRV and self._responderIsNetbios:
            return None, lifetime  # the status of a node; reading goes on inside, as in Zeek
        owner = self._name(begin) if kind == _NSEC else b""
        text, self._place = reader(self._data, self._place, len(self._data), length, self._responderIsNetbios, owner)
        return text, lifetime

    def _readUpdate(self, isChange: bool) -> tuple[bytes | None, int]:
        """The text of a condition or a change of a dynamic update, and its lifetime."""
        begin = self._place
        kind, group, lifetime, length = self._readHead()
        if isChange and group not in (_NONE, _ANY):
            self._place = begin
            text = self._readRecord()[0]
            if text and kind in _ADDRESSES:
                text = b"%s %s %s" % (_ADDRESSES[kind], self._name(begin), text)
            return text and b"add: " + text, lifetime
        self._place += length
        typed = typeName(kind).encode("ascii")
        if isChange and group == _ANY and kind != _ANY:
            return b"del: RRSet " + typed, lifetime
        name = self._name(begin)
        if not isChange:
            return b"pre: " + _condition(kind, group, name, typed), lifetime
        return b"del: " + (b"RR %s %s" % (typed, name) if group == _NONE else b"RRSet * " + name), lifetime


def _condition(kind: int, group: int, name: bytes, typed: bytes) -> bytes:
    """A condition of a dynamic update (RFC 2136, section 2.4)."""
    if kind == _ANY and group in (_NONE, _ANY):
        return (b"NameInUse " if group == _ANY else b"NameNotInUse ") + name
    return b"%s %s %s" % (b"NoRRSet" if group == _NONE else b"RRSetExists", typed, name)
