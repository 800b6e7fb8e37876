"""DNS over TCP: framing, roles, ends; and the same of both transports: dumps, junk, bounds."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.analyzer import Finding, Sign, Surroundings
from openmb.plugins.bro.analyzers.dns.analyzer import DNSAnalyzer
from openmb.plugins.bro.analyzers.dns.format import ANALYZER, WAITING
from openmb.plugins.bro.analyzers.dns.rows import HEAVIEST, Queries
from tests.plugins.bro.analyzers.dnswire import (
    CNAME,
    MILLISECOND,
    START,
    TXT,
    A,
    analyzer,
    framed,
    header,
    logged,
    name,
    query,
    question,
    record,
    reply,
    rows,
    signs,
    talk,
)

ADDRESS = record(A, b"\1\2\3\4")
ANSWER = reply(record(CNAME, name("Host.example.org")), ADDRESS, record(TXT, b"\2hi"))
MOST_STATE = 256 << 10


def finish(subject: DNSAnalyzer) -> list[Finding]:
    """Both sides end, then the connection."""
    subject.finished(True, START + 10)
    subject.finished(False, START + 20)
    subject.removed(START + 30)
    found, subject.findings = subject.findings, []
    return found


class FramingTests(SynchronousTestCase):
    """Messages with their length before them."""

    CLIENT = framed(query(1), query(2, question("a.b", 16)), b"", query(3, flags=0x0200))
    SERVER = framed(reply(identifier=2), ANSWER.replace(b"\0\7", b"\0\1", 1))

    def feed(self, size: int, moving: bool) -> list[Finding]:
        """In pieces of C{size}; moved after each of them."""
        subject, found = analyzer(tcp=True), []
        for originator, data, now in ((True, self.CLIENT, START), (False, self.SERVER, START + MILLISECOND)):
            for place in range(0, len(data), size):
                subject.data(originator, data[place : place + size], now)
                found += subject.findings
                subject.findings.clear()
                if moving:
                    subject = moved(subject)
        return found + finish(subject)

    def test_anySegmentation(self) -> None:
        whole = self.feed(1 << 20, False)
        self.assertEqual([each.identifier for each in rows(whole)], [2, 1, 3])
        self.assertEqual(signs(whole), [Sign.CONFIRMED])
        for size in range(1, len(self.CLIENT)):
            self.assertEqual(self.feed(size, False), whole, size)

    def test_movedAtEveryByte(self) -> None:
        self.assertEqual(self.feed(1, True), self.feed(1 << 20, False))

    def test_gap(self) -> None:
        """Bytes are just missing: framing goes on blindly."""
        subject = analyzer(tcp=True)
        data = framed(query(1, question("abcdef.example.com")), query(2))
        subject.data(True, data[:20], START)
        subject.gap(True, 3, START)
        subject.data(True, data[23:], START)
        found = finish(subject)
        self.assertEqual(rows(found)[0].identifier, 1)
        self.assertNotIn(2, [each.identifier for each in rows(found)])


class RoleTests(SynchronousTestCase):
    """A reply as the first message."""

    def test_turned(self) -> None:
        """The sides are told apart by what they are then called; an unfinished message stays with its side."""
        subject = analyzer(tcp=True)
        data = framed(ANSWER, reply(identifier=9))
        subject.data(True, data[:-5], START)
        self.assertEqual(signs(subject.findings), [Sign.TURNED, Sign.CONFIRMED])
        subject.data(True, framed(query()), START)
        self.assertEqual(len(rows(subject.findings)), 1)
        subject.data(False, data[-5:], START)
        subject.removed(START)
        self.assertEqual([each.identifier for each in rows(subject.findings)], [7, 9])

    def test_movedTurned(self) -> None:
        subject = analyzer(tcp=True)
        data = framed(ANSWER, reply(identifier=9))
        subject.data(True, data[:-5], START)
        subject = moved(subject)
        subject.data(False, data[-5:], START)
        subject.removed(START)
        self.assertEqual([each.identifier for each in rows(subject.findings)], [7, 9])

    def test_notTurned(self) -> None:
        """By a query, by the responder, later, for a group, over UDP."""
        subject = analyzer(tcp=True)
        subject.data(True, framed(query(), ANSWER), START)
        self.assertNotIn(Sign.TURNED, subject.findings)
        subject = analyzer(tcp=True)
        subject.data(False, framed(ANSWER), START)
        subject.data(True, framed(ANSWER), START)
        self.assertNotIn(Sign.TURNED, subject.findings)
        subject = analyzer(tcp=True, toGroup=True)
        subject.data(True, framed(ANSWER), START)
        self.assertNotIn(Sign.TURNED, subject.findings)
        subject = analyzer()
        subject.data(True, ANSWER, START)
        self.assertNotIn(Sign.TURNED, subject.findings)

    def test_unknownOpcodeToo(self) -> None:
        subject = analyzer(tcp=True)
        subject.data(True, framed(header(1, 0x9800)), START)
        self.assertEqual(subject.findings, [Sign.TURNED, Sign.EXCEEDED])


class EndTests(SynchronousTestCase):
    """Messages that a side leaves unfinished."""

    def test_twice(self) -> None:
        """Read at the end of each side: here query and reply twice."""
        subject = analyzer(tcp=True)
        subject.data(True, b"\1\0" + query(), START)
        subject.data(False, b"\1\0" + ANSWER, START)
        subject.finished(True, START + MILLISECOND)
        subject.finished(False, START + 3 * MILLISECOND)
        first, second = (logged(each) for each in rows(subject.findings))
        self.assertEqual((first.pop("ts"), second.pop("ts")), ("1600000000.001000", "1600000000.003000"))
        self.assertEqual((first, first["answers"]), (second, "host.example.org,1.2.3.4,TXT 2 hi"))

    def test_header(self) -> None:
        """Not when there is nothing but a length."""
        subject = analyzer(tcp=True)
        subject.data(True, b"\0", START)
        subject.data(False, b"\0\7", START)
        self.assertEqual(finish(subject), [])

    def test_dataAfterwards(self) -> None:
        """The other side ended: what this one sends next begins a message."""
        subject = analyzer(tcp=True)
        subject.data(True, b"\1\0" + query(1), START)
        subject.finished(False, START)
        subject = moved(subject)
        subject.data(True, framed(query(2)), START)
        subject.finished(True, START)
        subject.removed(START)
        self.assertEqual([each.identifier for each in rows(subject.findings)], [1, 2])

    def test_restOfALength(self) -> None:
        """A side ends while the other has sent nothing but a length: its message goes on."""
        subject = analyzer(tcp=True)
        data = framed(query(1))
        subject.data(True, data[:2], START)
        subject.finished(False, START)
        subject.data(True, data[2:], START)
        self.assertEqual(signs(subject.findings), [Sign.CONFIRMED])

    def test_reset(self) -> None:
        """Nothing is read then."""
        subject = analyzer(tcp=True)
        subject.data(True, b"\1\0" + query(), START)
        subject.reset(START)
        subject.removed(START)
        self.assertEqual(subject.findings, [])


def moved(subject: DNSAnalyzer) -> DNSAnalyzer:
    """The same elsewhere; with open rows as another connection's record would carry them."""
    around = subject.around
    there = Surroundings(around.tcp, around.ports, around.toGroup)
    there.queries = Queries.load(around.queries.dump())
    fresh = DNSAnalyzer.load(subject.dump(), there)
    assert (fresh.dump(), there.queries.dump()) == (subject.dump(), around.queries.dump())
    fresh.findings += subject.findings
    return fresh


