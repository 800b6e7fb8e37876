"""SSH: when it is confirmed, violated, and shows an impossible length."""

from __future__ import annotations

from openmb.plugins.bro.analyzers.analyzer import Finding, Surroundings
from openmb.plugins.bro.analyzers.ssh import SSHAnalyzer, readable
from tests.plugins.bro.analyzers import talks
from tests.plugins.bro.analyzers.talks import CONFIRMED, EXCEEDED, VIOLATED

CLIENT, SERVER = (True, b"SSH-2.0-ab\r\n"), (False, b"SSH-2.0-cd\n")


def packet(kind: int, payload: bytes) -> bytes:
    """A binary packet without authentication (RFC 4253, section 6)."""
    padding = 8 - (len(payload) + 6) % 8 + 4
    return (len(payload) + 2 + padding).to_bytes(4, "big") + bytes((padding, kind)) + payload + bytes(padding)


def opening(lists: int = 10) -> bytes:
    """KEXINIT."""
    return packet(20, bytes(16) + b"\0\0\0\3abc" * lists + bytes(5))


def ofOne(kind: int, payload: bytes) -> bytes:
    """A packet of version 1 (its C{ssh1.txt}, "The Binary Packet Protocol")."""
    length = len(payload) + 5
    return length.to_bytes(4, "big") + bytes(8 - length % 8) + bytes((kind,)) + payload + bytes(4)


KEYS = packet(21, b"")
OVERLONG = b"\0\x80\0\1\6\x14"
WHOLE: talks.Talk = (
    CLIENT,
    SERVER,
    (True, opening()),
    (False, opening() + packet(31, bytes(99)) + KEYS),
    (True, packet(30, bytes(40)) + KEYS + b"\xff" * 50),
    (False, b"\xff" * 50),
    (True, b""),
)


class SSHAnalyzerTests(talks.TalkTests):
    """SSH, driven by hand."""

    kind = SSHAnalyzer
    talks = (
        WHOLE,
        (CLIENT, SERVER, (True, opening() + OVERLONG)),
        (CLIENT, SERVER, (False, opening(9))),
        (CLIENT, SERVER, (True, b"\0\0\x8c\xa0\6\x14" + bytes(36000)), (False, opening() + KEYS)),
        ((True, b"SSH-1.5-a\r\n"), (False, b"SSH-1.99-b\r"), (False, ofOne(2, bytes(30))), (True, ofOne(3, bytes(9)))),
    )

    def found(self, *talk: tuple[bool, bytes | int]) -> list[Finding]:
        return talks.found(SSHAnalyzer, talk)

    def test_versionsOnly(self) -> None:
        """Nothing is confirmed by version lines, nor by what is not encrypted."""
        self.assertEqual(self.found(CLIENT, SERVER, (True, opening()), (False, opening())), [])

    def test_confirmed(self) -> None:
        """Once, by the first NEWKEYS of either direction."""
        self.assertEqual(self.found(CLIENT, SERVER, (True, KEYS)), [CONFIRMED])
        self.assertEqual(self.found(CLIENT, SERVER, (False, KEYS)), [CONFIRMED])
        self.assertEqual(self.found(*WHOLE), [CONFIRMED])

    def test_lineEnds(self) -> None:
        """A version line ends with CR, LF or both."""
        for end in (b"\r", b"\n", b"\r\n"):
            self.assertEqual(self.found(CLIENT, (False, b"SSH-2.0-cd" + end + KEYS)), [CONFIRMED], end)

    def test_versionOne(self) -> None:
        """The session key is what counts there, and other messages have no place."""
        lines = ((True, b"SSH-1.5-a\n"), (False, b"SSH-1.99-b\n"))
        self.assertEqual(self.found(*lines, (False, ofOne(2, bytes(30)))), [])
        self.assertEqual(self.found(*lines, (True, ofOne(3, bytes(31)))), [CONFIRMED])
        self.assertEqual(self.found(*lines, (True, ofOne(9, bytes(31)))), [VIOLATED])

    def test_versionsTogether(self) -> None:
        """1.99 goes with both; 1 and 2 do not go together, and nothing is read then."""
        for one, two in ((b"SSH-1.99-a\n", b"SSH-2.0-a\n"), (b"SSH-1.99-a\n", b"SSH-1.99-a\n")):
            self.assertEqual(self.found((True, one), (False, two), (True, KEYS)), [CONFIRMED])
        self.assertEqual(self.found((True, b"SSH-1.5-a\n"), (False, b"SSH-2.0-a\n"), (True, KEYS)), [])
        self.assertEqual(self.found((True, b"abcd\n"), (False, b"SSH-2.0-a\n"), (True, KEYS)), [])

    def test_violated(self) -> None:
        """By lengths that do not fit: of padding, or of the lists of names."""
        self.assertEqual(self.found(CLIENT, SERVER, (True, b"\0\0\0\4\7\x14\0\0")), [VIOLATED])
        self.assertEqual(self.found(CLIENT, SERVER, (True, opening(12))), [])
        self.assertEqual(self.found(CLIENT, SERVER, (True, opening(9) + KEYS)), [VIOLATED])
        self.assertTrue(readable(bytes(16 + 40 + 5)))
        self.assertFalse(readable(bytes(16 + 40 + 4)))

    def test_exceeded(self) -> None:
        """Once, from either direction, in any packet; eight MiB are allowed."""
        self.assertEqual(self.found(CLIENT, SERVER, (True, OVERLONG)), [EXCEEDED])
        self.assertEqual(self.found(CLIENT, SERVER, (False, opening() + OVERLONG), (True, OVERLONG)), [EXCEEDED])
        self.assertEqual(self.found(CLIENT, SERVER, (True, b"\0\x80\0\0\6\x14")), [])
        self.assertEqual(self.found(CLIENT, SERVER, (True, KEYS + OVERLONG)), [CONFIRMED])

    def test_beforeVersion(self) -> None:
        """Packets before the other side's version line are not read."""
        self.assertEqual(self.found((True, CLIENT[1] + OVERLONG), SERVER), [])
        self.assertEqual(self.found(CLIENT, (False, b""), (True, OVERLONG)), [])

    def test_gap(self) -> None:
        """A gap in either direction ends everything."""
        self.assertEqual(self.found(CLIENT, SERVER, (False, 3), (True, KEYS)), [])

    def test_skip(self) -> None:
        """A side is not read after its NEWKEYS; packets that are too long to be looked into are passed over."""
        analyzer = SSHAnalyzer(Surroundings())
        for originator, said in WHOLE[:4]:
            assert isinstance(said, bytes)
            analyzer.data(originator, said, 0)
        self.assertEqual((analyzer.skip(True), analyzer.skip(False)), (0, 0))
        for length in (56, 40):
            # what cannot be read any more is measured until somebody has logged in
            analyzer.data(False, bytes(length), 0)
        self.assertEqual((analyzer.skip(True), analyzer.skip(False)), (0, -1))
        analyzer.data(True, b"\0\1\0\0\6\x14ab", 0)
        self.assertEqual(analyzer.skip(True), 65536 + 4 - 8)
        analyzer.skipped(True, 65536 + 4 - 8, 0)
        analyzer.data(True, KEYS, 0)
        self.assertEqual(analyzer.skip(True), -1)

    def test_longLine(self) -> None:
        """No line is endless."""
        analyzer = SSHAnalyzer(Surroundings())
        analyzer.data(True, b"SSH-2.0-" + b"a" * 5000, 0)
        self.assertEqual((analyzer.skip(True), len(analyzer.dump()) < 100), (-1, True))
