"""DNS: each rule of pairing and of each column of dns.log."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.bro.analyzers.analyzer import Sign
from openmb.plugins.bro.analyzers.dns.names import className, codeName, opcodeName, typeName
from tests.plugins.bro.analyzers.dnswire import (
    CNAME,
    HINFO,
    MILLISECOND,
    MX,
    QUESTION,
    SOA,
    SRV,
    START,
    TXT,
    WKS,
    A,
    analyzer,
    columns,
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


class PairingTests(SynchronousTestCase):
    """Which messages share a row, when it is written, and with which time."""

    def test_pair(self) -> None:
        self.assertEqual(
            list(columns(query(), reply(ADDRESS)).values()),
            [
                "1600000000.000000",
                "C",
                "10.0.0.1",
                "40000",
                "10.0.0.2",
                "53",
                "udp",
                "7",
                "0.001000",
                "www.example.com",
                "1",
                "C_INTERNET",
                "1",
                "A",
                "0",
                "NOERROR",
                "F",
                "F",
                "T",
                "T",
                "0",
                "1.2.3.4",
                "300.000000",
                "F",
                "0",
                "query",
            ],
        )

    def test_writtenAtTheReply(self) -> None:
        subject = analyzer()
        self.assertEqual(signs(talk(subject, query(), ended=False)), [Sign.CONFIRMED])
        self.assertEqual(len(talk(subject, reply(ADDRESS), ended=False)), 1)
        self.assertEqual(talk(subject), [])

    def test_noReply(self) -> None:
        row = columns(query())
        self.assertEqual(
            (row["query"], row["rcode"], row["rcode_name"], row["rtt"]), ("www.example.com", "-", "-", "-")
        )

    def test_noQuery(self) -> None:
        """Name of the first answer; nothing of the question."""
        row = columns(reply(record(A, b"\1\2\3\4", name("Cdn.Example.org"))))
        self.assertEqual((row["query"], row["qtype"], row["qclass"]), ("cdn.example.org", "-", "-"))
        self.assertEqual((row["RD"], row["RA"], row["rtt"], row["answers"]), ("F", "T", "-", "1.2.3.4"))

    def test_replyFirst(self) -> None:
        """The row begins with the reply; a round trip is not known."""
        found = rows(talk(analyzer(), reply(ADDRESS), query(), ended=False))
        row = logged(found[0])
        self.assertEqual((len(found), row["ts"], row["rtt"]), (1, "1600000000.000000", "-"))
        self.assertEqual((row["qtype_name"], row["rcode_name"], row["RD"], row["RA"]), ("A", "NOERROR", "T", "T"))

    def test_duplicateReply(self) -> None:
        first, second = rows(talk(analyzer(), query(), reply(ADDRESS), reply(ADDRESS)))
        self.assertEqual((first.queryType, second.queryType, second.code), (1, None, 0))

    def test_duplicateQuery(self) -> None:
        """The oldest gets the reply, the other is written at the end."""
        first, second = rows(talk(analyzer(), query(), query(), reply(ADDRESS)))
        self.assertEqual((first.stamp, second.stamp), (START, START + MILLISECOND))
        self.assertEqual((first.code, second.code), (0, None))

    def test_directionDoesNotMatter(self) -> None:
        subject = analyzer()
        subject.data(False, query(), START)
        subject.data(True, reply(ADDRESS), START + 5)
        self.assertEqual(len(rows(subject.findings)), 1)

    def test_byNumber(self) -> None:
        found = rows(talk(analyzer(), query(1), query(2), query(3), reply(identifier=2), reply(identifier=3)))
        self.assertEqual([each.identifier for each in found], [2, 3, 1])
        self.assertEqual([each.code for each in found], [0, 0, None])

    def test_orderAtTheEnd(self) -> None:
        """First the oldest query, then the others by number, then replies."""
        said = (reply(identifier=9), query(1), query(2), query(3), query(2), query(1))
        found = rows(talk(analyzer(), *said))
        self.assertEqual([each.identifier for each in found], [1, 2, 2, 3, 1, 9])

    def test_nextOfTheSameNumber(self) -> None:
        """After the oldest query was answered, the next one of its number is before all others."""
        found = rows(talk(analyzer(), query(1), query(2), query(1), reply(identifier=1)))
        self.assertEqual([each.identifier for each in found], [1, 1, 2])

    def test_fiftyNumbers(self) -> None:
        """One query, and 51 more numbers; the next one writes the 51."""
        subject = analyzer()
        self.assertEqual(rows(talk(subject, *map(query, range(52)), ended=False)), [])
        self.assertEqual([each.identifier for each in rows(talk(subject, query(99), ended=False))], list(range(1, 52)))
        self.assertEqual([each.identifier for each in rows(talk(subject))], [0, 99])

    def test_fiftyOfOneNumber(self) -> None:
        subject = analyzer()
        self.assertEqual(rows(talk(subject, *[query()] * 52, ended=False)), [])
        self.assertEqual(len(rows(talk(subject, query(), ended=False))), 51)
        self.assertEqual(len(rows(talk(subject))), 2)

    def test_fiftyReplies(self) -> None:
        subject = analyzer()
        self.assertEqual(rows(talk(subject, *[reply()] * 51, ended=False)), [])
        self.assertEqual(len(rows(talk(subject, reply(), ended=False))), 51)

    def test_cutTimes(self) -> None:
        """Times are cut to microseconds before they are subtracted."""
        subject = analyzer()
        subject.data(True, query(), START + 1999)
        subject.data(False, reply(ADDRESS), START + 2000)
        subject.data(True, query(), START + 2001)
        subject.data(False, reply(ADDRESS), START + 2999)
        self.assertEqual([each.roundTrip for each in rows(subject.findings)], [1, None])


class ColumnTests(SynchronousTestCase):
    """Where each column comes from."""

    def test_lastQuestion(self) -> None:
        row = columns(query(7, question("a.b"), question("C.d", 28, 3)))
        self.assertEqual((row["query"], row["qtype_name"], row["qclass_name"]), ("c.d", "AAAA", "C_CHAOS"))

    def test_flagsOfTheQuery(self) -> None:
        """AD counts 2 in Z, CD 1; the bits TC and Z of a reply do not show."""
        row = columns(query(flags=0x0230), reply(ADDRESS, flags=0x8000))
        self.assertEqual((row["TC"], row["RD"], row["Z"]), ("T", "F", "3"))
        row = columns(query(), reply(ADDRESS, flags=0x83F0))
        self.assertEqual((row["TC"], row["RD"], row["Z"]), ("F", "T", "0"))

    def test_withoutAnswers(self) -> None:
        """AA, RA and the round trip are not told."""
        row = columns(query(), header(7, 0x8583, 1, 0, 1) + question() + record(SOA, b"\0"))
        self.assertEqual((row["AA"], row["RA"], row["rtt"], row["rcode_name"]), ("F", "F", "-", "NXDOMAIN"))
        self.assertEqual((row["answers"], row["TTLs"], row["rejected"]), ("-", "-", "F"))

    def test_withAnswers(self) -> None:
        row = columns(query(), reply(ADDRESS, flags=0x8400))
        self.assertEqual((row["AA"], row["RA"], row["rtt"]), ("T", "F", "0.001000"))

    def test_answerWithoutText(self) -> None:
        """WKS counts as an answer, HINFO does not."""
        row = columns(query(), reply(record(WKS, b"12345"), flags=0x8580))
        self.assertEqual((row["AA"], row["RA"], row["rtt"], row["answers"]), ("T", "T", "0.001000", "-"))
        row = columns(query(), reply(record(HINFO, b"\1a\1b"), flags=0x8580))
        self.assertEqual((row["AA"], row["RA"], row["rtt"], row["answers"]), ("F", "F", "-", "-"))

    def test_rejected(self) -> None:
        """A question and nothing else, whatever the code; or a code and no question."""
        self.assertEqual(columns(query(), reply())["rejected"], "T")
        self.assertEqual(columns(query(), reply(flags=0x8185))["rejected"], "T")
        self.assertEqual(columns(query(), reply(flags=0x8185, asked=()))["rejected"], "T")
        self.assertEqual(columns(query(), reply(asked=()))["rejected"], "F")
        self.assertEqual(columns(query(), reply(ADDRESS, flags=0x8185))["rejected"], "F")
        self.assertEqual(columns(query(), header(7, 0x8183, 1, 0, 0, 1) + question())["rejected"], "F")

    def test_answersInAQuery(self) -> None:
        row = columns(header(7, 0x0100, 1, 1) + question() + ADDRESS)
        self.assertEqual((row["answers"], row["RA"]), ("-", "F"))

    def test_lastOpcode(self) -> None:
        row = columns(query(flags=0x2000), reply(flags=0x8000))
        self.assertEqual((row["opcode"], row["opcode_name"]), ("0", "query"))
        self.assertEqual(columns(query(flags=0x2000))["opcode_name"], "notify")

    def test_escapes(self) -> None:
        """Bytes of labels; a comma only inside of lists; nothing at all."""
        row = columns(query(7, question("a\x01,b\\.\xff")), reply(record(TXT, b"\3a,b\1-")))
        self.assertEqual((row["query"], row["answers"]), ("a\\x01,b\\\\.\\xff", "TXT 3 a\\x2cb TXT 1 -"))
        self.assertEqual(columns(query(7, question("")))["query"], "(empty)")

    def test_emptyAnswers(self) -> None:
        """Root as a target is no text."""
        self.assertEqual(columns(query(), reply(record(MX, b"\0\5\0")))["answers"], "-")

    def test_over(self) -> None:
        """TCP."""
        subject = analyzer(tcp=True)
        message = query()
        subject.data(True, struct.pack("!H", len(message)) + message, START)
        subject.removed(START)
        self.assertEqual(logged(rows(subject.findings)[0])["proto"], "tcp")


class NameTableTests(SynchronousTestCase):
    """Numbers that have names, and others."""

    def test_names(self) -> None:
        self.assertEqual(
            (typeName(65), typeName(255), typeName(65422), typeName(54)), ("HTTPS", "*", "XPF", "query-54")
        )
        self.assertEqual((className(1), className(254), className(32769)), ("C_INTERNET", "C_NONE", "qclass-32769"))
        self.assertEqual((codeName(8), codeName(10), codeName(15)), ("NXRRSet", "NOTZONE", "unassigned-15"))
        self.assertEqual([opcodeName(each, False) for each in (5, 3)], ["dynamic-update", "opcode-3"])
        self.assertEqual([opcodeName(each, True) for each in (5, 3)], ["netbios-registration", "netbios-opcode-3"])


class NetBIOSTests(SynchronousTestCase):
    """The name service on port 137."""

    PORTS = (137, 137)

    def encoded(self, plain: bytes) -> str:
        """16 bytes as 32 letters."""
        return "".join(chr(65 + (byte >> 4)) + chr(65 + (byte & 15)) for byte in plain)

    def ask(self, text: str, kind: int = 32) -> dict[str, str]:
        return columns(query(7, question(text, kind), flags=0x0110), ports=self.PORTS)

    def test_name(self) -> None:
        """Case is kept, the suffix is dropped, and blanks before it."""
        row = self.ask(self.encoded(b"FooBar".ljust(15) + b"\x20"))
        self.assertEqual((row["query"], row["qtype_name"], row["opcode_name"]), ("FooBar", "NIMLOC", "netbios-query"))
        self.assertEqual((row["Z"], row["RD"]), ("1", "T"))

    def test_nulls(self) -> None:
        self.assertEqual(self.ask(self.encoded(b"*".ljust(16, b"\0")))["query"], "*")
        self.assertEqual(self.ask(self.encoded(b"\1\2__MSBROWSE__\2\1"))["query"], "\\x01\\x02__MSBROWSE__\\x02")

    def test_badByte(self) -> None:
        """What comes before it; if that is nothing, the name as it came."""
        self.assertEqual(self.ask(self.encoded(b"ABC\x07".ljust(16)))["query"], "ABC")
        raw = self.encoded(b"\x07".ljust(16))
        self.assertEqual(self.ask(raw)["query"], raw.lower())

    def test_noEncoding(self) -> None:
        raw = self.encoded(b"FooBar".ljust(16))
        self.assertEqual(self.ask(f"{raw}.scope")["query"], f"{raw.lower()}.scope")
        self.assertEqual(self.ask("Q" * 32)["query"], "q" * 32)

    def test_statusOfANode(self) -> None:
        row = self.ask(self.encoded(b"*".ljust(16, b"\0")), SRV)
        self.assertEqual((row["qtype"], row["qtype_name"]), ("33", "NBSTAT"))

    def test_statusReplied(self) -> None:
        """The data is read as more records: here there are no more, so nothing comes of it."""
        said = query(7, question("A" * 32, SRV)), reply(record(SRV, b"\1"), asked=())
        row = columns(*said, ports=self.PORTS)
        self.assertEqual((row["answers"], row["AA"], row["rejected"]), ("-", "F", "F"))

    def test_longLabels(self) -> None:
        self.assertEqual(self.ask("x" * 100)["query"], "x" * 100)

    def test_opcodes(self) -> None:
        """A release is read, but has no row; a registration has one."""
        found = talk(analyzer(ports=self.PORTS), query(flags=0x3000))
        self.assertEqual(found, [Sign.CONFIRMED])
        self.assertEqual(columns(query(flags=0x2900), ports=self.PORTS)["opcode_name"], "netbios-registration")

    def test_registrationIsNoUpdate(self) -> None:
        """Opcode 5 means something else here."""
        said = query(flags=0x2900), reply(ADDRESS, flags=0xA800)
        self.assertEqual(columns(*said, ports=self.PORTS)["answers"], "1.2.3.4")


class UpdateTests(SynchronousTestCase):
    """Dynamic updates, as in the baseline of Zeek's test suite for them."""

    def zone(self, flags: int, conditions: list[bytes], changes: list[bytes]) -> bytes:
        counts = header(7, flags, 1, len(conditions), len(changes))
        return counts + question("stratolab.org", 6) + b"".join((*conditions, *changes))

    def test_update(self) -> None:
        owner = name("nwin2.stratolab.org")
        conditions = [record(CNAME, b"", owner, 0, 254)]
        changes = [
            record(28, b"", owner, 0, 255),
            record(A, b"", owner, 0, 255),
            record(A, b"\xc0\xa8\1\x6a", owner, 1200),
        ]
        row = columns(self.zone(0x2800, conditions, changes), self.zone(0xA805, conditions, changes))
        self.assertEqual((row["query"], row["qtype"], row["rcode_name"]), ("nwin2.stratolab.org", "-", "REFUSED"))
        self.assertEqual(
            row["answers"],
            "pre: NoRRSet CNAME nwin2.stratolab.org,del: RRSet AAAA,del: RRSet A,"
            "add: A nwin2.stratolab.org 192.168.1.106",
        )
        self.assertEqual(row["TTLs"], "0.000000,0.000000,0.000000,1200.000000")
        self.assertEqual((row["opcode_name"], row["rejected"], row["rtt"]), ("dynamic-update", "F", "0.001000"))

    def test_conditions(self) -> None:
        owner = name("a.b")
        said = [
            (record(255, b"", owner, 0, 255), "pre: NameInUse a.b"),
            (record(255, b"", owner, 0, 254), "pre: NameNotInUse a.b"),
            (record(A, b"", owner, 0, 255), "pre: RRSetExists A a.b"),
            (record(A, b"\1\2\3\4", owner, 0), "pre: RRSetExists A a.b"),
        ]
        row = columns(self.zone(0xA800, [each for each, _ in said], []))
        self.assertEqual(row["answers"], ",".join(text for _, text in said))

    def test_changes(self) -> None:
        owner = name("a.b")
        said = [
            (record(255, b"", owner, 0, 255), "del: RRSet * a.b"),
            (record(A, b"\1\2\3\4", owner, 0, 254), "del: RR A a.b"),
            (record(CNAME, name("C.d"), owner), "add: c.d"),
        ]
        row = columns(self.zone(0xA800, [], [each for each, _ in said]))
        self.assertEqual(row["answers"], ",".join(text for _, text in said))

    def test_plainReply(self) -> None:
        row = columns(self.zone(0x2800, [], []), self.zone(0xA800, [], []))
        self.assertEqual((row["answers"], row["query"], row["rejected"]), ("-", "-", "F"))


