"""What one connection can make a middlebox keep is bounded, and its record always fits into one frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.middlebox.stream import LARGEST
from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.analyzers.ahead import EACH_HELD, MOST_HELD
from openmb.plugins.bro.analyzers.analyzer import Surroundings
from openmb.plugins.bro.analyzers.conversation import Conversation
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.service import Service
from openmb.plugins.bro.tracking.pieces import PIECE_HELD, PIECE_RELEASED, Piece
from openmb.state.packing import packRecords, splitBatch
from tests.plugins.bro.analyzers.driven import DrivenHTTP
from tests.plugins.bro.running import EVERYTHING, makeBro
from tests.plugins.bro.wire import ACK, BEGIN, CLIENT, SERVER, SYN, tcp

PIECE = 1400


def client(position: int, data: bytes, acknowledgement: int = 1) -> bytes:
    """Bytes of the client from C{position} on; 1 is the first one."""
    return tcp(CLIENT, 2000, SERVER, 80, ACK, position, acknowledgement, data)


def server(position: int, data: bytes, acknowledgement: int = 1) -> bytes:
    """The same of the server."""
    return tcp(SERVER, 80, CLIENT, 2000, ACK, position, acknowledgement, data)


def shaken() -> list[bytes]:
    """The hand-shake."""
    return [
        tcp(CLIENT, 2000, SERVER, 80, SYN, 0),
        tcp(SERVER, 80, CLIENT, 2000, SYN | ACK, 0, 1),
        client(1, b""),
    ]


def largest(middlebox: BroMiddlebox) -> int:
    """Bytes of the largest pack that is exported of everything."""
    sizes = [0]
    for batches in middlebox.getPerflow(EVERYTHING, 7, 4096):
        for batch in batches:
            for part in splitBatch(batch):
                clear, plain = packRecords(part)
                sizes.append(len(clear) + len(plain))
    return max(sizes)


class RecordTests(SynchronousTestCase):
    """Hostile connections through the whole engine; each is exported as it stands."""

    def setUp(self) -> None:
        self.middlebox = makeBro(Path(self.mktemp()))

    def process(self, packets: list[bytes]) -> None:
        stamps = [BEGIN + number * 1000 for number in range(len(packets))]
        for start in range(0, len(packets), 500):
            part = slice(start, start + 500)
            batch = packetBatch(packets[part], stamps[part], link=LinkType.RAW)
            self.middlebox.process(Decoder().decode(batch), None)

    def above(self, start: int, data: bytes) -> Iterator[bytes]:
        """Both directions send C{data} from C{start} on; each acknowledges a little, so that it goes on."""
        for at in range(0, len(data), PIECE):
            yield client(start + at, data[at : at + PIECE])
            yield server(start + at, data[at : at + PIECE])

    def test_aboveHole(self) -> None:
        """Megabytes above a hole."""
        opening = [client(1, b"GET / HTTP/1.1\r\n"), server(1, b"", 17)]
        self.process([*shaken(), *opening, *self.above(100, bytes(3 << 20))])
        self.assertGreater(largest(self.middlebox), MOST_HELD // 2)
        self.assertLess(largest(self.middlebox), LARGEST)

    def test_againAndAgain(self) -> None:
        """The same bytes above a hole."""
        self.process([*shaken(), client(1, b"GET "), server(1, b"", 5), *[client(100, bytes(PIECE))] * 2000])
        self.assertLess(largest(self.middlebox), LARGEST)


class HeldTests(SynchronousTestCase):
    """Bytes that wait for a hole to be filled."""

    def setUp(self) -> None:
        self.session = Conversation(Surroundings())
        self.session.begin(Service.HTTP)

    def piece(self, kind: int, sequence: int, length: int) -> Piece:
        """A piece of the originator's data."""
        return Piece(1, sequence, 0, 0, 1, 1, 0, 0, 0, length, 0, kind, 0, Service.HTTP, 0, 0, 1)

    def hold(self, sequence: int, data: bytes) -> None:
        self.session.take(self.piece(PIECE_HELD, sequence, len(data)), data)

    def test_bounded(self) -> None:
        """However small the pieces are."""
        for size in (1, PIECE, 60_000):
            self.setUp()
            for number in range(2 * MOST_HELD // size):
                self.hold(100 + number * size, bytes(size))
            kept = sum(len(data) + EACH_HELD for _, data in self.session.ahead.held(0))
            self.assertTrue(MOST_HELD - size - EACH_HELD < kept <= MOST_HELD, (size, kept))

    def test_roomAgain(self) -> None:
        """What was released makes room."""
        line = b"GET / HTTP/1.1\r\n\r\n"
        full = line * ((MOST_HELD - EACH_HELD) // len(line))
        self.hold(1, full)
        self.hold(len(full) + 1, line)
        self.assertEqual(1, len(self.session.ahead.held(0)))
        self.session.take(self.piece(PIECE_RELEASED, 1, len(full)), b"")
        self.assertEqual([], self.session.ahead.held(0))
        self.hold(len(full) + 1, line)
        self.assertEqual([(len(full) + 1, line)], self.session.ahead.held(0))


class ParserTests(SynchronousTestCase):
    """The HTTP parser by itself."""

    def test_informational(self) -> None:
        """Long words in interim replies count as text of their rows."""
        parser = DrivenHTTP()
        parser.data(True, b"GET / HTTP/1.1\r\n\r\n" * 90, 1)
        for _ in range(90):
            parser.data(False, b"HTTP/1.1 100 " + b"x" * 60_000 + b"\r\n\r\n", 2)
            parser.data(False, b"HTTP/1.1 200 " + b"y" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n", 2)
        self.assertLess(len(parser.dump()), LARGEST - MOST_HELD)

    def test_everything(self) -> None:
        """All that a parser can keep at the same time."""
        parser = DrivenHTTP()
        parser.data(True, b"HEAD /" + b"a" * 60_000 + b" HTTP/1.1\r\n\r\n", 1)
        parser.data(True, b"HEAD / HTTP/1.1\r\n\r\n" * 20_000, 1)
        parser.data(True, b"GET /" + b"b" * 60_000 + b" HTTP/1.1\r\n", 1)
        parser.data(True, b"User-Agent: " + b"c" * 65_000 + b"\r\n " + b"d" * 60_000, 1)
        kind = b"Content-Type: multipart/mixed; boundary=" + b"f" * 60_000
        parser.data(False, b"HTTP/1.1 200 OK\r\n" + kind + b"\r\nX: " + b"g" * 30_000 + b"\r\n " + b"h" * 60_000, 2)
        self.assertTrue(100_000 < len(parser.dump()) < LARGEST - MOST_HELD, len(parser.dump()))
        self.assertEqual(parser.dump(), DrivenHTTP.load(parser.dump()).dump())

    def test_longBoundary(self) -> None:
        """A body with a boundary longer than any is taken as a whole."""
        for length, whole in ((1024, False), (1025, True)):
            parser = DrivenHTTP()
            boundary = b"b" * length
            parser.data(True, b"GET / HTTP/1.1\r\n\r\n", 1)
            parser.data(False, b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=" + boundary, 2)
            parser.data(False, b"\r\nContent-Length: 9000\r\n\r\n", 2)
            self.assertEqual(9000 if whole else 0, parser.skip(False), length)
