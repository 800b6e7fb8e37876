"""SMTP, POP3 and IMAP: when they are confirmed and violated, and where TLS begins."""

from __future__ import annotations

from openmb.plugins.bro.analyzers.analyzer import Finding, Surroundings
from openmb.plugins.bro.analyzers.imap import IMAPAnalyzer
from openmb.plugins.bro.analyzers.pop3 import POP3Analyzer
from openmb.plugins.bro.analyzers.smtp import SMTPAnalyzer
from tests.plugins.bro.analyzers import talks
from tests.plugins.bro.analyzers.talks import CONFIRMED, ENCRYPTED, VIOLATED

BANNER = (False, b"220 mail.example ESMTP\r\n")
EHLO = (True, b"EHLO me\r\n")
MAIL: talks.Talk = (
    BANNER,
    EHLO,
    (False, b"250-mail.example\r\n250 PIPELINING\r\n"),
    (True, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
    (False, b"250 ok\r\n250 ok\r\n354 go\r\n"),
    (True, b"Subject: x\r\n\r\nSTARTTLS\r\n..\r\n.\r\nQUIT\r\n"),
    (False, b"250 ok\r\n221 bye\r\n"),
)
GOES = ((False, b"354 go\r\n"), (False, b"250 ok\r\n"), (False, b"220 go\r\n"))
CHUNKS: talks.Talk = (
    BANNER,
    EHLO,
    (False, b"250 ok\r\n"),
    (True, b"MAIL FROM:<a@b>\rbdat 12\r\n.\r\nSTARTTLS\nBDAT 5 last\nabc\r\nSTARTTLS\r\n"),
    (False, b"250 ok\r\n250 ok\r\n250 ok\r\n220 go\r\n"),
)


class SMTPAnalyzerTests(talks.TalkTests):
    """SMTP, driven by hand."""

    kind = SMTPAnalyzer
    talks = (
        MAIL,
        CHUNKS,
        (BANNER, EHLO, (False, b"250 ok\r\n"), (True, b"STARTTLS\r\n"), (False, b"220 go\r\n"), (True, b"\x16\3\1")),
        (BANNER, (True, b"AUTH LOGIN\r\n"), (False, b"334 VXNl\r\n"), (True, b"STARTTLS\r\n"), (False, b"235 ok\r\n")),
        (
            BANNER,
            (True, 5),
            (True, b"DATA\r\n"),
            (False, b"354 go\r\n"),
            (True, b"x\r\n.\r\n"),
            (False, b"\0nonsense\0"),
        ),
        ((True, b"TURN\r\n"), BANNER, (False, b"250 ok\r\nEHLO you\r\n"), (True, b"bad\r\n220 x\r\n")),
    )

    def found(self, *talk: tuple[bool, bytes | int]) -> list[Finding]:
        return talks.found(SMTPAnalyzer, talk)

    def test_confirmed(self) -> None:
        """A banner is not enough, nor with an unknown command; any known one is."""
        self.assertEqual(self.found(BANNER), [])
        self.assertEqual(self.found(BANNER, (True, b"FOO\r\n EHLO x\r\n\r\n")), [])
        for line in (b"QUIT\r\n", b"ehlo x\r", b"HELO\n", b"X-ANONYMOUSTLS\n", b"noop\n", b"VRFY\tx\n", b"E\0HLO x\n"):
            self.assertEqual(self.found(BANNER, (True, line)), [CONFIRMED], line)

    def test_violated(self) -> None:
        """By any line of the server that has no code from 100 to 599, also by empty ones."""
        for line in (b"\r\n", b"22\r\n", b"099 x\r\n", b"600 x\r\n", b" 220\r\n", b"220 ok\r\r\n", b"+OK\n"):
            self.assertEqual(self.found((False, line)), [VIOLATED], line)
        for line in (b"100\r\n", b"599x\n", b"220-a\r\n220 b\r\n", b"220-a\r\n250 b\r\n"):
            self.assertEqual(self.found((False, line)), [], line)

    def test_mail(self) -> None:
        """Within a mail there are no commands."""
        self.assertEqual(self.found(*MAIL), [CONFIRMED])
        body = (True, b"STARTTLS\r\n.\r\n"), (False, b"220 queued\r\n")
        self.assertEqual(self.found(BANNER, (True, b"DATA\r\n"), (False, b"354 go\r\n"), *body), [CONFIRMED])

    def test_refusedMail(self) -> None:
        """But there are, where the mail was refused."""
        talk = BANNER, (True, b"DATA\r\n"), (False, b"503 no\r\n"), (True, b"STARTTLS\r\n"), (False, b"220 go\r\n")
        self.assertEqual(self.found(*talk), [CONFIRMED, ENCRYPTED])

    def test_chunks(self) -> None:
        """Chunks are passed over by their length."""
        self.assertEqual(self.found(*CHUNKS), [CONFIRMED, ENCRYPTED])
        analyzer = SMTPAnalyzer(Surroundings())
        analyzer.data(True, b"BDAT 1000000 LAST\r\nabc", 0)
        self.assertEqual((analyzer.skip(True), analyzer.skip(False)), (1000000 - 3, 0))
        analyzer.skipped(True, 1000000 - 3, 0)
        self.assertEqual(analyzer.skip(True), 0)

    def test_chunkForms(self) -> None:
        """A chunk needs a length; an empty one has no bytes, and a mail's text announces none."""
        for line, rest in ((b"BDAT x 5\r\n", 0), (b"BDAT 0 LAST\r\n", 0), (b"BDAT 5 more\r\n", 0), (b"bdat 5\r\n", 5)):
            analyzer = SMTPAnalyzer(Surroundings())
            analyzer.data(True, line, 0)
            self.assertEqual(analyzer.skip(True), rest, line)
        self.assertEqual(
            self.found(BANNER, (True, b"DATA\r\nBDAT 9\r\n.\r\nSTARTTLS\r\n"), *GOES), [CONFIRMED, ENCRYPTED]
        )

    def test_startTLS(self) -> None:
        """After the answer 220 to it, in its place in the queue."""
        asked = BANNER, EHLO, (False, b"250 ok\r\n"), (True, b"STARTTLS\r\n")
        self.assertEqual(self.found(*asked), [CONFIRMED])
        self.assertEqual(self.found(*asked, (False, b"454 no\r\n220 x\r\n")), [CONFIRMED])
        self.assertEqual(self.found(*asked, (False, b"220 go\r\nxx\r\n"), (False, b"xx\r\n")), [CONFIRMED, ENCRYPTED])
        pipelined = BANNER, (True, b"EHLO x\r\nNOOP\r\nSTARTTLS\r\n")
        self.assertEqual(self.found(*pipelined, (False, b"250 ok\r\n220 ok\r\n")), [CONFIRMED])
        self.assertEqual(self.found(*pipelined, (False, b"250 ok\r\n250 ok\r\n220 ok\r\n")), [CONFIRMED, ENCRYPTED])

    def test_authentication(self) -> None:
        """Its lines are answers, no commands."""
        talk = BANNER, (True, b"AUTH LOGIN\r\n"), (False, b"334 x\r\n"), (True, b"STARTTLS\r\n")
        self.assertEqual(self.found(*talk, (False, b"220 x\r\n")), [CONFIRMED])
        done = (False, b"235 ok\r\n"), (True, b"STARTTLS\r\n"), (False, b"220 x\r\n")
        self.assertEqual(self.found(*talk, *done), [CONFIRMED, ENCRYPTED])

    def test_gap(self) -> None:
        """After it commands are not read until the next reply, which confirms."""
        self.assertEqual(self.found(BANNER, (True, 5), EHLO), [])
        self.assertEqual(self.found(BANNER, (False, 5), (False, b"\r\n250 ok\r\n")), [VIOLATED, CONFIRMED])
        lost = BANNER, (True, 5), (False, b"354 go\r\n"), (True, b"STARTTLS\r\n.\r\n"), (False, b"250 ok\r\n220 x\r\n")
        self.assertEqual(self.found(*lost), [CONFIRMED])

    def test_turn(self) -> None:
        """The sides may change."""
        talk = BANNER, (True, b"TURN\r\n"), (False, b"250 ok\r\n"), (True, b"junk\r\n")
        self.assertEqual(self.found(*talk), [CONFIRMED, VIOLATED])

    def test_unterminated(self) -> None:
        """The last line counts when its direction ends."""
        self.assertEqual(self.found((False, b"junk"), (False, b"")), [VIOLATED])

    def test_bounded(self) -> None:
        """Commands without replies are forgotten beyond a thousand."""
        analyzer = SMTPAnalyzer(Surroundings())
        analyzer.data(True, b"NOOP\r\n" * 5000, 0)
        self.assertLess(len(analyzer.dump()), 1100)

    def test_over(self) -> None:
        analyzer = SMTPAnalyzer(Surroundings())
        for originator, data in (BANNER, (True, b"STARTTLS\r\n"), (False, b"220 go\r\n")):
            self.assertEqual(analyzer.skip(True), 0)
            analyzer.data(originator, data, 0)
        self.assertEqual((analyzer.skip(True), analyzer.skip(False)), (-1, -1))


OK = (False, b"+OK\r\n")
USER = (True, b"USER me\r\n")
LOGIN: talks.Talk = (OK, USER, OK, (True, b"PASS x\r\n"), OK)
POP: talks.Talk = (
    *LOGIN,
    (True, b"STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\n"),
    (False, b"+OK 1 9\r\n+OK\r\n1 9\r\n.\r\n+OK 9\r\nbad\r\n\r\n..\r\n.\r\n-ERR no\r\n"),
    (True, b"UIDL 1\r\nTOP 1 0\r\n\r\nQUIT\r\n"),
    (False, b"+OK 1 a\r\n+OK\r\njunk\r\n.\r\n+OK bye\r\nbad"),
    (False, b""),
)


class POP3AnalyzerTests(talks.TalkTests):
    """POP3, driven by hand."""

    kind = POP3Analyzer
    talks = (
        POP,
        (OK, (True, b"CAPA\r\n"), (False, b"+OK\r\nSTLS\r\n.\r\n"), (True, b"STLS\r\n"), OK, (True, b"\x16\3\1")),
        (OK, (True, b"AUTH LOGIN\r\n"), (False, b"junk\r\n"), (True, b"YWJj\r\n"), OK, (False, b"junk\r\n")),
        (OK, (True, b"AUTH\r\n"), (False, b"+OK\r\nPLAIN\r\n.\r\n-ERR\r\n"), (True, b"x\r\n" * 20)),
        (OK, (True, b"LIST\r\nXSENDER\r\nRSET 1\r\n" + b"NOOP\r\n" * 20), (False, b"+OK\r\n1 1\r\n.\r\n+OK\r\n")),
    )

    def found(self, *talk: tuple[bool, bytes | int]) -> list[Finding]:
        return talks.found(POP3Analyzer, talk)

    def test_confirmed(self) -> None:
        """By the good answer to USER, CAPA or STLS, by nothing else."""
        self.assertEqual(self.found(OK, USER), [])
        self.assertEqual(self.found(OK, USER, OK), [CONFIRMED])
        self.assertEqual(self.found(OK, (True, b"capa\r\n"), OK), [CONFIRMED])
        self.assertEqual(self.found(OK, USER, (False, b"-ERR\r\n")), [])
        self.assertEqual(self.found(OK, (True, b"QUIT\r\n"), OK), [])
        self.assertEqual(self.found(USER, OK, OK), [])

    def test_session(self) -> None:
        """In answers of many lines anything may stand."""
        self.assertEqual(self.found(*POP), [CONFIRMED, VIOLATED])

    def test_violated(self) -> None:
        """By a line of the server whose first word is no status, also by empty ones."""
        for line in (b"* OK\r\n", b"\r\n", b"  \r\n", b"+OKAY\r\n", b"++OK\r\n", b"\0\r\n"):
            self.assertEqual(self.found((False, line)), [VIOLATED], line)
        for line in (b"+ok\r\n", b"-ERR x\r\n", b"--err\r\n", b" +OK\r\n", b"ERR\n"):
            self.assertEqual(self.found((False, line)), [], line)

    def test_authentication(self) -> None:
        """Not while authenticating."""
        self.assertEqual(self.found(OK, (True, b"AUTH PLAIN\r\n"), (False, b"junk\r\n")), [])
        self.assertEqual(self.found(OK, (True, b"AUTH PLAIN\r\n"), OK, (False, b"junk\r\n")), [VIOLATED])

    def test_unknownCommands(self) -> None:
        """The eleventh one violates."""
        said = (True, b"HELLO\r\n"), (False, b"-ERR\r\n")
        self.assertEqual(self.found(OK, *said * 10), [])
        self.assertEqual(self.found(OK, *said * 11), [VIOLATED])

    def test_stls(self) -> None:
        self.assertEqual(self.found(OK, (True, b"STLS\r\n"), OK, (False, b"x\r\n")), [CONFIRMED, ENCRYPTED])
        self.assertEqual(self.found(OK, (True, b"STLS\r\n"), (False, b"-ERR\r\n")), [])
        analyzer = POP3Analyzer(Surroundings())
        for originator, data in (OK, (True, b"STLS\r\n"), OK):
            self.assertEqual(analyzer.skip(False), 0)
            analyzer.data(originator, data, 0)
        self.assertEqual((analyzer.skip(True), analyzer.skip(False)), (-1, -1))

    def test_guessed(self) -> None:
        """A command of a logged-in client says that there was a login."""
        self.assertEqual(self.found(OK, (True, b"RETR 1\r\n"), (False, b"+OK\r\njunk\r\n.\r\njunk\r\n")), [VIOLATED])

    def test_bounded(self) -> None:
        analyzer = POP3Analyzer(Surroundings())
        analyzer.data(True, b"NOOP\r\n" * 5000, 0)
        self.assertLess(len(analyzer.dump()), 60)


class IMAPAnalyzerTests(talks.TalkTests):
    """IMAP, driven by hand."""

    kind = IMAPAnalyzer
    cutting = False
    talks = (
        (
            (False, b"* OK [CAPABILITY IMAP4] x\r\n"),
            (True, b"1 CAPABILITY\r\n"),
            (False, b"* CAPABILITY IMAP4 STARTTLS\r\n1 OK done\r\n"),
            (True, b"2 StartTLS\r\n"),
            (False, b"2 OK go\r\n"),
            (True, b"\x16\3\1"),
        ),
        ((True, b"1 login a b\r\n"), (True, b"bad\r\n")),
        ((False, b"* PREAUTH x\r\n"), (True, b"junk\r\n"), (False, 5), (False, b"* OK\r\n")),
    )

    def found(self, *talk: tuple[bool, bytes | int]) -> list[Finding]:
        return talks.found(IMAPAnalyzer, talk)

    def test_confirmed(self) -> None:
        """Some words are known in any case, others in lower case only."""
        for line in (b"* OK x\r\n", b"* ok\n", b"* login\r\n"):
            self.assertEqual(self.found((False, line)), [CONFIRMED], line)
        for line in (b"1 capability\r\n", b"1 STARTTLS\r\n", b"1 fetch 1\r\n", b"a  list\r\n"):
            self.assertEqual(self.found((True, line)), [CONFIRMED], line)
        for line in (b"1 CAPABILITY\r\n", b"1 LOGIN a b\r\n", b"* OK\r\n"):
            self.assertEqual(self.found((True, line)), [], line)
        self.assertEqual(self.found((False, b"1 OK\r\n* BYE\r\n")), [])

    def test_violated(self) -> None:
        """By lines that are not two words, or do not end within what was delivered."""
        for line in (b"word\r\n", b"\r\n", b"a b", b" a b\r\n", b"\x80 b\r\n", b"a b\r\nword\r\n", b"a b\r\na b"):
            self.assertEqual(self.found((True, line)), [VIOLATED], line)
        for line in (b"a b \x80\r\n\r\n", b"a b\n\r\na b\r"):
            self.assertEqual(self.found((True, line)), [], line)
        self.assertEqual(self.found((False, b"* CAPABILITY \x80\r\n")), [VIOLATED])
        self.assertEqual(self.found((False, b"* CAPABILITY\r\n")), [VIOLATED])
        self.assertEqual(self.found((False, b"* Capability A B \r\n")), [])

    def test_late(self) -> None:
        """With the login all is said, up to the end of the delivery."""
        self.assertEqual(self.found((True, b"1 login\r\n"), (False, b"bad\r\n")), [CONFIRMED])
        self.assertEqual(self.found((True, b"1 login\r\nbad\r\n")), [CONFIRMED, VIOLATED])

    def test_startTLS(self) -> None:
        asked = (True, b"7 STARTTLS\r\n")
        self.assertEqual(self.found(asked, (False, b"7 OK go\r\n"), (False, b"\x16\3")), [CONFIRMED, ENCRYPTED])
        self.assertEqual(self.found(asked, (False, b"7 OK\r\n7 OK\r\n")), [CONFIRMED, ENCRYPTED])
        self.assertEqual(self.found(asked, (False, b"8 OK go\r\n")), [CONFIRMED])
        self.assertEqual(self.found(asked, (False, b"7 NO\r\n")), [CONFIRMED])

    def test_gap(self) -> None:
        """A gap in either direction ends everything."""
        self.assertEqual(self.found((True, 1), (False, b"* OK\r\n")), [])

    def test_skip(self) -> None:
        analyzer = IMAPAnalyzer(Surroundings())
        analyzer.data(True, b"1 CAPABILITY\r\n", 0)
        self.assertEqual(analyzer.skip(True), 0)
        analyzer.data(True, b"1 authenticate x\r\n", 0)
        self.assertEqual((analyzer.skip(True), analyzer.skip(False)), (-1, -1))

    def test_bounded(self) -> None:
        """An endless tag is not kept."""
        analyzer = IMAPAnalyzer(Surroundings())
        analyzer.data(True, b"t" * 60000 + b" STARTTLS\r\n", 0)
        self.assertLess(len(analyzer.dump()), 1100)
        analyzer.data(False, b"t" * 60000 + b" OK\r\n", 0)
        self.assertEqual(analyzer.findings, [CONFIRMED])