class QuestionNameTests(SynchronousTestCase):
    """Names in messages."""

    def asked(self, raw: bytes, before: bytes = b"", ports: tuple[int, int] = (40000, 53)) -> str:
        """The name that C{raw} stands for, as the last question."""
        count = 2 if before else 1
        return columns(header(7, 0, count) + before + raw + b"\0\1\0\1", ports=ports)["query"]

    def test_case(self) -> None:
        self.assertEqual(self.asked(name("WwW.ExAmPlE.CoM")), "www.example.com")

    def test_compressed(self) -> None:
        before = question("a.b.c")
        self.assertEqual(self.asked(b"\1x\xc0\x0e", before), "x.b.c")
        self.assertEqual(self.asked(QUESTION, before), "a.b.c")

    def test_pointedForward(self) -> None:
        """The name ends there."""
        self.assertEqual(self.asked(b"\1x\xc0\x0e"), "x")
        self.assertEqual(self.asked(b"\1x\xff\xff"), "x")

    def test_pointedIntoItself(self) -> None:
        """Bytes before the pointer may be read again, not beyond it."""
        self.assertEqual(self.asked(b"\1x\xc0\x0c"), "x.x")

    def test_longLabel(self) -> None:
        """63 bytes are a label; 64 are none, and what follows is type and class."""
        self.assertEqual(self.asked(b"\x3f" + b"x" * 63 + b"\0"), "x" * 63)
        row = columns(header(7, 0, 1) + b"\x40" + b"x" * 64 + b"\0")
        self.assertEqual((row["query"], row["qtype"]), ("(empty)", str(0x7878)))

    def test_dots(self) -> None:
        """Inside of labels they are not marked."""
        self.assertEqual(self.asked(b"\3a.b\1c\0"), "a.b.c")

    def test_longName(self) -> None:
        """Beyond 512 bytes the name ends, and what follows is type and class."""
        raw = (b"\x3f" + b"x" * 63) * 9
        self.assertEqual(self.asked(raw), ".".join(["x" * 63] * 8))
