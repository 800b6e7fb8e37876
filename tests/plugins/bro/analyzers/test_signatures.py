"""Signatures: which service the first bytes speak for."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.signatures import MATCHER, MOST_BYTES, Matcher
from openmb.plugins.bro.service import Service

C, S = True, False
Turns = list[tuple[bool, bytes]]

#: Conversations, and the services that their signatures attach, in order.
KNOWN: list[tuple[Turns, list[Service]]] = [
    ([(C, b"GET / HTTP/1.0\r\n")], [Service.HTTP]),
    ([(C, b" \t\r\nRPC_IN_DATA")], [Service.HTTP]),
    ([(C, b"FOO /"), (S, b"http/1")], [Service.HTTP]),
    ([(C, b"\x16\x03\x01\x00\x50\x01\x00\x00\x4c\x03\x03")], [Service.SSL]),
    ([(S, b"\x15\x03\x01....\x16\x03\x01..\x02...\x03\x03")], [Service.SSL]),
    ([(S, b"SSH-2.0-x\r\n"), (C, b"ssh-1.99-y\n")], [Service.SSH]),
    ([(S, b"SSH-2.0-x\r\n")], []),
    ([(S, b"SSH-3.0-x\r\n"), (C, b"ssh-2.0-y\n")], []),
    ([(S, b"220 x\r\n"), (C, b"user a\r\n"), (S, b"331 p\r\n")], [Service.FTP]),
    ([(S, b"\r\n 120-x\r\n"), (C, b"FOO\n   USER a\r\n"), (S, b"\n 230-x")], [Service.FTP]),
    ([(S, b"220 x\r\n"), (C, b"XUSER a\r\n"), (S, b"331 p\r\n")], []),
    ([(S, b"220-x\r\n"), (C, b"Helo a\r\n")], [Service.SMTP]),
    ([(S, b"\r\n220 x\r\n"), (C, b"x\r\n\r\n \tEHLO a\r\n")], [Service.SMTP]),
    ([(S, b"220 x\r\n"), (C, b"a HELO\r\n")], []),
    ([(S, b"+OK\r\n"), (C, b"CAPA\r\n")], [Service.POP3]),
    ([(C, b"USER\ta"), (S, b"+OK\r\n")], [Service.POP3]),
    ([(S, b"+ok\r\n"), (C, b"CAPA\r\n")], []),
]


def matched(matcher: Matcher, turns: Turns) -> list[Service]:
    """What a matcher says of all pieces."""
    found = []
    for originator, data in turns:
        if not matcher.isOver:
            found += matcher.take(originator, data)
    return found


class SignatureTests(SynchronousTestCase):
    """What matches, what does not, and when it is over."""

    def test_known(self) -> None:
        for turns, expected in KNOWN:
            self.assertEqual(expected, matched(Matcher(), turns), turns)

    def test_pieces(self) -> None:
        """Byte by byte it is the same, as long as there are not too many pieces."""
        for turns, expected in KNOWN:
            single = [(originator, data[at : at + 1]) for originator, data in turns for at in range(len(data))]
            self.assertEqual(expected, matched(Matcher(), single), turns)

    def test_turned(self) -> None:
        """What the responder sent is the originator's when the roles have turned."""
        matcher = Matcher()
        self.assertEqual([], matcher.take(S, b"GE"))
        matcher.turn()
        self.assertEqual([Service.HTTP], matcher.take(C, b"T /"))
        self.assertEqual([(C, b"GE"), (C, b"T /")], matcher.chunks)

    def test_overEarly(self) -> None:
        """Two first bytes with which nothing begins."""
        matcher = Matcher()
        self.assertEqual([], matcher.take(C, b"\x80abc"))
        self.assertFalse(matcher.isOver)
        self.assertEqual([], matcher.take(S, b"\x90"))
        self.assertTrue(matcher.isOver)

    def test_overLate(self) -> None:
        """After so many bytes of both sides, gaps included, or so many pieces."""
        matcher = Matcher()
        matcher.take(C, b"G" * 24)
        matcher.gap(S, MOST_BYTES - 24)
        self.assertFalse(matcher.isOver)
        matcher.gap(S, 1)
        self.assertTrue(matcher.isOver)
        matcher = Matcher()
        for _ in range(100):
            matcher.take(C, b"G")
        self.assertFalse(matcher.isOver)
        matcher.take(C, b"G")
        self.assertTrue(matcher.isOver)

    def test_linear(self) -> None:
        """No pattern takes more than linear time: 64 KiB of what would be worst are done at once."""
        for data in (
            b"\n" * 65536,
            b"220 " + b"\n " * 32768,
            b" " * 65536,
            b"+\n\t" * 20000,
            b"220 " + b"\n230" * 16000,
        ):
            for originator in (C, S):
                Matcher().take(originator, data)

    def test_dump(self) -> None:
        """Dumped and loaded between any two pieces, it says the same."""
        for turns, expected in KNOWN:
            for place in range(len(turns)):
                matcher = Matcher()
                found = matched(matcher, turns[:place])
                matcher.gap(C, 0)
                if not matcher.isOver:
                    dump = matcher.dump()
                    self.assertEqual(place + 1, len(MATCHER.parse(dump)["chunks"]))
                    matcher = Matcher.load(dump)
                    self.assertEqual(dump, matcher.dump())
                self.assertEqual(expected, found + matched(matcher, turns[place:]), turns)

    def test_damaged(self) -> None:
        """Every length but the right one is refused; changed bytes are refused or harmless."""
        matcher = Matcher()
        matched(matcher, KNOWN[8][0])
        matcher.gap(S, 7)
        dump = matcher.dump()
        for length in range(len(dump)):
            self.assertRaises(OperationError, Matcher.load, dump[:length])
        self.assertRaises(OperationError, Matcher.load, dump + b"\0")
        rng = random.Random(4)
        for _ in range(2000):
            damaged = bytearray(dump)
            damaged[rng.randrange(len(dump))] = rng.randrange(256)
            try:
                loaded = Matcher.load(bytes(damaged))
            except OperationError:
                continue
            matched(loaded, KNOWN[8][0])

    @given(some.lists(some.tuples(some.booleans(), some.binary(max_size=40)), max_size=20))
    def test_anything(self, turns: Turns) -> None:
        matched(Matcher(), turns)
