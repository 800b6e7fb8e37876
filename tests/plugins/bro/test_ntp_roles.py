"""NTP turns a connection by the mode of any message; the row depends neither on batches nor on a move."""

from __future__ import annotations

import itertools
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.state.headers import HeaderFieldList
from tests.plugins.bro.running import Row, end, makeBro, readLog
from tests.plugins.bro.test_split import moveAt
from tests.plugins.bro.wire import CLIENT, SERVER, Script, udp

_SYMMETRIC, _CLIENT, _SERVER, _BROADCAST = 1, 3, 4, 5
_MODES = (_SYMMETRIC, _CLIENT, _SERVER, _BROADCAST)


def message(mode: int) -> bytes:
    """The shortest message of version 4."""
    return bytes([4 << 3 | mode]) + bytes(47)


def conversation(*messages: tuple[str, int]) -> Decoded:
    """Messages between two hosts, both at port 123: who sends, and the mode."""
    script = Script()
    for sender, mode in messages:
        script.add(udp(sender, 123, SERVER if sender == CLIENT else CLIENT, 123, message(mode)))
    return Decoder().decode(script.batch)


class NTPRoleTests(SynchronousTestCase):
    """Who is the originator in the end, however the packets came."""

    def inBatches(self, packets: Decoded, size: int) -> list[Row]:
        """conn.log of one middlebox that took the packets in batches of C{size}."""
        folder = Path(self.mktemp())
        middlebox = makeBro(folder)
        for begin in range(0, len(packets), size):
            middlebox.process(packets.select(slice(begin, begin + size)), None)
        end(middlebox)
        return readLog(folder / "conn.log")

    def moved(self, packets: Decoded, cut: int, events: int) -> list[Row]:
        """conn.log of two middleboxes, moved after C{cut} packets; then so many events."""
        folder = Path(self.mktemp())
        folder.mkdir()
        moveAt(makeBro(folder / "a"), makeBro(folder / "b"), packets, HeaderFieldList(), cut, events, 64)
        return readLog(folder / "a" / "conn.log") + readLog(folder / "b" / "conn.log")

    def check(self, packets: Decoded, **expected: str) -> None:
        """One row with these fields, whatever the batches."""
        for size in (1, 2, len(packets)):
            rows = self.inBatches(packets, size)
            self.assertEqual(1, len(rows), rows)
            self.assertEqual(expected, {name: rows[0][name] for name in expected}, f"in batches of {size}")

    def test_broadcast(self) -> None:
        """Mode 5 turns nothing."""
        packets = conversation((SERVER, _BROADCAST), (SERVER, _BROADCAST))
        self.check(packets, **{"id.orig_h": SERVER}, history="D", orig_pkts="2")

    def test_serverFirst(self) -> None:
        """Mode 4 from the originator: it is the server."""
        packets = conversation((SERVER, _SERVER), (CLIENT, _CLIENT), (SERVER, _SERVER))
        self.check(packets, **{"id.orig_h": CLIENT}, history="D^d", orig_pkts="1", resp_pkts="2")

    def test_serverSecond(self) -> None:
        """The second message turns the roles as the first would have."""
        packets = conversation((SERVER, _SYMMETRIC), (SERVER, _SERVER), (CLIENT, _CLIENT))
        self.check(packets, **{"id.orig_h": CLIENT}, history="D^", orig_pkts="1", resp_pkts="2")

    def test_clientAnswers(self) -> None:
        """Mode 3 from the responder turns them too."""
        packets = conversation((SERVER, _SYMMETRIC), (CLIENT, _CLIENT))
        self.check(packets, **{"id.orig_h": CLIENT}, orig_pkts="1", resp_pkts="1")

    def test_longConnection(self) -> None:
        """Also when the connection has sent more than ten kilobytes."""
        packets = conversation(*[(SERVER, _SYMMETRIC)] * 300, (SERVER, _SERVER))
        self.check(packets, **{"id.orig_h": CLIENT}, history="D^", resp_pkts="301")

    def test_everyOrder(self) -> None:
        """Any three messages: batches, moves and events make no difference."""
        senders = ((SERVER, SERVER, SERVER), (SERVER, CLIENT, SERVER), (SERVER, SERVER, CLIENT))
        for who, modes in itertools.product(senders, itertools.product(_MODES, repeat=3)):
            packets = conversation(*zip(who, modes, strict=True))
            wanted = self.inBatches(packets, 3)
            self.assertEqual(1, len(wanted))
            found = [self.inBatches(packets, 1), self.moved(packets, 1, 0), self.moved(packets, 1, 1)]
            self.assertEqual([wanted] * 3, found, f"{who} {modes}")
