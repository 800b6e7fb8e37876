"""DTLS: hellos, versions, fragments."""

from __future__ import annotations

import itertools
import struct

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.analyzer import Sign, Surroundings
from openmb.plugins.bro.analyzers.dtls import DTLSAnalyzer
from tests.plugins.bro.analyzers.datagramwire import (
    Datagram,
    checkHostile,
    clientHello,
    dtlsRecord,
    findingsOf,
    handshake,
)

YES, NO = Sign.CONFIRMED, Sign.VIOLATED
HELLO = dtlsRecord(handshake(clientHello()))
WRONG = dtlsRecord(b"", version=0x0303)
SERVER_THREE = struct.pack(">H", 0xFEFD) + bytes(32) + b"\0\x13\x01\0" + b"\0\6\0\x2b\0\2\xfe\xfc"


class DTLSTests(SynchronousTestCase):
    """What confirms, what violates."""

    def found(self, *datagrams: bytes) -> list[list[object]]:
        return [list(each) for each in findingsOf(DTLSAnalyzer, [(True, data) for data in datagrams])]

    def test_hello(self) -> None:
        """Once, whatever else is in the datagram; a hello that is cut off violates."""
        self.assertEqual([[YES], []], self.found(HELLO, HELLO))
        self.assertEqual([[YES]], self.found(dtlsRecord(b"\1", kind=20) + HELLO))
        for size in range(1, len(HELLO)):
            self.assertEqual([[NO]], self.found(HELLO[:size]), size)

    def test_inside(self) -> None:
        """Lengths in the hello that do not fit."""
        body = clientHello()
        for size in range(len(body)):
            self.assertEqual([[NO]], self.found(dtlsRecord(handshake(body[:size]))), size)
        for extensions, expected in ((b"\0\4\0\1\0\0", YES), (b"\0", NO), (b"\0\4\0\1\0\1", NO), (b"\0\4\0\1\0", NO)):
            hello = dtlsRecord(handshake(clientHello(extensions=extensions)))
            self.assertEqual([[expected]], self.found(hello), extensions)

    def test_versions(self) -> None:
        for version in (0x0002, 0x0300, 0x0304, 0x7F12, 0xFEFF, 0xFEFD, 0xFEFC):
            self.assertEqual([[YES]], self.found(dtlsRecord(handshake(clientHello(version)))))
        self.assertEqual([[NO], []], self.found(dtlsRecord(handshake(clientHello(0x0999))), HELLO))

    def test_wrongVersion(self) -> None:
        """Passed over, with what follows; violates once, and only after a hello."""
        self.assertEqual([[], [YES], [NO], []], self.found(WRONG + HELLO, HELLO, WRONG, WRONG))

    def test_wrongTooOften(self) -> None:
        """The eleventh ends it; a good record in between begins the count again, after a hello."""
        self.assertEqual([[]] * 10 + [[YES]], self.found(*[WRONG] * 10, HELLO))
        self.assertEqual([[]] * 12, self.found(*[WRONG] * 11, HELLO))
        analyzer = DTLSAnalyzer(Surroundings(tcp=False))
        for data in [HELLO] + ([WRONG] * 10 + [HELLO]) * 3 + [WRONG] * 10:
            analyzer.data(True, data, 1)
            self.assertEqual(0, analyzer.skip(True))
        analyzer.data(False, WRONG, 1)
        self.assertEqual([-1, -1], [analyzer.skip(True), analyzer.skip(False)])

    def test_others(self) -> None:
        """Records of other types: an alert is even, a heartbeat has a header; what is encrypted may be anything."""
        for kind, body, expected in ((21, b"ab", []), (21, b"abc", [NO]), (24, b"ab", [NO]), (24, b"abc", [])):
            self.assertEqual([expected], self.found(dtlsRecord(body, kind=kind)))
            self.assertEqual([[]], self.found(dtlsRecord(body, kind=kind, epoch=1)))
        self.assertEqual([[NO]], self.found(dtlsRecord(bytes(11))))
        self.assertEqual([[]], self.found(dtlsRecord(b"")))

    def test_fragments(self) -> None:
        """In any order, each twice."""
        body, size = clientHello(extensions=b"\0\4\0\1\0\0"), 18
        parts = [
            dtlsRecord(handshake(body, number=1, offset=begin, size=size), sequence=5 + place)
            for place, begin in enumerate(range(0, len(body), size))
        ]
        self.assertEqual(3, len(parts))
        for order in itertools.permutations(range(3)):
            run: list[Datagram] = [(True, parts[place]) for place in order for _ in range(2)]
            found = findingsOf(DTLSAnalyzer, run)
            self.assertEqual(found, findingsOf(DTLSAnalyzer, run, moving=True))
            self.assertEqual([[YES]], [each for each in found if each], order)

    def test_badFragments(self) -> None:
        """Beyond the message, too long, with another size, before the first; the next record is read all the same."""
        beyond = dtlsRecord(b"\1\0\0\x20\0\0\0\0\x1f\0\0\2ab") + HELLO
        larger = dtlsRecord(b"\1\0\x40\x01\0\0\0\0\0\0\0\1a") + HELLO
        other = dtlsRecord(b"\1\0\0\x20\0\0\0\0\0\0\0\2a") + HELLO
        for data in (beyond, larger, other):
            self.assertEqual([[NO, YES]], self.found(data))
        start = dtlsRecord(handshake(bytes(20), size=5), sequence=7)
        self.assertEqual([[], [NO]], self.found(start, dtlsRecord(handshake(bytes(20), offset=5, size=5), sequence=6)))
        far = dtlsRecord(handshake(bytes(20), offset=15, size=5), sequence=38)
        self.assertEqual([[], [NO]], self.found(start, far))

    def test_three(self) -> None:
        """After DTLS 1.3 was chosen, its short headers are no unknown versions."""
        short = b"\x2c\1\2\0\5abcde"
        server = dtlsRecord(handshake(SERVER_THREE, kind=2))
        run: list[Datagram] = [(True, HELLO), (False, server), (True, short), (False, b"\x30"), (True, b"\x2c\1\2\0")]
        self.assertEqual([[YES], [], [], [], [NO]], findingsOf(DTLSAnalyzer, run))
        self.assertEqual([[YES], [NO]], self.found(HELLO, short + bytes(9)))

    def test_hostile(self) -> None:
        server = dtlsRecord(handshake(SERVER_THREE, kind=2))
        part = dtlsRecord(handshake(clientHello(), size=20), sequence=1)
        rest = dtlsRecord(handshake(clientHello(), offset=20), sequence=2)
        checkHostile(self, DTLSAnalyzer, [(True, HELLO), (False, server), (True, part), (True, rest)], 4)

    def test_bounded(self) -> None:
        """The largest state there can be."""
        analyzer = DTLSAnalyzer(Surroundings(tcp=False))
        for number in range(40):
            for originator in (True, False):
                analyzer.data(originator, dtlsRecord(b"\x0b\xff\xff\xff\0\0\0\0\0\xff\xff\xff" + bytes(60_000)), 1)
                analyzer.data(originator, dtlsRecord(b"\x0b\0\x40\0\0" + bytes((number,)) + b"\0\0\0\0\0\1a"), 1)
        self.assertLess(len(analyzer.dump()), 256 << 10)

    def test_refused(self) -> None:
        """A dump of another version, of impossible counts, or with more than there can be in it."""
        dump = DTLSAnalyzer(Surroundings()).dump()
        self.assertEqual(dump, DTLSAnalyzer.load(dump, Surroundings()).dump())
        for place, value in ((0, 2), (4, 12), (5, 2)):
            changed = bytearray(dump)
            changed[place] = value
            self.assertRaises(OperationError, DTLSAnalyzer.load, bytes(changed), Surroundings())
        for size in range(len(dump)):
            self.assertRaises(OperationError, DTLSAnalyzer.load, dump[:size], Surroundings())
        self.assertRaises(OperationError, DTLSAnalyzer.load, dump + b"\0", Surroundings())
