"""Agreements about data connections: what is known, for how long, and that neither memory nor work grow with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.decode import Decoder
from openmb.plugins.bro.analyzers.agreed import LIFETIME, MOST_AGREED, MOST_KNOWN, Agreed, Agreements
from openmb.plugins.bro.tracking.ports import EXPECTED, portTable
from tests.plugins.bro.running import makeBro
from tests.plugins.bro.wire import ACK, Script

HOST, OTHER = (0, 0xFFFF0A000001), (0, 0xFFFF0A000002)


def agreed(port: int, now: int = 0, responder: tuple[int, int] = OTHER) -> Agreed:
    """HOST will open a connection; agreed at C{now}."""
    return Agreed(HOST, responder, port, now + LIFETIME)


class AgreementTests(SynchronousTestCase):
    """The table by itself."""

    def setUp(self) -> None:
        self.ports = portTable()
        self.known = Agreements(self.ports, 8)

    def isMarked(self, port: int) -> bool:
        """Do connections to this port look whether they were agreed on?"""
        return bool(self.ports[port] & EXPECTED)

    def test_knows(self) -> None:
        self.known.add(agreed(5000), 0)
        self.known.add(Agreed((0, 0), OTHER, 5001, LIFETIME), 0)
        self.assertTrue(self.known.knows(HOST, OTHER, 5000, LIFETIME))
        self.assertFalse(self.known.knows(HOST, OTHER, 5000, LIFETIME + 1))
        self.assertFalse(self.known.knows(OTHER, OTHER, 5000, 0))
        self.assertTrue(self.known.knows(OTHER, OTHER, 5001, 0))

    def test_portUntilTheLast(self) -> None:
        """A port is marked as long as something is agreed on about it."""
        self.known.add(agreed(5000, 0), 0)
        self.known.add(agreed(5000, 5, HOST), 5)
        self.known.expire(LIFETIME + 1)
        self.assertTrue(self.isMarked(5000))
        self.known.expire(LIFETIME + 6)
        self.assertEqual((False, 0), (self.isMarked(5000), len(self.known)))

    def test_again(self) -> None:
        """Agreed on anew, it lasts longer, and is one."""
        self.known.add(agreed(5000, 0), 0)
        self.known.add(agreed(5000, 7), 7)
        self.known.expire(LIFETIME + 1)
        self.assertTrue(self.known.knows(HOST, OTHER, 5000, LIFETIME + 7))
        self.assertEqual(1, len(self.known))

    def test_bounded(self) -> None:
        """The oldest are forgotten, their ports are not marked any more, and it is counted."""
        for port in range(5000, 5020):
            self.known.add(agreed(port, port), port)
        self.assertEqual((8, 12), (len(self.known), self.known.forgotten))
        self.assertEqual(list(range(5012, 5020)), [port for port in range(5000, 5020) if self.isMarked(port)])

    def test_forget(self) -> None:
        """What a connection has pushed out is forgotten, unless another has agreed on it since."""
        first = agreed(5000, 0)
        self.known.add(first, 0)
        self.known.forget(first)
        self.assertEqual((False, 0), (self.isMarked(5000), len(self.known)))
        self.known.add(first, 0)
        self.known.add(agreed(5000, 3), 3)
        self.known.forget(first)
        self.assertTrue(self.known.knows(HOST, OTHER, 5000, 3))

    def test_work(self) -> None:
        """Each addition touches a constant number of entries, however many are known."""
        touched = _Counting(Agreements(portTable()))
        for place in range(3 * MOST_KNOWN):
            touched.known.add(agreed(1024 + place % 60000, place, (0, place)), place)
        self.assertEqual(MOST_KNOWN, len(touched.known))
        self.assertLessEqual(touched.removed, 3 * MOST_KNOWN)


class _Counting:
    """Counts how many entries are taken out of a table."""

    def __init__(self, known: Agreements) -> None:
        self.known, self.removed = known, 0
        real = known._release

        def release(port: int) -> None:
            self.removed += 1
            real(port)

        known._release = release  # type: ignore[method-assign]


class ControlConnectionTests(SynchronousTestCase):
    """A forged control connection that agrees on and on."""

    def test_flood(self) -> None:
        """88 packets of 80 PORT lines each: 64 agreements are known, and only their ports are marked."""
        script = Script(port=21).handshake()
        sequence = 1001
        for packet in range(88):
            lines = b"".join(b"PORT 1,2,3,%d,%d,%d\r\n" % (packet, line, line) for line in range(80))
            script.client(ACK, sequence, 5001, lines)
            sequence += len(lines)
        middlebox = makeBro(Path(self.mktemp()))
        middlebox.process(Decoder().decode(script.batch), None)
        tracker: Any = middlebox._own
        marked = np.flatnonzero(tracker._ports & EXPECTED)
        self.assertEqual((MOST_AGREED, MOST_AGREED), (len(tracker.agreements), len(marked)))
        middlebox.advance(int(script.batch.stamps[-1]) + (LIFETIME + 60_000_000) * 1000)
        self.assertEqual((0, 0), (len(tracker.agreements), int((tracker._ports & EXPECTED).sum())))
        middlebox.finish()
