"""DNS: the text of each type of resource record, and what breaks a message off."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.bro.analyzers.analyzer import Sign
from openmb.plugins.bro.analyzers.dns.message import MOST_TEXT
from tests.plugins.bro.analyzers.dnswire import (
    A6,
    AAAA,
    CNAME,
    DNAME,
    HINFO,
    LOC,
    MX,
    NAPTR,
    NS,
    OPT,
    PTR,
    QUESTION,
    SOA,
    SRV,
    START,
    TXT,
    A,
    analyzer,
    columns,
    header,
    name,
    query,
    question,
    record,
    reply,
    rows,
    signs,
    talk,
)

LAST = record(A, b"\x09\x09\x09\x09")


def answered(*records: bytes) -> str:
    """C{answers} of a reply."""
    return columns(query(), reply(*records))["answers"]


class TextTests(SynchronousTestCase):
    """The texts, each before an address, which shows that reading goes on at the right place."""

    def check(self, kind: int, data: bytes, text: str | None) -> None:
        """A record of C{kind}, followed by another."""
        expected = "9.9.9.9" if text is None else f"{text},9.9.9.9"
        self.assertEqual(answered(record(kind, data), LAST), expected)

    def test_addresses(self) -> None:
        six = bytes.fromhex("20010db8000000000000000000000001")
        self.check(A, b"\1\2\3\4", "1.2.3.4")
        self.check(AAAA, six, "2001:db8::1")
        self.check(A6, six, "2001:db8::1")
        self.check(AAAA, bytes(10) + b"\xff\xff\1\2\3\4", "1.2.3.4")
        self.check(AAAA, bytes(12) + b"\1\2\3\4", "::1.2.3.4")

    def test_names(self) -> None:
        for kind in (NS, CNAME, PTR):
            self.check(kind, name("NS.Example.com"), "ns.example.com")
            self.check(kind, b"\1x" + QUESTION, "x.www.example.com")
        self.check(MX, b"\0\12" + name("Mail.example.com"), "mail.example.com")
        self.check(SRV, struct.pack("!HHH", 1, 2, 3) + name("sip.example.com"), "sip.example.com")
        self.check(SOA, name("ns.a") + name("root.a") + bytes(20), "ns.a")

    def test_texts(self) -> None:
        self.check(TXT, b"\5Hello\0\1x", "TXT 5 Hello TXT 0  TXT 1 x")
        self.check(99, b"\3a b", "SPF 3 a b")

    def test_pointer(self) -> None:
        """NAPTR: expression and replacement only if they are there; case is kept."""
        begin = struct.pack("!HH", 100, 10) + b"\1S\7SIP+D2U"
        self.check(NAPTR, begin + b"\0" + name("_Sip.example.com"), "NAPTR 100 10 S SIP+D2U _Sip.example.com")
        self.check(NAPTR, begin + b"\3!x!\0", "NAPTR 100 10 S SIP+D2U !x!")
        self.check(NAPTR, begin + b"\3!x!" + name("A.b"), "NAPTR 100 10 S SIP+D2U !x! A.b")

    def test_security(self) -> None:
        signature = struct.pack("!HBBLLLH", 1, 8, 2, 0, 0, 0, 0)
        self.check(46, signature + name("Example.com") + b"sig", "RRSIG 1 example.com")
        self.check(46, signature + b"\0sig", "RRSIG 1 <Root>")
        self.check(48, b"\1\0\3\x08key", "DNSKEY 8")
        self.check(43, b"\0\1\x08\2digest", "DS 8 2")
        self.check(47, name("B.example.com") + b"\0\2ab\1\1c", "NSEC www.example.com b.example.com")
        self.check(47, b"\0\0\0", "NSEC www.example.com ")
        self.check(50, b"\1\0\0\1\2sa\4hash\0\1b", "NSEC3")
        self.check(51, b"\1\0\0\1\2sa", "NSEC3PARAM")
        self.check(65534, b"\1\2\3\4\5", "BIND9 signing signal")
        self.check(44, b"\1\1\xab\xcd", "SSHFP: abcd")

    def test_location(self) -> None:
        self.check(LOC, b"\0\x12\x16\x13" + bytes(12), "LOC:  18 22 19")

    def test_passedOver(self) -> None:
        for kind in (HINFO, 32, OPT, 64, 65, 249, 250, 257):
            self.check(kind, b"\1\2\3", None)

    def test_unknown(self) -> None:
        self.check(DNAME, name("a.b"), "<unknown type=39>")
        self.check(52, b"\3\1\1x", "<unknown type=52>")

    def test_lifetimes(self) -> None:
        row = columns(query(), reply(record(A, b"\1\1\1\1", lifetime=0xFFFFFFFF), LAST))
        self.assertEqual(row["TTLs"], "4294967295.000000,300.000000")

    def test_longerThanTheName(self) -> None:
        """Reading goes on after the name, not where the record claims to end: here that is one byte too early."""
        self.assertEqual(answered(record(CNAME, b"\1a\0\0"), LAST), "a")

    def test_shortWords(self) -> None:
        """An IPv6 address at the end of the message, of less than its 16 bytes."""
        self.assertEqual(answered(record(AAAA, b"\x20\1\x0d\xb8\xff")), "2001:db8::")


class BrokenTests(SynchronousTestCase):
    """Messages that break off: what comes before counts, and nothing is confirmed."""

    def check(self, message: bytes, answers: str) -> None:
        """A reply of which only C{answers} can be read."""
        found = talk(analyzer(), message)
        self.assertEqual(signs(found), [])
        self.assertEqual(columns(message)["answers"], answers)
        self.assertEqual(rows(found)[0].code, 0)

    def test_records(self) -> None:
        for kind, data in (
            (A, b"\1\2\3"),
            (A, b""),
            (CNAME, b""),
            (TXT, b"\5abcd"),
            (99, b"\1"),
            (SOA, name("a") + name("b") + bytes(4)),
            (46, b"\0\1"),
            (43, b"\1"),
            (48, b"\1"),
            (50, b"\1"),
            (51, b"\1"),
            (44, b"\1"),
            (65534, b"\1\2"),
            (LOC, b"\0\1\2\3"),
        ):
            with self.subTest(kind=kind, data=data):
                more = b"" if data else b"\0"  # without data is wrong only where something follows
                self.check(reply(LAST, record(kind, data)) + more, "9.9.9.9")

    def test_headOfARecord(self) -> None:
        whole = reply(LAST, record(A, b"\1\2\3\4"))
        for cut in range(1, 4 + 10 + 2):
            self.check(whole[:-cut], "9.9.9.9")

    def test_question(self) -> None:
        """A query that breaks off has neither name nor type."""
        whole = query()
        for cut in range(1, len(whole) - 12):
            found = talk(analyzer(), whole[:-cut])
            (row,) = rows(found)
            self.assertEqual((signs(found), row.query, row.queryType), ([], None, None))

    def test_secondQuestion(self) -> None:
        """The first one stays."""
        found = talk(analyzer(), query(7, question("a.b"), question("c.d"))[:-2])
        self.assertEqual((signs(found), rows(found)[0].query), ([], b"a.b"))

    def test_noHeader(self) -> None:
        for length in range(12):
            self.assertEqual(talk(analyzer(), query()[:length]), [])

    def test_expanded(self) -> None:
        """Compression cannot make megabytes of one message."""
        large = b"\3abc" * 120 + b"\0"
        place = struct.pack("!H", 0xC000 | 12 + len(question()))
        records = [record(NS, place)] * 4000
        records[0] = record(NS, place, large)
        subject = analyzer(tcp=True)
        message = reply(*records)
        subject.data(False, struct.pack("!H", len(message)) + message, START)
        subject.removed(START)
        found, (row,) = subject.findings, rows(subject.findings)
        total = sum(map(len, row.answers or ()))
        self.assertTrue(MOST_TEXT < total < MOST_TEXT + 600)
        self.assertNotIn(Sign.CONFIRMED, found)


class ServiceTests(SynchronousTestCase):
    """What confirms and what violates."""

    def test_confirmedOnce(self) -> None:
        found = talk(analyzer(), query(), reply(LAST), query())
        self.assertEqual(signs(found), [Sign.CONFIRMED])

    def test_questions(self) -> None:
        """25 are allowed; with more, the row has nothing of the query but its number."""
        found = talk(analyzer(), query(7, *[question()] * 25))
        self.assertEqual(signs(found), [Sign.CONFIRMED])
        found = talk(analyzer(), query(7, *[question()] * 26))
        (row,) = rows(found)
        self.assertEqual((signs(found), row.identifier, row.query, row.opcode), ([Sign.VIOLATED], 7, None, 0))

    def test_everyViolation(self) -> None:
        found = talk(analyzer(), header(7, 0, 26), header(8, 0, 26))
        self.assertEqual(signs(found), [Sign.VIOLATED, Sign.VIOLATED])

    def test_pointer(self) -> None:
        """NAPTR that is malformed."""
        for data in (b"\0", b"\0\1\0\1", b"\0\1\0\1\1S\1T", b"\0\1\0\1\1S\1T\x09x"):
            found = talk(analyzer(), reply(LAST, record(NAPTR, data)))
            self.assertEqual((signs(found), rows(found)[0].answers), ([Sign.VIOLATED], (b"9.9.9.9",)))

    def test_opcodes(self) -> None:
        """Others than query, notify and update: nothing at all over UDP; the limit is noted over TCP."""
        for opcode in range(16):
            isKnown = opcode in (0, 4, 5)
            said = query(flags=opcode << 11)
            self.assertEqual(bool(talk(analyzer(), said)), isKnown)
            subject = analyzer(tcp=True)
            subject.data(True, struct.pack("!H", len(said)) + said, START)
            self.assertEqual(subject.findings, [Sign.CONFIRMED] if isKnown else [Sign.EXCEEDED])