class DumpTests(SynchronousTestCase):
    """State on its way."""

    def busy(self) -> DNSAnalyzer:
        """An analyser with something of everything."""
        subject = analyzer(tcp=True)
        for identifier in (1, 2, 3, 2):
            subject.data(True, framed(query(identifier, question(f"{identifier}.example.com"), flags=0x0350)), START)
        subject.data(True, framed(query(4)[:20]), START)
        subject.data(False, framed(ANSWER, reply(identifier=8, flags=0x8185, asked=()), ANSWER), START)
        subject.data(True, framed(query(5))[:9], START)
        subject.data(False, framed(ANSWER)[:20], START)
        subject.findings.clear()
        return subject

    def test_roundTrip(self) -> None:
        subject = self.busy()
        fresh = moved(subject)
        for each in (subject, fresh):
            each.data(True, framed(query(5))[9:], START + 1)
            each.data(False, framed(ANSWER)[20:] + framed(reply(ADDRESS, identifier=2)), START + 2)
        self.assertEqual(finish(subject), finish(fresh))

    def test_golden(self) -> None:
        """Version 1, byte by byte."""
        subject = analyzer(tcp=True)
        subject.data(True, framed(query(1, question("a"))), 2)
        subject.data(False, framed(reply(ADDRESS, identifier=3))[:5], 4)
        self.assertEqual(subject.dump().hex(), "01030000000005000000" + framed(reply(ADDRESS))[:2].hex() + "000381")
        text = "010102000000000000000100000d0001000100010000006100000000"
        self.assertEqual(subject.around.queries.dump().hex(), text)

    def test_declared(self) -> None:
        """The declaration and what is packed by hand agree."""
        subject = self.busy()
        state, waiting = subject.dump(), subject.around.queries.dump()
        self.assertEqual(ANALYZER.build(ANALYZER.parse(state)), state)
        parsed = WAITING.parse(waiting)
        self.assertEqual(WAITING.build(parsed), waiting)
        self.assertEqual([each.identifier for each in parsed.queries], [2, 2, 3, 4])
        self.assertEqual([bytes(each.text) for each in parsed.replies[0].answers][1:], [b"1.2.3.4", b"TXT 2 hi"])
        self.assertEqual(bytes(ANALYZER.parse(state).first), framed(query(5))[:9])

    def test_mutated(self) -> None:
        """Each byte changed, and each length: refused, or it does no harm."""
        subject = self.busy()
        state, waiting = subject.dump(), subject.around.queries.dump()
        source = random.Random(1)
        accepted = 0
        for place in range(max(len(state), len(waiting))):
            for value in (0, 1, 127, 255, source.randrange(256)):
                accepted += self.tryLoading(changed(state, place, value), changed(waiting, place, value))
        for length in range(max(len(state), len(waiting))):
            accepted += self.tryLoading(state[:length], waiting[:length])
        self.assertGreater(accepted, 100)

    def tryLoading(self, state: bytes, waiting: bytes) -> int:
        """Load what is accepted of these, and use it; how many were."""
        around = Surroundings(True, (40000, 53))
        count = 0
        try:
            around.queries = Queries.load(waiting)
            count += 1
        except OperationError:
            around.queries = Queries()
        try:
            subject = DNSAnalyzer.load(state, around)
            count += 1
        except OperationError:
            subject = DNSAnalyzer(around)
        subject.data(True, framed(query(1), query(2), reply(identifier=2)) + bytes(100), START)
        subject.data(False, bytes(300) + framed(ANSWER), START)
        for each in rows(finish(moved(subject))):
            logged(each)
        return count

    def test_refused(self) -> None:
        subject = self.busy()
        state, waiting = subject.dump(), subject.around.queries.dump()
        for bad in (b"", state + b"\0", b"\2" + state[1:], state[:1] + b"\x20" + state[2:]):
            self.assertRaises(OperationError, DNSAnalyzer.load, bad, Surroundings())
        for bad in (b"", waiting + b"\0", b"\2" + waiting[1:], b"\1\0" + waiting[2 + 25 + 13 :]):
            self.assertRaises(OperationError, Queries.load, bad)


