"""What a parser or a log throws costs its connection the parser, or itself; everything else goes on."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.bro.analyzers.http.analyzer import HTTPParser
from openmb.plugins.bro.analyzers.http.rows import HEAVIEST
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.state.headers import EVERYTHING
from openmb.testing.simulation.kinds import BroKind
from openmb.testing.simulation.oracle import Row
from openmb.testing.simulation.traffic import ACK, SYN, Endpoints, address
from tests.plugins.bro.analyzers.driven import DrivenHTTP

MARK = b"SEARCH /throw "  # the analysers get it, not the fast path


def conversation(port: int, path: bytes) -> list[bytes]:
    """A request and its reply."""
    ends = Endpoints(address("10.0.0.1"), port, address("10.0.0.2"), 80)
    method = b"SEARCH " if path == b"/throw" else b"GET "
    request = method + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    return [
        ends.segment(True, SYN, 1, 0),
        ends.segment(False, SYN | ACK, 1, 2),
        ends.segment(True, ACK, 2, 2, request),
        ends.segment(False, ACK, 2, 2 + len(request), reply),
    ]


def decoded(frames: list[bytes]) -> Decoded:
    return Decoder(checksums=True).decode(packetBatch(frames, list(range(1, len(frames) + 1))))


class ThrowingParserTests(SynchronousTestCase):
    """HTTPParser is made to throw on one request."""

    def setUp(self) -> None:
        real = HTTPParser.data

        def data(parser: HTTPParser, originator: bool, octets: bytes, now: int) -> None:
            if MARK in octets:
                raise IndexError("made up")
            real(parser, originator, octets, now)

        self.patch(HTTPParser, "data", data)
        self.rows: list[Row] = []
        self.engine = BroKind().engine(self.rows.append)

    def test_onlyItsConnection(self) -> None:
        """The packet is listed; its connection is logged, without its request; the others are logged in full."""
        frames = [*conversation(1, b"/a"), *conversation(2, b"/throw"), *conversation(3, b"/b")]
        failed = self.engine.process(decoded(frames), None).failed
        self.assertEqual([6], [each.index for each in failed])
        self.assertIn("IndexError('made up')", failed[0].reason)
        self.engine.finish()
        logs = [row.log for row in self.rows]
        self.assertEqual((3, 2), (logs.count("conn"), logs.count("http")))
        self.assertNotIn("/throw", " ".join(row.line for row in self.rows if row.log == "http"))

    def test_onlyOnce(self) -> None:
        """The list is that of one batch."""
        self.engine.process(decoded(conversation(2, b"/throw")), None)
        self.assertEqual((), self.engine.process(decoded(conversation(4, b"/b")), None).failed)

    def test_moves(self) -> None:
        """The connection moves on without its parser."""
        self.engine.process(decoded(conversation(2, b"/throw")), None)
        other = BroKind().engine(self.rows.append)
        other.prepare(1, EVERYTHING)
        for batches in self.engine.getPerflow(EVERYTHING, 1, 64):
            for batch in batches:
                other.putPerflow(1, batch)
        self.assertEqual(1, other.commit(1))
        self.engine.delPerflow(1, EVERYTHING)
        other.finish()
        self.assertEqual(["conn"], [row.log for row in self.rows])

    def test_reprocessing(self) -> None:
        """At a destination it refuses the operation."""
        self.engine.prepare(1, EVERYTHING)
        with self.assertRaises(OperationError) as caught:
            self.engine.reprocess(1, decoded(conversation(2, b"/throw")))
        self.assertEqual(Refusal.ENGINE_FAILED, caught.exception.refusal)


class ThrowingLogTests(SynchronousTestCase):
    """A row that cannot be written costs itself."""

    def test_oneRow(self) -> None:
        rows: list[Row] = []
        engine = BroKind().engine(rows.append)
        assert isinstance(engine, BroMiddlebox)
        real = engine.logs.conn.writeAll

        def writeAll(some: list[Any], times: list[int]) -> None:
            if any(7777 in values for values in some):
                raise ValueError("made up")
            real(some, times)

        self.patch(engine.logs.conn, "writeAll", writeAll)
        engine.process(decoded([frame for port in (1, 7777, 3) for frame in conversation(port, b"/")]), None)
        with self.assertRaises(OperationError) as caught:
            engine.finish()
        self.assertIn("1 rows are missing: ValueError('made up')", caught.exception.reason)
        self.assertEqual(2, sum(row.log == "conn" for row in rows))
        engine.finish()  # it is told once

    def test_expired(self) -> None:
        """A row that was due while no packet came is told with the next batch, about none of its packets."""
        rows: list[Row] = []
        engine = BroKind().engine(rows.append)
        assert isinstance(engine, BroMiddlebox)

        def writeAll(some: list[Any], times: list[int]) -> None:
            raise ValueError("made up")

        engine.process(decoded(conversation(1, b"/")), None)
        self.patch(engine.logs.conn, "writeAll", writeAll)
        engine.advance(10**15)
        failed = engine.process(decoded([]), None).failed
        self.assertEqual([(-1, True)], [(each.index, "made up" in each.reason) for each in failed])

    def test_expiredParser(self) -> None:
        """The same if it is the parser that throws at a connection's end."""

        def removed(parser: HTTPParser, now: int) -> Any:
            raise ValueError("made up")

        rows: list[Row] = []
        engine = BroKind().engine(rows.append)
        engine.process(decoded(conversation(1, b"/throw")[:3]), None)
        self.patch(HTTPParser, "removed", removed)
        engine.advance(10**15)
        self.assertEqual([-1], [each.index for each in engine.process(decoded([]), None).failed])


class HeavyParserTests(SynchronousTestCase):
    """Open requests hold a bounded amount of text, so that a connection's record can always travel."""

    def heaviest(self, request: bytes) -> int:
        parser, largest = DrivenHTTP(), 0
        for _ in range(3000):
            parser.data(True, request, 1)
            largest = max(largest, len(parser.dump()))
        return largest

    def test_bounded(self) -> None:
        for request in (
            b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: " + b"b" * 60_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"".join(b"Via: %d %s\r\n" % (n, b"v" * 200) for n in range(70)) + b"\r\n",
            b"GET /" + b"a" * 240 + b" HTTP/1.1\r\nHost: " + b"b" * 240 + b"\r\n\r\n",
        ):
            self.assertLess(self.heaviest(request), HEAVIEST + (150 << 10))

    def test_rowsStay(self) -> None:
        """The requests before it are logged in the end; more are not read."""
        parser = DrivenHTTP()
        request = b"GET /%d" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: b\r\n\r\n"
        rows = [row for number in range(9) for row in parser.data(True, request % number, 1)]
        rows += parser.removed(2)
        self.assertEqual([b"/%d" % number for number in range(3)], [row.uri[:2] for row in rows if row.uri])
        self.assertEqual(-1, parser.skip(True))

    def test_segmentation(self) -> None:
        """Where it gives up does not depend on how the bytes come."""
        stream = b"".join(b"GET /%d" % n + b"a" * 60_000 + b" HTTP/1.1\r\nHost: b\r\n\r\n" for n in range(9))
        found = []
        for step in (len(stream), 1460, 37):
            parser = DrivenHTTP()
            rows = [row for at in range(0, len(stream), step) for row in parser.data(True, stream[at : at + step], 1)]
            found.append([*rows, *parser.removed(1)])
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[0], found[2])
