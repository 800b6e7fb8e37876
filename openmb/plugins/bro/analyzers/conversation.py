"""
All that reads the data of one connection: which analysers it has, what they found, and the bytes that wait for a hole
to be filled.

The analysers of its port are there from the start, others come by signature, and a violation early in the connection
takes one away. Rules: Zeek 8.2's analyser manager and dynamic protocol detection.

An object exists only once there is data, so connections without it cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from openmb.plugins.bro.analyzers.agreed import Agreed
from openmb.plugins.bro.analyzers.ahead import Ahead
from openmb.plugins.bro.analyzers.analyzer import Analyzer, Expectation, Service, Sign, Surroundings
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.analyzers.http.rows import HTTPRow
from openmb.plugins.bro.analyzers.kinds import KINDS
from openmb.plugins.bro.analyzers.signatures import Matcher
from openmb.plugins.bro.tracking.pieces import (
    PIECE_BORN,
    PIECE_CLEARED,
    PIECE_DATA,
    PIECE_DATAGRAM,
    PIECE_ENDED,
    PIECE_HELD,
    PIECE_LOST,
    PIECE_RELEASED,
    PIECE_RESET,
    Piece,
)
from openmb.plugins.bro.tracking.states import NEVER
from openmb.plugins.bro.tracking.urgency import Urgency

#: A violation counts only while both sides together have sent at most so many bytes (DPD::ignore_violations_after).
VIOLATIONS_UNTIL = 10240

#: Nothing is known of what the record says.
UNTOLD = (-1, -1)

#: Analysers of one connection at most, those that were taken away included.
MOST_ANALYZERS = 16

#: Analysers that have nothing more to say once they have confirmed and a violation no longer counts.
_SETTLED = frozenset((Service.SSL, Service.DTLS, Service.DHCP, Service.SNMP))

_DTLS_RECORD = b"\x16"

#: Services whose connections may be idle for an hour once they are confirmed.
_INTERACTIVE = frozenset((Service.SSH, Service.FTP))


class Conversation:
    """
    The application layer of one connection.

    @ivar services: what it speaks, in the order in which that was found out.
    @ivar analyzers: those that read it.
    @ivar matcher: what looks for signatures; None when it is over.
    @ivar position: for each endpoint of the native key, the relative sequence number up to which data was delivered.
    @ivar ahead: bytes that came ahead of a hole.
    @ivar rows: rows of application logs that nobody has taken yet.
    @ivar expected: connections that were agreed on and that nobody has taken yet.
    @ivar agreed: those that were, with their addresses.
    @ivar renamed: the services have changed.
    @ivar exceeded: C{X} belongs into the history.
    @ivar stamp: time of the newest piece, nanoseconds.
    @ivar told: what the record says of bytes that nobody wants, the originator's and the responder's.
    @ivar turned: the roles must turn.
    @ivar interactive: it may be idle for an hour.
    """

    __slots__ = (
        "_events",
        "_isPartial",
        "_packet",
        "_size",
        "agreed",
        "ahead",
        "analyzers",
        "around",
        "attached",
        "exceeded",
        "expected",
        "interactive",
        "matcher",
        "position",
        "renamed",
        "rows",
        "services",
        "stamp",
        "told",
        "turned",
    )

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.services: list[Service] = []
        self.analyzers: list[Analyzer] = []
        self.matcher: Matcher | None = None
        self.position = [1, 1]
        self.ahead = Ahead()
        self.rows: list[HTTPRow | DNSRow] = []
        self.expected: list[Expectation] = []
        self.agreed: list[Agreed] = []
        self.exceeded = self.turned = self.interactive = self.renamed = False
        self.attached = 0  # analysers so far
        self.told = (0, 0)
        self._events: list[tuple[Analyzer, Sign, int]] = []  # with the bytes sent by then
        self._packet = -1
        self.stamp = self._size = 0
        self._isPartial = False

    def begin(self, port: int, isExpected: bool = False) -> None:
        """
        The connection has just begun.

        @param port: the service of its responder's port, 0 for none.
        @param isExpected: another connection agreed on it: its port does not count.
        """
        if isExpected:
            self.services.append(Service.FTP_DATA)
            self.renamed = True
        elif port:
            self._attach(port)
        if self.around.tcp:
            self.matcher = Matcher()

    def fallSilent(self) -> None:
        """An analyser threw: the connection goes on, nothing more is read of its data."""
        self.analyzers.clear()
        self._events.clear()
        self.matcher = None
        self.ahead = Ahead()

    @property
    def isOver(self) -> bool:
        """Is there nothing left to read, and nothing open that is to be written at the end?"""
        return not (
            self.analyzers or self.matcher or self._events or self.around.requests.pending or self.around.queries.isOpen
        )

    def urgency(self, isSuspect: bool) -> Urgency:
        """
        May what is read next change how a packet that comes soon is counted?

        @param isSuspect: the first bytes looked as if it could be something that does.
        """
        least = Urgency.NONE
        for analyzer in self.analyzers:
            mine = analyzer.urgency
            if mine in (Urgency.ANY, Urgency.LINES):
                return mine
            if mine != Urgency.NONE:
                least = mine if least == Urgency.NONE else Urgency.OWN
        if self.matcher is not None and isSuspect and self.matcher.mayBeFTP:
            return Urgency.ANY if self.matcher.mayAgree else Urgency.LINES
        return least

    def _attach(self, service: int) -> Analyzer:
        analyzer = KINDS[service](self.around)
        self.analyzers.append(analyzer)
        self.attached += 1
        return analyzer

    # -- pieces

    def take(self, piece: Piece, data: bytes) -> None:
        """Feed one piece; C{data}: its bytes, where it has any."""
        if piece.packet != self._packet:
            if self._events:
                self.settle()
            self._packet = piece.packet
        kind, originator = piece.kind, piece.side == 0
        end = piece.side ^ piece.swapped
        self.stamp, self._size, self._isPartial = piece.stamp, piece.size, piece.partial != 0
        if kind == PIECE_DATAGRAM:
            self._datagram(originator, data)
            return
        if kind == PIECE_HELD:
            self._hold(originator, end, piece.sequence, data)
            return
        if kind == PIECE_CLEARED:
            self.ahead.clear(end)
            return
        if piece.others > self.position[1 - end]:
            self._pass(not originator, 1 - end, piece.others)
        if kind == PIECE_RESET:
            if piece.mine > self.position[end]:
                self._pass(originator, end, piece.mine)
            for analyzer in self.analyzers:
                analyzer.reset(piece.stamp)
                self._note(analyzer)
        elif kind != PIECE_BORN:
            if piece.sequence > self.position[end]:
                self._pass(originator, end, piece.sequence)
            self._deliver(kind, originator, end, piece, data)

    def _deliver(self, kind: int, originator: bool, end: int, piece: Piece, data: bytes) -> None:
        if kind == PIECE_DATA:
            self.position[end] = piece.sequence + piece.length
            self.read(originator, data)
        elif kind == PIECE_ENDED:
            self._finished(originator)
        elif kind == PIECE_LOST:
            self.position[end] = piece.sequence + piece.length
            self._gap(originator, piece.length)
        elif kind == PIECE_RELEASED:
            self._release(originator, end, piece.sequence, piece.length)

    def _datagram(self, originator: bool, data: bytes) -> None:
        """One UDP datagram's payload."""
        if not self.attached:
            # the kernel has seen a signature: one of two
            self._attach(Service.DTLS if data[:1] == _DTLS_RECORD else Service.DHCP)
        for analyzer in self.analyzers:
            analyzer.data(originator, data, self.stamp)
            if analyzer.findings:
                self._note(analyzer)

    def _readers(self, originator: bool) -> Iterator[Analyzer]:
        """Those who want to know of this direction, one after the other; what each has found is noted."""
        for analyzer in self.analyzers:
            if (not self._isPartial or analyzer.readsPartial) and analyzer.skip(originator) >= 0:
                yield analyzer
                if analyzer.findings:
                    self._note(analyzer)

    def read(self, originator: bool, data: bytes) -> None:
        """In-order bytes, which came at L{stamp}; what they confirm or violate counts with L{settle}."""
        for analyzer in self._readers(originator):
            analyzer.data(originator, data, self.stamp)
        matcher = self.matcher
        if matcher is not None:
            for service in matcher.take(originator, data):
                self._signature(matcher, service)
            if matcher.isOver:
                self.matcher = None

    def _signature(self, matcher: Matcher, service: Service) -> None:
        """A signature has matched: unless its analyser is there, a new one gets everything that came so far."""
        if self.attached >= MOST_ANALYZERS or any(one.service == service for one in self.analyzers):
            return
        analyzer = self._attach(service)
        if self._isPartial and not analyzer.readsPartial:
            return
        for originator, chunk in matcher.chunks:
            if analyzer.skip(originator) < 0:
                continue
            if isinstance(chunk, bytes):
                analyzer.data(originator, chunk, self.stamp)
            else:
                analyzer.gap(originator, chunk, self.stamp)
            self._note(analyzer)

    def _pass(self, originator: bool, end: int, until: int) -> None:
        """Tell the analysers of bytes up to C{until} that the kernel left out."""
        length, self.position[end] = until - self.position[end], until
        self.tellSkipped(originator, length)

    def tellSkipped(self, originator: bool, length: int) -> None:
        """So many bytes came that nobody wanted."""
        for analyzer in self._readers(originator):
            analyzer.skipped(originator, length, self.stamp)

    def _gap(self, originator: bool, length: int) -> None:
        for analyzer in self._readers(originator):
            analyzer.gap(originator, length, self.stamp)
        if self.matcher is not None:
            self.matcher.gap(originator, length)
            if self.matcher.isOver:
                self.matcher = None

    def _finished(self, originator: bool) -> None:
        for analyzer in self._readers(originator):
            analyzer.finished(originator, self.stamp)

    def _hold(self, originator: bool, end: int, sequence: int, data: bytes) -> None:
        """Keep bytes that came ahead of a hole, unless nobody will want them."""
        if sequence + len(data) > self.wanted(originator, end):
            self.ahead.hold(end, sequence, data)

    def _release(self, originator: bool, end: int, position: int, length: int) -> None:
        """Feed held bytes."""
        for part in self.ahead.release(end, position, position + length):
            if isinstance(part, bytes):
                self.read(originator, part)
            elif part <= self._skip(originator):
                self.tellSkipped(originator, part)
            else:
                self._gap(originator, part)
        self.position[end] = position + length

    # -- findings

    def _note(self, analyzer: Analyzer) -> None:
        """Sort what an analyser has found; confirmations and violations count when the packet is through."""
        for finding in analyzer.findings:
            if isinstance(finding, HTTPRow | DNSRow):
                self.rows.append(finding)
            elif isinstance(finding, Expectation):
                self.expected.append(finding)
            elif finding is Sign.EXCEEDED:
                self.exceeded = True
            elif finding is Sign.TURNED:
                self._turn()
            elif not self._events or self._events[-1] != (analyzer, finding, self._size):
                self._events.append((analyzer, finding, self._size))
        analyzer.findings.clear()

    def _turn(self) -> None:
        """Originator and responder change places."""
        self.turned = not self.turned
        first, second = self.around.ports
        self.around.ports = (second, first)
        if self.matcher is not None:
            self.matcher.turn()

    def settle(self) -> None:
        """A packet is through: act on what was confirmed and violated in it, in order."""
        self._packet = -1
        if not self._events:
            if self._size > VIOLATIONS_UNTIL and self.analyzers and self._settled(self.analyzers[0]):
                self.analyzers = [analyzer for analyzer in self.analyzers if not self._settled(analyzer)]
            return
        events, self._events = self._events, []
        for analyzer, sign, size in events:
            service = analyzer.service
            if sign is Sign.ENCRYPTED:
                if self.attached < MOST_ANALYZERS:
                    self._attach(Service.SSL)
            elif sign is Sign.CONFIRMED:
                if service not in self.services:
                    self.services.append(service)
                    self.renamed = True
                    self.interactive = self.interactive or service in _INTERACTIVE
            elif size <= VIOLATIONS_UNTIL:
                if analyzer in self.analyzers:
                    self.analyzers.remove(analyzer)
                    analyzer.interrupted(self.stamp)
                    self.rows += [one for one in analyzer.findings if isinstance(one, HTTPRow | DNSRow)]
                    analyzer.findings.clear()
                if service in self.services:
                    self.services.remove(service)
                    self.renamed = True

    def _settled(self, analyzer: Analyzer) -> bool:
        """Will this analyser change nothing any more?"""
        return self._size > VIOLATIONS_UNTIL and analyzer.service in _SETTLED and analyzer.service in self.services

    # -- from and to the fast path

    def ordinary(self) -> Analyzer | None:
        """The only analyser, if its service is the only one that was ever found and nothing else is going on."""
        busy = self.matcher is not None or self._events or self.rows or self.expected or self.agreed or self.exceeded
        if busy or self._isPartial or self.ahead.isWaiting or len(self.analyzers) != 1 or self.attached != 1:
            return None
        return self.analyzers[0] if self.services == [self.analyzers[0].service] else None

    def removed(self, piece: Piece) -> None:
        """The connection is removed: what is open ends, and may violate at last."""
        self.settle()
        self.stamp, self._size, self._isPartial = piece.stamp, piece.size, piece.partial != 0
        if self.around.tcp:
            for side, until in ((piece.side, piece.mine), (1 - piece.side, piece.others)):
                if until > self.position[side ^ piece.swapped]:
                    self._pass(side == 0, side ^ piece.swapped, until)
        for analyzer in self.analyzers:
            analyzer.removed(piece.stamp)
            self._note(analyzer)
        self.settle()
        self.around.requests.close()
        self.around.queries.close()
        self.rows += self.around.requests.take()
        self.rows += self.around.queries.take()

    # -- what the kernel need not tell

    def _skip(self, originator: bool) -> int:
        """How many bytes of this direction nobody wants; -1: any number."""
        if self.matcher is not None:
            return 0
        least = -1
        for analyzer in self.analyzers:
            skip = analyzer.skip(originator)
            if skip == 0:
                return 0
            if skip > 0 and (least < 0 or skip < least):
                least = skip
        return least

    def wanted(self, originator: bool, end: int) -> int:
        """The relative sequence number below which nothing more is wanted."""
        skip = self._skip(originator)
        if skip < 0:
            return int(NEVER)
        return self.position[end] + skip if skip else 0
