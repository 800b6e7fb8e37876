"""TLS and SSL: when they are confirmed and violated, and what need not be read."""

from __future__ import annotations

from openmb.plugins.bro.analyzers.analyzer import Finding, Surroundings
from openmb.plugins.bro.analyzers.hello import clientVersion, serverVersion
from openmb.plugins.bro.analyzers.ssl import SSLAnalyzer
from tests.plugins.bro.analyzers import talks
from tests.plugins.bro.analyzers.talks import CONFIRMED, VIOLATED


def record(kind: int, content: bytes, version: int = 0x0301) -> bytes:
    return bytes((kind,)) + version.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content


def message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def extensions(*found: tuple[int, bytes]) -> bytes:
    joined = b"".join(kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data for kind, data in found)
    return len(joined).to_bytes(2, "big") + joined


NAME = (0, b"\0\7\0\0\4host")
CLIENT_BODY = (
    b"\3\3" + bytes(32) + b"\2id" + b"\0\4\x13\1\x13\2" + b"\1\0" + extensions(NAME, (23, b""), (51, b"\0\2\0\0"))
)
CLIENT = message(1, CLIENT_BODY)
SERVER12 = message(2, b"\3\3" + bytes(32) + b"\0" + b"\xc0\x2f\0" + extensions((23, b"")))
SERVER13 = message(2, b"\3\3" + bytes(32) + b"\0" + b"\x13\1\0" + extensions((43, b"\3\4")))
HELLO = (True, record(22, CLIENT))
OLD_HELLO = b"\x80\x1f\1\0\2\0\3\0\0\0\x13abc" + bytes(19)
HANDSHAKE = record(22, SERVER12 + message(11, b"\0\0\x43\0\0\x40" + bytes(64)) + message(14, b""))
TLS12: talks.Talk = (
    HELLO,
    (False, HANDSHAKE),
    (True, record(22, message(16, bytes(66))) + record(20, b"\1") + record(22, bytes(40)) + record(23, bytes(300))),
    (False, record(20, b"\1") + record(22, b"\xff" * 40) + record(23, b"\xff" * 900) + record(21, b"\xff" * 25)),
)
TLS13: talks.Talk = (
    HELLO,
    (False, record(22, SERVER13) + record(20, b"\1") + record(23, b"\xff" * 700)),
    (True, record(23, b"\xff" * 70) + record(21, b"\xff" * 25)),
)


