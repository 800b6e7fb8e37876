"""What is written by hand is what the declarations say."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.agreed import Agreed
from openmb.plugins.bro.analyzers.analyzer import Surroundings
from openmb.plugins.bro.analyzers.conversation import Conversation
from openmb.plugins.bro.analyzers.http.format import PARSER
from openmb.plugins.bro.analyzers.http.rowformat import PAIRING
from openmb.plugins.bro.analyzers.signatures import Matcher
from openmb.plugins.bro.reading import Reader, maybeText, text
from openmb.plugins.bro.records import ConnectionTail
from openmb.plugins.bro.service import Service
from openmb.plugins.bro.tails import Tail, packTail, parseTail
from tests.plugins.bro.analyzers.driven import DrivenHTTP

REQUEST = b"POST /a HTTP/1.1\r\nHost: h\r\nVia: p\r\nContent-Length: 9\r\n\r\nab"


def busy() -> DrivenHTTP:
    """An analyser in the middle of a request, with an earlier one that waits for its answer."""
    driven = DrivenHTTP()
    driven.data(True, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + REQUEST, 5)
    driven.data(False, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 O", 6)
    return driven


class DeclarationTests(SynchronousTestCase):
    """Against construct."""

    def test_parser(self) -> None:
        """Dumps are what L{PARSER} and L{PAIRING} declare, both ways."""
        driven = DrivenHTTP()
        driven.data(True, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + REQUEST, 5)
        driven.data(False, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 O", 6)
        dump, rows = driven.analyzer.dump(), driven.around.requests.dump()
        self.assertEqual(PARSER.build(PARSER.parse(dump)), dump)
        parsed = PAIRING.parse(rows)
        self.assertEqual(PAIRING.build(parsed), rows)
        self.assertEqual(len(parsed.rows), 2)
        self.assertEqual(DrivenHTTP.load(driven.dump()).dump(), driven.dump())

    def test_tail(self) -> None:
        """A tail is what L{ConnectionTail} declares, both ways."""
        driven = busy()
        conversation = Conversation(driven.around)
        conversation.analyzers, conversation.attached = [driven.analyzer], 1
        conversation.matcher = Matcher()
        conversation.matcher.take(True, b"GET")
        conversation.agreed = [Agreed((0, 1), (2, 3), 4, 5)]
        conversation.ahead.hold(0, 7, b"held")
        data = packTail(Tail(([(5, 9), (11, 12)], []), conversation))
        parsed = ConnectionTail.parse(data)
        self.assertEqual(ConnectionTail.build(parsed), data)
        self.assertEqual([(one.low, one.high) for one in parsed.ranges[0]], [(5, 9), (11, 12)])
        self.assertEqual([int(Service.HTTP)], [one.service for one in parsed.content.analyzers])
        self.assertEqual(4, parsed.content.agreed[0].port)
        again = parseTail(data, Surroundings)
        self.assertEqual(packTail(again), data)

    def test_cut(self) -> None:
        """A dump that is cut off anywhere, or too long, is refused."""
        dump = busy().dump()
        for length in range(len(dump)):
            self.assertRaises(OperationError, DrivenHTTP.load, dump[:length])
        self.assertRaises(OperationError, DrivenHTTP.load, dump + b"\0")


class ReaderTests(SynchronousTestCase):
    """The parts."""

    def test_parts(self) -> None:
        """In order, to the end."""
        reader = Reader(b"\7" + text(b"ab") + maybeText(None) + maybeText(b"c") + b"\1\0", "a test")
        self.assertEqual(
            (reader.octet(), reader.text(), reader.maybeText(), reader.maybeText()), (7, b"ab", None, b"c")
        )
        self.assertEqual(reader.numbers(struct.Struct("<H")), (1,))
        reader.end()
        self.assertRaises(OperationError, reader.octet)

    def test_wrong(self) -> None:
        """Lengths beyond the end, more than one value where one may be, bytes left over."""
        self.assertRaises(OperationError, Reader(b"\5\0\0\0ab", "a test").text)
        self.assertRaises(OperationError, Reader(b"\2", "a test").present)
        self.assertRaises(OperationError, Reader(b"\0", "a test").end)
        self.assertRaises(OperationError, Reader(b"\0", "a test").numbers, struct.Struct("<H"))
