"""Packs of records: golden bytes, round trip, splitting, and every cut and every nonsense refused."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.state.packing import packRecords, splitBatch, unpackRecords
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell

_CLEAR = bytes.fromhex("02 0301 0500 0200 02000000 6b31 6b32")
_PLAIN = bytes.fromhex("03000000 01 616161 626262 01000000 00000000 7a")


def octets(data: bytes, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Bytes as an array of rows."""
    return np.frombuffer(data, np.uint8).reshape(shape)


def golden() -> RecordBatch:
    """The batch of the golden bytes."""
    return RecordBatch(
        Cell.SUPPORTING_PER_FLOW,
        0x103,
        5,
        octets(b"k1k2", 2, 2),
        octets(b"aaabbb", 2, 3),
        np.array([1, 0], np.uint32),
        octets(b"z", 1),
    )


def same(one: RecordBatch, other: RecordBatch) -> bool:
    """Are two batches equal in everything?"""
    return _values(one) == _values(other)


def _values(batch: RecordBatch) -> tuple[object, ...]:
    tails = None if batch.tails is None else batch.tails.tolist()
    lengths = None if batch.tailLengths is None else batch.tailLengths.tolist()
    arrays = (batch.keys.shape, batch.keys.tolist(), batch.records.shape, batch.records.tolist())
    return batch.cell, batch.layout, batch.version, *arrays, lengths, tails


@st.composite
def batches(draw: st.DrawFn) -> RecordBatch:
    """Any batch of a few small records."""
    count, key, record = draw(st.integers(0, 6)), draw(st.integers(0, 5)), draw(st.integers(1, 9))
    lengths = draw(st.none() | st.lists(st.integers(0, 7), min_size=count, max_size=count))
    total = sum(lengths or ())
    data = draw(st.binary(min_size=count * (key + record) + total, max_size=count * (key + record) + total))
    keys, records, tails = np.split(octets(data, len(data)), (count * key, count * (key + record)))
    return RecordBatch(
        draw(st.sampled_from(Cell)),
        draw(st.integers(0, 65535)),
        draw(st.integers(0, 65535)),
        keys.reshape(count, key),
        records.reshape(count, record),
        None if lengths is None else np.array(lengths, np.uint32),
        None if lengths is None else tails,
    )


class PackTests(SynchronousTestCase):
    """C{packRecords} and C{unpackRecords}."""

    def refused(self, clear: bytes, plain: bytes) -> None:
        """The parts are refused as the other end's fault."""
        error = self.assertRaises(OperationError, unpackRecords, clear, plain)
        self.assertIs(error.refusal, Refusal.BAD_REQUEST)

    def test_golden(self) -> None:
        """Known bytes, both ways."""
        self.assertEqual(packRecords(golden()), (_CLEAR, _PLAIN))
        self.assertTrue(same(unpackRecords(_CLEAR, _PLAIN), golden()))

    @settings(deadline=None)
    @given(batches())
    def test_roundTrip(self, batch: RecordBatch) -> None:
        """Every batch comes back as it was."""
        self.assertTrue(same(unpackRecords(*packRecords(batch)), batch))

    def test_everyCut(self) -> None:
        """Both parts are refused if they are cut off anywhere, or anything follows."""
        for cut in range(len(_CLEAR)):
            self.refused(_CLEAR[:cut], _PLAIN)
        for cut in range(len(_PLAIN)):
            self.refused(_CLEAR, _PLAIN[:cut])
        self.refused(_CLEAR + b"\0", _PLAIN)
        self.refused(_CLEAR, _PLAIN + b"\0")

    def test_nonsense(self) -> None:
        """Codes and lengths that cannot be."""
        self.refused(b"\x00" + _CLEAR[1:], _PLAIN)  # no such cell
        self.refused(b"\x06" + _CLEAR[1:], _PLAIN)
        self.refused(_CLEAR, _PLAIN[:4] + b"\x02" + _PLAIN[5:])  # no such tail mark
        self.refused(_CLEAR, _PLAIN[:4] + b"\x00" + _PLAIN[5:])  # tails, but none announced
        self.refused(_CLEAR, bytes(4) + _PLAIN[4:])  # records of no bytes
        self.refused(_CLEAR, b"\xff" * 4 + _PLAIN[4:])
        self.refused(_CLEAR[:7] + b"\xff" * 4 + _CLEAR[11:], _PLAIN)  # more keys than there are
        self.refused(_CLEAR[:5] + bytes(2) + b"\xff" * 4, _PLAIN)  # no keys, and more records than there are
        wrapping = b"\xff\xff\xff\xff" + b"\x02\x00\x00\x00"  # tail lengths whose sum is 1 in 32 bits
        self.refused(_CLEAR, _PLAIN[:11] + wrapping + b"z")

    @settings(deadline=None)
    @given(st.binary(max_size=40), st.binary(max_size=40))
    def test_junk(self, clear: bytes, plain: bytes) -> None:
        """Any bytes are a batch that packs to the same bytes, or refused by the one error."""
        try:
            batch = unpackRecords(clear, plain)
        except OperationError:
            return
        self.assertEqual(packRecords(batch), (clear, plain))


class SplitTests(SynchronousTestCase):
    """C{splitBatch}."""

    @settings(deadline=None)
    @given(batches(), st.integers(20, 120))
    def test_parts(self, batch: RecordBatch, limit: int) -> None:
        """The parts in order are the whole; none exceeds the limit unless it is one record."""
        parts = list(splitBatch(batch, limit))
        rejoined = [np.concatenate([part.records, part.keys], axis=1).tolist() for part in parts]
        expected = np.concatenate([batch.records, batch.keys], axis=1).tolist()
        self.assertEqual([row for part in rejoined for row in part], expected)
        if batch.tails is not None:
            self.assertEqual(
                b"".join(part.tails.tobytes() for part in parts if part.tails is not None), batch.tails.tobytes()
            )
        for part in parts:
            clear, plain = packRecords(part)
            self.assertTrue(len(part) == 1 or len(clear) + len(plain) <= limit)
            self.assertTrue(same(unpackRecords(clear, plain), part))

    def test_asFewAsPossible(self) -> None:
        """1,000 records of 240 bytes take four packs of at most 64 KiB, all but the last nearly full."""
        batch = RecordBatch(
            Cell.REPORTING_PER_FLOW, 1, 1, octets(bytes(40_000), 1000, 40), octets(bytes(200_000), 1000, 200)
        )
        sizes = [sum(map(len, packRecords(part))) for part in splitBatch(batch)]
        self.assertEqual(len(sizes), 4)
        self.assertTrue(all(65536 - 240 < size <= 65536 for size in sizes[:3]))

    def test_whole(self) -> None:
        """What fits is handed on as it is; nothing becomes nothing."""
        batch = golden()
        self.assertEqual([part is batch for part in splitBatch(batch)], [True])
        nothing = RecordBatch(Cell.REPORTING_PER_FLOW, 1, 1, octets(b"", 0, 4), octets(b"", 0, 4))
        self.assertEqual(list(splitBatch(nothing)), [])