class SSLAnalyzerTests(talks.TalkTests):
    """TLS and SSL, driven by hand."""

    kind = SSLAnalyzer
    talks = (
        TLS12,
        TLS13,
        ((True, record(22, CLIENT[:20]) + record(22, CLIENT[20:])), (False, b"HTTP/1.1 200 OK\r\n")),
        ((True, OLD_HELLO), (False, record(22, SERVER12 + message(99, bytes(7)))), (True, record(25, b"abc"))),
        ((True, OLD_HELLO), (False, b"\x80\x0e\4\0\1\0\2\0\0\0\3\0\0abc"), (True, b"\x80\x03\x63ab\x80\x03\2abcd")),
        ((True, record(22, message(1, b"short") + b"rest") + HELLO[1]),),
        (HELLO, (False, record(21, b"abc")), (True, record(22, message(1, b"short") + b"rest") + HELLO[1])),
    )

    def found(self, *talk: tuple[bool, bytes | int]) -> list[Finding]:
        return talks.found(SSLAnalyzer, talk)

    def test_clientHello(self) -> None:
        """A complete one confirms, in one record or in more; one that never ends does not."""
        self.assertEqual(self.found(HELLO), [CONFIRMED])
        self.assertEqual(self.found((True, record(22, CLIENT[:7]) + record(22, CLIENT[7:]))), [CONFIRMED])
        self.assertEqual(self.found((True, record(22, CLIENT[:-9]))), [])

    def test_serverHello(self) -> None:
        """It does not confirm."""
        self.assertEqual(self.found((False, record(22, SERVER12))), [])

    def test_conversations(self) -> None:
        """What is encrypted is not looked into."""
        self.assertEqual(self.found(*TLS12), [CONFIRMED])
        self.assertEqual(self.found(*TLS13), [CONFIRMED])

    def test_versions(self) -> None:
        """Of the client's hello: all that were ever in use, and drafts."""
        for version in (2, 0x300, 0x301, 0x302, 0x303, 0x304, 0x7F12, 0xFEFC):
            body = version.to_bytes(2, "big") + CLIENT_BODY[2:]
            self.assertEqual(self.found((True, record(22, message(1, body)))), [CONFIRMED], hex(version))
        body = b"\x09\x99" + CLIENT_BODY[2:]
        self.assertEqual(self.found((True, record(22, message(1, body)) + HELLO[1])), [VIOLATED])
        cookie = b"\xfe\xfd" + CLIENT_BODY[2:37] + b"\3abc" + CLIENT_BODY[37:]
        self.assertEqual(self.found((True, record(22, message(1, cookie)))), [CONFIRMED])

    def test_firstRecord(self) -> None:
        """Version and type must be known, or nothing more is read."""
        self.assertEqual(self.found((True, b"GET / HTTP/1.1\r\n")), [VIOLATED])
        self.assertEqual(self.found((True, record(22, CLIENT, 0x0304) + HELLO[1])), [VIOLATED])
        self.assertEqual(self.found((True, record(19, b"a") + HELLO[1])), [VIOLATED])
        self.assertEqual(self.found((True, record(31, b"a") + HELLO[1])), [VIOLATED])
        self.assertEqual(self.found((True, record(30, b""))), [])

    def test_lateVersion(self) -> None:
        """In either direction, also encrypted; the rest is not read."""
        self.assertEqual(
            self.found(HELLO, (False, b"HTTP/1.1 200 OK\r\n"), (True, b"more junk")), [CONFIRMED, VIOLATED]
        )
        self.assertEqual(self.found(*TLS12, (True, record(23, b"a", 0x0404))), [CONFIRMED, VIOLATED])

    def test_types(self) -> None:
        """Unknown ones violate while they can be read, once they are complete."""
        self.assertEqual(self.found(HELLO, (False, record(25, b"ab"))), [CONFIRMED, VIOLATED])
        self.assertEqual(self.found(HELLO, (False, record(25, b"ab")[:-1])), [CONFIRMED])
        self.assertEqual(self.found(HELLO, (False, record(20, b"\1") + record(25, b"ab"))), [CONFIRMED])
        self.assertEqual(self.found(HELLO, (False, record(22, message(99, b"ab")))), [CONFIRMED, VIOLATED])
        self.assertEqual(self.found(HELLO, (False, record(22, message(99, b"ab")[:-1]))), [CONFIRMED])
        self.assertEqual(self.found(HELLO, (False, record(24, b"ab"))), [CONFIRMED, VIOLATED])
        self.assertEqual(self.found(HELLO, (False, record(24, b"abc") + record(21, b"\2\x28"))), [CONFIRMED])
        self.assertEqual(self.found(HELLO, (False, record(21, b"\2"))), [CONFIRMED, VIOLATED])

    def test_applicationData(self) -> None:
        """It begins encryption, unless a version was agreed upon that says otherwise."""
        strange = record(23, b"a") + record(25, b"b")
        self.assertEqual(self.found(HELLO, (False, record(22, SERVER13) + strange)), [CONFIRMED])
        self.assertEqual(self.found(HELLO, (False, record(22, SERVER12) + strange)), [CONFIRMED, VIOLATED])

    def test_malformedHello(self) -> None:
        """Lengths that do not agree violate; the next record is read again."""
        for cut in range(1, len(CLIENT_BODY)):
            whole = CLIENT_BODY[:cut]
            expected = [CONFIRMED] if clientVersion(whole) is not None else [VIOLATED, CONFIRMED]
            self.assertEqual(self.found((True, record(22, message(1, whole)) + HELLO[1])), expected, cut)
        extensionless = len(CLIENT_BODY) - len(extensions(NAME, (23, b""), (51, b"\0\2\0\0")))
        accepted = [cut for cut in range(len(CLIENT_BODY)) if clientVersion(CLIENT_BODY[:cut]) is not None]
        self.assertEqual(accepted, [extensionless, extensionless + 2, extensionless + 15, extensionless + 19])
        self.assertIsNone(clientVersion(CLIENT_BODY.replace(b"\0\7\0\0\4host", b"\0\x08\0\0\4host")))
        odd = CLIENT_BODY[: CLIENT_BODY.index(b"\0\4\x13")] + b"\0\5abcd" + b"\2\0\0"
        self.assertEqual(clientVersion(odd), 0x0303)  # half a cipher suite takes no room
        self.assertEqual(serverVersion(SERVER13[4:]), (0x0303, 0x0304))
        self.assertIsNone(serverVersion(SERVER13[4:-1]))

    def test_serverVersion(self) -> None:
        """An unknown one violates, and nothing more is read."""
        strange = message(2, b"\x05\x05" + SERVER12[6:])
        self.assertEqual(self.found((False, record(22, strange)), HELLO), [VIOLATED])

    def test_versionTwo(self) -> None:
        """Records of SSL version 2: a client's hello confirms, TLS or the old version follows."""
        self.assertEqual(self.found((True, OLD_HELLO)), [CONFIRMED])
        self.assertEqual(self.found((True, OLD_HELLO), (False, record(22, SERVER12))), [CONFIRMED])
        self.assertEqual(self.found((True, OLD_HELLO[:-1])), [])
        self.assertEqual(self.found((True, OLD_HELLO.replace(b"\0\2", b"\0\5"))), [VIOLATED])
        self.assertEqual(self.found((True, OLD_HELLO.replace(b"\0\x13", b"\0\x14"))), [VIOLATED])
        self.assertEqual(self.found((False, OLD_HELLO)), [VIOLATED])
        self.assertEqual(self.found((True, b"\xff\xff\2abcdef")), [VIOLATED])
        server = b"\x80\x0e\4\0\1\0\2\0\0\0\3\0\0abc"
        self.assertEqual(
            self.found((True, OLD_HELLO), (False, server), (True, b"\x80\x04\2abc\x80\x04zzzz")), [CONFIRMED]
        )
        self.assertEqual(self.found((True, OLD_HELLO), (False, server + b"\x80\x04zabc")), [CONFIRMED, VIOLATED])
        self.assertEqual(self.found((False, server.replace(b"\0\2", b"\3\0"))), [VIOLATED])

    def test_gap(self) -> None:
        """A gap in either direction ends everything."""
        self.assertEqual(self.found((False, 7), HELLO), [])
        self.assertEqual(self.found((True, record(22, CLIENT)[:9]), (False, 1), (True, record(22, CLIENT)[9:])), [])

    def test_skip(self) -> None:
        """Bodies are not read, and nothing is once nothing can change."""
        analyzer = SSLAnalyzer(Surroundings())
        analyzer.data(*HELLO, 0)
        self.assertEqual(analyzer.skip(True), 0)
        analyzer.data(False, record(22, SERVER12 + message(11, bytes(3000)))[:100], 0)
        self.assertEqual(analyzer.skip(False), 3000 - (100 - 5 - len(SERVER12) - 4))
        analyzer.skipped(False, analyzer.skip(False), 0)
        analyzer.data(False, record(23, bytes(9000))[:5], 0)
        self.assertEqual(analyzer.skip(False), 9000)
        analyzer.skipped(False, 9000, 0)
        self.assertEqual((analyzer.skip(True), analyzer.skip(False)), (-1, -1))

    def test_skippedGap(self) -> None:
        """More than was offered is a gap."""
        analyzer = SSLAnalyzer(Surroundings())
        analyzer.data(True, record(23, bytes(90))[:5], 0)
        analyzer.skipped(True, 91, 0)
        analyzer.data(*HELLO, 0)
        self.assertEqual((analyzer.skip(True), analyzer.findings), (-1, []))

    def test_unconfirmed(self) -> None:
        """However much came: a hello may still follow."""
        analyzer = SSLAnalyzer(Surroundings())
        analyzer.data(False, record(23, bytes(12000)), 0)
        self.assertEqual((analyzer.skip(True), analyzer.skip(False)), (0, 0))
        analyzer.data(*HELLO, 0)
        self.assertEqual((analyzer.skip(True), analyzer.findings), (-1, [CONFIRMED]))

    def test_bounded(self) -> None:
        """What is kept of an endless hello is bounded."""
        analyzer = SSLAnalyzer(Surroundings())
        for _ in range(20):
            analyzer.data(True, record(22, (b"\1\1\0\0" + bytes(16380))[:16384]), 0)
        self.assertLess(len(analyzer.dump()), 140000)