def changed(data: bytes, place: int, value: int) -> bytes:
    """C{data} with another byte at C{place}."""
    return data[:place] + bytes((value,)) + data[place + 1 :] if place < len(data) else data


class JunkTests(SynchronousTestCase):
    """Whatever comes."""

    @given(some.lists(some.tuples(some.booleans(), some.binary(max_size=300)), max_size=8), some.booleans())
    def test_random(self, said: list[tuple[bool, bytes]], tcp: bool) -> None:
        subject = analyzer(tcp=tcp)
        for originator, data in said:
            subject.data(originator, data, START)
            subject = moved(subject)
        for each in rows(finish(subject)):
            logged(each)

    def test_mutated(self) -> None:
        """Real messages with bytes changed and cut anywhere, over both transports and NetBIOS's port."""
        source = random.Random(7)
        samples = [
            query(),
            ANSWER,
            reply(*(record(kind, name("a.b") + bytes(30)) for kind in (6, 29, 35, 43, 46, 47, 50, 51))),
        ]
        for count in range(2000):
            data = bytearray(source.choice(samples))
            for _ in range(source.randrange(1, 6)):
                data[source.randrange(len(data))] = source.choice((0, 1, 0xC0, 0xFF, source.randrange(256)))
            message = bytes(data[: source.randrange(12, len(data) + 1)])
            ports = ((40000, 53), (137, 137), (5353, 5353))[count % 3]
            subject = analyzer(ports=ports)
            for each in rows(talk(subject, message, query(), ANSWER)):
                logged(each, ports)
            moved(subject)

    def test_bounded(self) -> None:
        """The most that can wait fits into a record; nothing is lost."""
        subject, written, most = analyzer(tcp=True), 0, 0
        long = ".".join(["x" * 60] * 4)
        for number in range(4000):
            message = (
                query(number % 60, question(long))
                if number % 2
                else reply(record(TXT, b"\xff" * 256), identifier=number % 51)
            )
            subject.data(bool(number % 2), framed(message), START)
            written += len(rows(subject.findings))
            subject.findings.clear()
            if number % 50 == 0:
                most = max(most, len(subject.around.queries.dump()))
        subject.data(True, b"\xff\xff" + bytes(65534), START)
        subject.data(False, b"\xff\xff" + bytes(65534), START)
        self.assertGreater(most, HEAVIEST // 2)
        self.assertLess(HEAVIEST + 100 + len(subject.dump()), MOST_STATE)
        self.assertLessEqual(most, HEAVIEST + 100)
        moved(subject)

    def test_oneLargeReply(self) -> None:
        """A reply of more than may wait is written at once."""
        subject = analyzer(tcp=True)
        subject.data(False, framed(reply(record(TXT, b"\0" * 40000))), START)
        (row,) = rows(subject.findings)
        self.assertEqual(len((row.answers or (b"",))[0]), 6 * 40000 + 39999)
        self.assertLess(len(subject.around.queries.dump()), 100)

    def test_interrupted(self) -> None:
        """Open rows outlive an analyser."""
        subject = analyzer()
        subject.data(True, query(), START)
        subject.interrupted(START)
        other = DNSAnalyzer(subject.around)
        other.data(False, reply(ADDRESS), START + MILLISECOND)
        self.assertEqual([each.queryType for each in rows(other.findings)], [1])
