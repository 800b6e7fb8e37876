"""Moved records that nobody can have written are refused before anything is stored; what is accepted does no harm."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.packets.headers import Decoded
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.records import REPORTING, SUPPORTING
from openmb.plugins.bro.settings import BroSettings
from openmb.plugins.bro.tails import Tail, packTail
from openmb.state.records import RecordBatch
from tests.plugins.bro.running import EVERYTHING, makeBro
from tests.plugins.bro.test_adapter import decoded, exported
from tests.plugins.bro.wire import ACK, FIN, Script, udp

_LARGE, _SMALL = (1 << 63) - 1, -(1 << 63)


def script() -> Script:
    """A connection with a request, an answer and bytes above a hole, and a datagram."""
    packets = Script(port=80).handshake().client(ACK, 1001, 5001, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    packets.server(ACK, 5001, 1028, b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc")
    packets.server(ACK, 5060, 1028, b"later").add(udp("10.0.0.1", 5000, "10.0.0.2", 53, bytes(12)))
    return packets


def later() -> Decoded:
    """What comes after the move."""
    packets = Script(port=80)
    packets.now = 1.0
    packets.server(ACK, 5041, 1028, b"0123456789abcdefghi").client(ACK, 1028, 5065, b"GET /2 HTTP/1.1\r\n\r\n")
    packets.client(FIN | ACK, 1047, 5065).server(FIN | ACK, 5065, 1048).client(ACK, 1048, 5066)
    return decoded(packets.add(udp("10.0.0.2", 53, "10.0.0.1", 5000, bytes(12))))


class ImpossibleTests(SynchronousTestCase):
    """Refused with BAD_REQUEST."""

    def setUp(self) -> None:
        source = BroMiddlebox(BroSettings())
        source.process(decoded(script()), None)
        self.supporting, self.reporting = exported(source)
        self.destination = BroMiddlebox(BroSettings())
        self.destination.prepare(1, EVERYTHING)

    def refused(self, batch: RecordBatch, what: object) -> None:
        """The batch is refused, and nothing of it is there."""
        before = self.stored()
        error = self.assertRaises(OperationError, self.destination.putPerflow, 1, batch)
        self.assertEqual((Refusal.BAD_REQUEST, before), (error.refusal, self.stored()), what)

    def stored(self) -> bytes:
        """All provisional records."""
        table = self.destination._provisional[1].table
        return table.keyBytes(table.slots()).tobytes() + table.arrays.octets[table.slots()].tobytes()

    def test_numbers(self) -> None:
        """Every number of 64 bits, too large and too small."""
        for batch, layout in ((self.supporting, SUPPORTING), (self.reporting, REPORTING)):
            for name, (kind, *_) in (layout.dtype.fields or {}).items():
                if kind.base.itemsize != 8:
                    continue
                for value in (_LARGE, _SMALL if kind.base.kind == "i" else (1 << 64) - 1):
                    octets = batch.records.copy()
                    octets.view(layout.dtype).reshape(len(octets))[name][0] = value
                    self.refused(replace(batch, records=octets), (name, value))
            self.destination.putPerflow(1, batch)

    def test_history(self) -> None:
        """Characters that a log cannot have."""
        self.destination.putPerflow(1, self.supporting)
        for octet in (0, 9, 10, 32, 127, 128, 255):
            octets = self.reporting.records.copy()
            octets.view(REPORTING.dtype).reshape(len(octets))["history"][0][0] = octet
            self.refused(replace(self.reporting, records=octets), octet)

    def test_ranges(self) -> None:
        """Ranges that overflow when they are summed up, or lie before the beginning."""
        for ranges in ([(_SMALL, _LARGE)], [(-5, 9)], [(1 << 62, _LARGE)], [(5, 9), (12, (1 << 62) + 1)]):
            tail = packTail(Tail((ranges, []), None))
            lengths = np.array([len(tail)] + [0] * (len(self.supporting) - 1), np.uint32)
            batch = replace(self.supporting, tailLengths=lengths, tails=np.frombuffer(tail, np.uint8))
            self.refused(batch, ranges)

    def test_anyOctets(self) -> None:
        """Records with octets at random: what is accepted can be committed, goes on with packets, and is logged."""
        dice, accepted = random.Random(7), 0
        for trial in range(400):
            destination = makeBro(Path(self.mktemp()))
            destination.prepare(1, EVERYTHING)
            try:
                for batch in (self.supporting, self.reporting):
                    octets = batch.records.copy()
                    for _ in range(dice.randrange(1, 4)):
                        octets[dice.randrange(len(octets)), dice.randrange(octets.shape[1])] = dice.randrange(256)
                    destination.putPerflow(1, replace(batch, records=octets))
            except OperationError as error:
                self.assertEqual(Refusal.BAD_REQUEST, error.refusal)
                continue
            accepted += 1
            destination.commit(1)
            self.assertEqual((), destination.process(later(), None).failed, trial)
            destination.finish()
        self.assertGreater(accepted, 100)
