"""The shared records: vectors, and what is refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.policies.ledger import Counted, Fact, Ledger, Note
from openmb.plugins.bro.policies.observations import Observation, Sort, Suspicion
from openmb.plugins.bro.policies.records import SHARED
from openmb.plugins.bro.policies.transfer import batchesOf, parseBatch
from openmb.state.origins import Tallies
from openmb.state.records import RecordBatch, recordBytes

WHO = (0, 0xFFFF0A000001)
#: Five minutes, microseconds.
EPOCH = 300_000_000
#: Microseconds: later than any packet.
LATEST = (1 << 63) // 1000


def sample() -> Ledger:
    """One record of each layout."""
    tallies = Tallies(len(Counted))
    tallies.of((bytes(range(16)), 2))[:] = range(1, len(Counted) + 1)
    return Ledger(
        OrderedDict({Suspicion(Sort.ADDRESS_SCAN, EPOCH, EPOCH, WHO, port=22): _observation()}),
        OrderedDict({Fact(WHO, 6, 80, 1): 400}),
        OrderedDict({(Note.PORT_SCAN, WHO): 500}),
        tallies,
        600,
    )


def _observation() -> Observation:
    return Observation(EPOCH + 1, EPOCH + 2, False, {b"a" * 24, b"b" * 24})


def batches() -> list[RecordBatch]:
    """The sample's."""
    return [batch for step in batchesOf(sample(), 10) for batch in step]


def changed(batch: RecordBatch, field: str, value: Any) -> RecordBatch:
    """Another value in the one record."""
    layout = next(each for each in SHARED if each.identifier == batch.layout)
    rows = layout.rows(batch.records).copy()
    rows[field] = value
    return replace(batch, records=recordBytes(rows))


def _withTokens(batch: RecordBatch, count: int) -> RecordBatch:
    octets = count.to_bytes(2, "little") + b"".join(each.to_bytes(24, "big") for each in range(count))
    return replace(batch, tails=np.frombuffer(octets, np.uint8), tailLengths=np.array([len(octets)], np.uint32))


#: Place in L{batches}, and what is wrong.
BAD: tuple[tuple[int, Callable[[RecordBatch], RecordBatch]], ...] = (
    (0, lambda batch: changed(batch, "sort", 0)),
    (0, lambda batch: changed(batch, "sort", 4)),
    (0, lambda batch: changed(batch, "sort", Sort.PORT_SCAN)),
    (0, lambda batch: changed(batch, "victim", (1, 2))),
    (0, lambda batch: changed(batch, "first", 1 << 63 - 1)),
    (0, lambda batch: changed(batch, "first", EPOCH + 3)),
    (0, lambda batch: changed(batch, "first", EPOCH - 1)),
    (0, lambda batch: changed(batch, "last", 2 * EPOCH)),
    (0, lambda batch: changed(batch, "last", LATEST)),
    (0, lambda batch: changed(batch, "epoch", EPOCH - 1)),
    (0, lambda batch: changed(batch, "length", 0)),
    (0, lambda batch: changed(batch, "length", 600)),
    (0, lambda batch: changed(batch, "length", 86_401)),
    (0, lambda batch: changed(batch, "epoch", -(1 << 63))),
    (0, lambda batch: changed(batch, "noticed", 2)),
    (0, lambda batch: changed(batch, "noticed", 1)),
    (0, lambda batch: _withTokens(batch, 4097)),
    (0, lambda batch: replace(batch, tails=None, tailLengths=None)),
    (0, lambda batch: replace(batch, tails=np.append(batch.tails, np.uint8(0)))),  # type: ignore[arg-type]
    (0, lambda batch: replace(batch, tailLengths=batch.tailLengths - np.uint32(1), tails=batch.tails[:-1])),  # type: ignore[operator,index]
    (1, lambda batch: changed(batch, "protocol", 1)),
    (1, lambda batch: changed(batch, "protocol", 0)),
    (1, lambda batch: changed(batch, "service", 200)),
    (1, lambda batch: changed(batch, "stamp", -(1 << 63))),
    (2, lambda batch: changed(batch, "note", 0)),
    (2, lambda batch: changed(batch, "note", 9)),
    (2, lambda batch: changed(batch, "until", -(1 << 63))),
    (1, lambda batch: changed(batch, "stamp", LATEST + 1)),
    (2, lambda batch: changed(batch, "until", LATEST + 90_000_000_001)),
    (3, lambda batch: changed(batch, "latest", LATEST + 1)),
    (3, lambda batch: changed(batch, "counts", 1 << 63)),
    (3, lambda batch: changed(batch, "counts", (1 << 56) + 1)),
    (3, lambda batch: changed(batch, "spare", 1)),
    (3, lambda batch: replace(batch, keys=batch.keys + np.uint8(1))),
)


class RecordTests(SynchronousTestCase):
    """Bytes."""

    def test_vector(self) -> None:
        """What stands on the wire stays what it is."""
        found = [batch.records.tobytes().hex() for batch in batches()]
        address = "0000000000000000" + "0100000affff0000"
        self.assertEqual(
            "00a3e11100000000" + "01a3e11100000000" + "02a3e11100000000" + address + "0" * 32 + "160001002c010000",
            found[0],
        )
        self.assertEqual("9001000000000000" + address + "5000060100000000", found[1])
        self.assertEqual("f401000000000000" + address + "0200000000000000", found[2])
        counts = "".join(number.to_bytes(8, "little").hex() for number in range(1, len(Counted) + 1))
        self.assertEqual(bytes(range(16)).hex() + counts + "5802000000000000" + "0200000000000000", found[3])
        tails = batches()[0].tails
        assert tails is not None
        self.assertEqual(b"\2\0" + b"a" * 24 + b"b" * 24, tails.tobytes())

    def test_refused(self) -> None:
        """Everything that no middlebox could have written."""
        good = batches()
        for place, change in BAD:
            with self.assertRaises(OperationError, msg=f"{place}"):
                parseBatch(change(good[place]))

    @given(some.integers(0, 3), some.data())
    def test_junk(self, place: int, data: some.DataObject) -> None:
        """Any bytes are refused, or are a ledger that can be folded."""
        batch = batches()[place]
        size = batch.records.shape[1]
        octets = np.frombuffer(data.draw(some.binary(min_size=size, max_size=size)), np.uint8).reshape(1, size)
        tail = data.draw(some.binary(max_size=60))
        junk = replace(batch, records=octets)
        if place == 0:
            lengths = np.array([len(tail)], np.uint32)
            junk = replace(junk, tails=np.frombuffer(tail, np.uint8), tailLengths=lengths)
        try:
            found = parseBatch(junk)
        except OperationError:
            return
        self.assertEqual(1, sample().fold(found))
