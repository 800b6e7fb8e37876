"""FTP's control connection, and the telnet lines it is made of."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.bro.analyzers.analyzer import Expectation, Finding
from openmb.plugins.bro.analyzers.ftp import FTPAnalyzer, extendedHostPort, hostPort, passiveHostPort
from openmb.plugins.bro.analyzers.lines import LONGEST, LineReader
from tests.plugins.bro.analyzers import talks
from tests.plugins.bro.analyzers.talks import CONFIRMED, ENCRYPTED, EXCEEDED, VIOLATED

ADDRESS = bytes((10, 0, 0, 9))
PASSIVE = Expectation(True, ADDRESS, 1055)
ACTIVE = Expectation(False, ADDRESS, 1055)
OPENING: talks.Talk = ((False, b"220 hello\r\n"), (True, b"USER me\r\n"), (False, b"331 pass\r\n"))
SESSION: talks.Talk = (
    *OPENING,
    (True, b"PASS x\r\nPASV\r\n"),
    (False, b"230-Welcome\r\n anything\r\n\r\n230 ok\r\n227 Entering (10,0,0,9,4,31).\r\n"),
    (True, b"RETR a\r\n"),
    (False, b"150 comes\r\n226 there\r\n"),
    (True, b"epsv\r\n"),
    (False, b"229 Extended (|||1055|)\r\n"),
    (True, b"PORT 10,0,0,9,4,31\r\n\xff\xfb\1EPRT |2|2001:db8::1|99|"),
    (True, b""),
    (False, b"bad\r\n"),
)


class FTPAnalyzerTests(talks.TalkTests):
    """FTP, driven by hand."""

    kind = FTPAnalyzer
    talks = (
        SESSION,
        ((False, b"220 a\n"), (True, b"AUTH TLS\r\n"), (False, b"234 ok\r\n\x16\3\1"), (True, b"\x16\3\1")),
        ((False, b"220\0 a\r\0\n\0\n"), (True, b"\xff\xfa\xff\xff\n\xff\xf0QUIT\xff\xff\n\xff\xfa\1\xff\xfdXNOOP\n")),
    )

    def found(self, *talk: tuple[bool, bytes | int]) -> list[Finding]:
        return talks.found(FTPAnalyzer, talk)

    def test_banner(self) -> None:
        """A banner alone confirms nothing."""
        self.assertEqual(self.found((False, b"220 hello\r\n")), [])

    def test_session(self) -> None:
        v6 = Expectation(False, bytes.fromhex("20010db8000000000000000000000001"), 99)
        expected = [CONFIRMED, PASSIVE, Expectation(True, None, 1055), ACTIVE, v6, VIOLATED]
        self.assertEqual(self.found(*SESSION), expected)

    def test_partial(self) -> None:
        self.assertTrue(FTPAnalyzer.readsPartial)

    def test_commands(self) -> None:
        """The first word must look like one: three printable bytes, not more than a hundred."""
        for line in (b"US me\r\n", b"\r\n", b"  \r\n", b"US\x80R\r\n", b"A" * 101 + b"\r\n", b"\0US\n"):
            self.assertEqual(self.found((True, line)), [], line)
        for line in (b" xyz\n", b"A" * 100 + b" b\r\n", b"\xff\xf1PWD\r\n", b"P\0WD\n"):
            self.assertEqual(self.found((True, line)), [CONFIRMED], line)

    def test_overlong(self) -> None:
        """Passing the limit shows once FTP is confirmed."""
        self.assertEqual(self.found((True, b"NOOP\r\n" + b"A" * 101 + b"\r\n")), [CONFIRMED, EXCEEDED])

    def test_replies(self) -> None:
        """Three digits from 100 on, then nothing, a blank or a hyphen."""
        for line in (b"abc\r\n", b"99 a\r\n", b"099 a\r\n", b"22\r\n", b"220_\r\n", b"2200\r\n", b" 220 a\r\n"):
            self.assertEqual(self.found((False, line)), [VIOLATED], line)
        for line in (b"220\r\n", b"999 a\r\n", b"220-a\r\n", b"\r\n", b"220-a\r\nx\r\n220-y\r\n220 \r\n230\r\n"):
            self.assertEqual(self.found((False, line)), [], line)
        self.assertEqual(self.found((False, b"220-a\r\n230 b\r\njunk\r\n")), [])
        self.assertEqual(self.found((False, b"220-a\r\n230 b\r\n220 c\r\nd\r\n")), [VIOLATED])

    def test_loneCarriageReturn(self) -> None:
        """It is no end of a line."""
        self.assertEqual(self.found((False, b"220 a\rjunk\r\n")), [])
        self.assertEqual(self.found((False, b"220 a\njunk\n")), [VIOLATED])

    def test_unterminated(self) -> None:
        """The last line counts when its direction ends."""
        self.assertEqual(self.found((False, b"junk")), [])
        self.assertEqual(self.found((False, b"junk"), (False, b"")), [VIOLATED])
        self.assertEqual(self.found((True, b"QUIT"), (True, b"")), [CONFIRMED])

    def test_gap(self) -> None:
        """Nothing special: what is before and what is behind it are one line."""
        self.assertEqual(self.found((False, b"220 "), (False, 9), (False, b"junk\r\n")), [])

    def test_passive(self) -> None:
        """Only if it was asked for, only in a last line; a later reply may not reuse an old question."""
        reply = b"227 Entering (10,0,0,9,4,31).\r\n"
        self.assertEqual(self.found((False, reply)), [])
        self.assertEqual(self.found((True, b"pasv\r\n"), (False, reply)), [CONFIRMED, PASSIVE])
        self.assertEqual(self.found((True, b"PASV\r\n"), (False, b"227-" + reply[4:] + b"227 x\r\n")), [CONFIRMED])
        self.assertEqual(
            self.found((True, b"PASV\r\n"), (False, b"502 no\r\n"), (True, b"NOOP\r\n"), (False, reply)), [CONFIRMED]
        )

    def test_secure(self) -> None:
        """TLS follows AUTH TLS and 234, nothing else."""
        self.assertEqual(self.found((True, b"AUTH TLS\r\n"), (False, b"234 go\r\nxx\r\n")), [CONFIRMED, ENCRYPTED])
        self.assertEqual(self.found((True, b"AUTH GSSAPI\r\n"), (False, b"234 go\r\n")), [CONFIRMED])
        self.assertEqual(self.found((True, b"AUTH TLS\r\n"), (False, b"534 no\r\n")), [CONFIRMED])

    def test_hostPort(self) -> None:
        self.assertEqual(hostPort(b"10,0,0,9,4,31"), (ADDRESS, 1055))
        for text in (b"", b"1,2,3,4,5", b"10,0,0,256,4,31", b"10,0,0,-9,4,31", b"1,2,3,4,5,", b"a,0,0,9,4,31,,"):
            self.assertIsNone(hostPort(text), text)
        for text in (b"x (10,0,0,9,4,31)", b"=PORT 10,0,0,9,4,31", b"Entering 10,0,0,9,4,31", b"10,0,0,9,4,31"):
            self.assertEqual(passiveHostPort(text), (ADDRESS, 1055), text)
        self.assertIsNone(passiveHostPort(b"none"))

    def test_extendedHostPort(self) -> None:
        self.assertEqual(extendedHostPort(b"|||1055|)"), (None, 1055))
        self.assertEqual(extendedHostPort(b" !1!10.0.0.9!1055!"), (ADDRESS, 1055))
        for text in (b"", b"|", b"|x||1|", b"|||1055", b"|||65536|", b"|||-1|", b"|1|10.0.0|5|", b"|2|::g|5|"):
            self.assertIsNone(extendedHostPort(text), text)


class LineReaderTests(SynchronousTestCase):
    """Lines by both rules."""

    def lines(self, data: bytes, telnet: bool = False, nulls: bool = False) -> list[bytes]:
        """However it is cut, with the unterminated last one."""
        whole: list[bytes] = []
        for step in (1000000, 1, 2, 3):
            reader = LineReader(telnet, nulls)
            found = [line for at in range(0, len(data), step) for line in reader.take(data[at : at + step])]
            found += reader.finish()
            self.assertEqual(found, whole or found, step)
            whole = found
        return whole

    def test_ends(self) -> None:
        self.assertEqual(self.lines(b"a\r\nb\rc\nd\r\r\n\n\ne"), [b"a", b"b", b"c", b"d", b"", b"", b"", b"e"])
        self.assertEqual(self.lines(b"a\r\nb\rc\nd\r\r\n\n", telnet=True), [b"a", b"b\rc", b"d\r", b""])
        self.assertEqual(self.lines(b"a\x0b\x0c\x1c\x85b\r\n"), [b"a\x0b\x0c\x1c\x85b"])

    def test_nulls(self) -> None:
        """The first one is left out; with telnet also those that follow a CR."""
        self.assertEqual(self.lines(b"a\0b\0\r\n\0\r\n", nulls=True), [b"ab\0", b"\0"])
        self.assertEqual(self.lines(b"a\r\0b\0\0\n", telnet=True, nulls=True), [b"a\rb\0"])
        self.assertEqual(self.lines(b"a\0b\n"), [b"a\0b"])

    def test_options(self) -> None:
        options = b"\xff\xfb\n", b"\xff\xf4", b"\xff\xfa\1\n\xff\xff\xff\xf0", b"\xff\xfa\1\xff\xfe\n", b"\xff\xfd\xff"
        for option in options:
            self.assertEqual(self.lines(b"a" + option + b"b\n", telnet=True), [b"ab"], option)
        self.assertEqual(self.lines(b"a\xff\xffb\n", telnet=True), [b"a\xffb"])

    def test_long(self) -> None:
        """Not more than the beginning of a line is kept."""
        reader = LineReader()
        for _ in range(5):
            self.assertEqual(reader.take(b"a" * LONGEST), [])
        self.assertEqual(len(reader.buffer), LONGEST)
        (line,) = reader.take(b"b\r\n")
        self.assertEqual(line[:LONGEST], b"a" * LONGEST)
