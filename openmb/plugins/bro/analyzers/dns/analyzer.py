"""
The analyser of DNS over UDP and TCP, of multicast DNS, LLMNR and the NetBIOS name service.
"""

from __future__ import annotations

from typing import ClassVar, Self

from openmb.plugins.bro.analyzers.analyzer import Analyzer, Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.dns.answers import Unreadable, Violation
from openmb.plugins.bro.analyzers.dns.entries import OpenRow
from openmb.plugins.bro.analyzers.dns.format import Held, packHeld, unpackHeld
from openmb.plugins.bro.analyzers.dns.message import HEADER_LENGTH, TRACKED, Message
from openmb.plugins.bro.analyzers.dns.names import NETBIOS_PORT
from openmb.plugins.bro.tracking.urgency import Urgency

_LENGTH = 2  # bytes of a message's length, over TCP


class _Side:
    """
    One direction of a TCP connection.

    @ivar held: an unfinished message, with its length before it.
    @ivar parsed: it was read as it is, because a side ended.
    """

    __slots__ = ("held", "parsed")

    def __init__(self, held: bytes = b"", parsed: bool = False) -> None:
        self.held, self.parsed = bytearray(held), parsed


class DNSAnalyzer(Analyzer):
    """Messages in, rows out; the rows that wait are in C{around.queries}."""

    __slots__ = ("_confirmed", "_first", "_second", "_seen", "_turned")

    service: ClassVar[Service] = Service.DNS
    readsPartial: ClassVar[bool] = True

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._seen = self._confirmed = self._turned = False
        self._first, self._second = _Side(), _Side()

    @property
    def urgency(self) -> Urgency:
        """See L{Analyzer.urgency}."""
        if not self.around.tcp:
            return Urgency.NONE
        return Urgency.OWN if self._first.held or self._second.held else Urgency.MESSAGES

    def data(self, originator: bool, data: bytes, now: int) -> None:
        """See L{Analyzer.data}."""
        if not self.around.tcp:
            self._message(data, originator, now)
            return
        side = self._first if originator != self._turned else self._second
        if side.parsed:
            side.held.clear()  # what follows an unfinished message that was read counts as a new one
            side.parsed = False
        held = side.held
        held += data
        place, end = 0, len(held)
        while end - place >= _LENGTH:
            begin = place + _LENGTH
            stop = begin + (held[place] << 8 | held[place + 1])
            if stop > end:
                break
            self._message(bytes(held[begin:stop]), originator, now)
            place = stop
        del held[:place]

    def finished(self, originator: bool, now: int) -> None:
        """Unfinished messages of both directions are read as they are, at the end of each: twice in all, as by Zeek."""
        for side in (self._first, self._second):
            if len(side.held) > _LENGTH:
                side.parsed = True
                self._message(bytes(side.held[_LENGTH:]), False, now)

    def removed(self, now: int) -> None:
        """What had no answer is written."""
        self.around.queries.close()
        self.findings += self.around.queries.take()

    def _message(self, data: bytes, originator: bool, now: int) -> None:
        """
        A whole message, or what there is of it.

        @param originator: it comes from there for certain.
        """
        if len(data) < HEADER_LENGTH:
            return
        around = self.around
        message = Message(data, around.ports, now)
        if not self._seen:
            self._seen = True
            # over UDP whoever counts the packets has turned the roles already
            if originator and message.isReply and around.tcp and not around.toGroup:
                self._turned = not self._turned
                self.findings.append(Sign.TURNED)
        if message.opcode in TRACKED:
            row = around.queries.begun(message.identifier, message.isReply, around.tcp, now)
            self._read(message, row)
            around.queries.ended(row)
            if around.queries.written:
                self.findings += around.queries.take()
        elif NETBIOS_PORT in around.ports:
            self._read(message, None)
        elif around.tcp:
            self.findings.append(Sign.EXCEEDED)

    def _read(self, message: Message, row: OpenRow | None) -> None:
        """Read a message into its row, as far as that goes."""
        try:
            message.read(row)
            if not self._confirmed:
                self._confirmed = True
                self.findings.append(Sign.CONFIRMED)
            if message.isUpdate:
                message.readChanges(row)
        except Violation:
            self.findings.append(Sign.VIOLATED)
        except Unreadable:
            return  # what was read counts

    def dump(self) -> bytes:
        """See L{openmb.plugins.bro.analyzers.dns.format.ANALYZER}."""
        first, second = self._first, self._second
        flags = (self._seen, self._confirmed, self._turned, first.parsed, second.parsed)
        return packHeld(Held(bytes(first.held), bytes(second.held), *flags))

    @classmethod
    def load(cls, data: bytes, around: Surroundings) -> Self:
        """See L{Analyzer.load}."""
        held = unpackHeld(data)
        analyzer = cls(around)
        analyzer._seen, analyzer._confirmed, analyzer._turned = held.seen, held.confirmed, held.turned
        analyzer._first = _Side(held.first, held.firstParsed)
        analyzer._second = _Side(held.second, held.secondParsed)
        return analyzer
