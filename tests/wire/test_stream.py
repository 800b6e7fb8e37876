"""The inner layouts of stream frames."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.packets.batch import PacketBatch, emptyBatch, packetBatch
from openmb.wire import stream
from openmb.wire.messages import Side, StreamType
from openmb.wire.stream import (
    Drained,
    Finished,
    GetDone,
    Marked,
    Opened,
    ReturnDone,
    countEvents,
    packEvents,
    packPart,
    unpackEvents,
    unpackPart,
)

_PARTS: dict[Any, str] = {
    Opened(0x01020304, bytes(range(32))): "04030201" + bytes(range(32)).hex(),
    GetDone(1, 2, 3): "010000000000000002000000000000000300000000000000",
    Marked(-2): "feffffffffffffff",
    Drained(5, 6): "05000000000000000600000000000000",
    Finished(8, 9): "08000000000000000900000000000000",
    ReturnDone(7): "0700000000000000",
}
_packets = st.lists(st.tuples(st.binary(max_size=60), st.integers(-(2**63), 2**63 - 1), st.integers(0, 9)), max_size=8)


def sameBatch(one: PacketBatch, other: PacketBatch) -> bool:
    """Do both hold the same packets?"""
    return (
        [one.packet(i) for i in range(len(one))] == [other.packet(i) for i in range(len(other))]
        and one.stamps.tolist() == other.stamps.tolist()
        and one.wire.tolist() == other.wire.tolist()
        and one.link == other.link
    )


class PartTests(SynchronousTestCase):
    """The small fixed parts."""

    def test_vectors(self) -> None:
        for part, golden in _PARTS.items():
            self.assertEqual(packPart(part).hex(), golden)
            self.assertEqual(unpackPart(type(part), bytes.fromhex(golden)), part)

    def test_wrongLengths(self) -> None:
        for part, golden in _PARTS.items():
            data = bytes.fromhex(golden)
            for bad in (b"", data[:-1], data + b"\0"):
                with self.assertRaises(OperationError) as caught:
                    unpackPart(type(part), bad)
                self.assertEqual(caught.exception.refusal, Refusal.BAD_REQUEST)

    def test_valuesThatDoNotFit(self) -> None:
        for part in (Opened(-1, bytes(32)), Opened(1, bytes(31)), GetDone(-1, 0, 0), Marked(1 << 63)):
            with self.assertRaises(OperationError):
                packPart(part)

    def test_associatedData(self) -> None:
        data = stream.associatedData(1, Side.DESTINATION, 2, StreamType.RETURNED, b"clear")
        self.assertEqual(data, struct.pack("<QQHH", 1, 2, 1, 9) + b"clear")
        declared = stream.ASSOCIATED.parse(data)
        self.assertEqual((declared.operation, declared.number, declared.side, declared.type), (1, 2, 1, 9))


class EventTests(SynchronousTestCase):
    """Batches of packets."""

    def test_vector(self) -> None:
        clear, plain = packEvents(packetBatch([b"ab", b"", b"cde"], [1, 2, 3], link=276, wire=[2, 9, 3]))
        self.assertEqual(clear, struct.pack("<IH", 3, 276))
        self.assertEqual(plain, struct.pack("<3q3I3I", 1, 2, 3, 2, 9, 3, 2, 0, 3) + b"abcde")

    @given(_packets, st.integers(0, 0xFFFF))
    def test_roundTrip(self, packets: list[tuple[bytes, int, int]], link: int) -> None:
        batch = packetBatch(
            *([data for data, _, _ in packets], [stamp for _, stamp, _ in packets], link),
            [len(data) + more for data, _, more in packets],
        )
        self.assertTrue(sameBatch(unpackEvents(*packEvents(batch)), batch))

    @given(st.lists(st.integers(0, 5), max_size=8))
    def test_anySelection(self, which: list[int]) -> None:
        batch = packetBatch([bytes([i]) * i for i in range(6)], range(6))
        chosen = batch.select(np.asarray(which, dtype=np.intp))
        self.assertTrue(sameBatch(unpackEvents(*packEvents(chosen)), chosen))

    def test_emptyBatch(self) -> None:
        self.assertEqual(packEvents(emptyBatch()), (struct.pack("<IH", 0, 1), b""))
        self.assertEqual(len(unpackEvents(*packEvents(emptyBatch()))), 0)

    def test_countEvents(self) -> None:
        for count in (0, 1, 300):
            clear, _ = packEvents(packetBatch([b"ab"] * count, range(count)))
            self.assertEqual(countEvents(clear), count)
        for bad in (b"", bytes(5), bytes(7)):
            with self.assertRaises(OperationError):
                countEvents(bad)

    def test_arraysAreOnesOwn(self) -> None:
        batch = unpackEvents(*packEvents(packetBatch([b"abc"], [1])))
        for array in (batch.data, batch.offsets, batch.lengths, batch.wire, batch.stamps):
            self.assertTrue(array.flags.writeable and array.flags.aligned)

    def test_linkThatCannotTravel(self) -> None:
        with self.assertRaises(OperationError):
            packEvents(emptyBatch(0x10000))

    def test_partsThatDoNotFit(self) -> None:
        clear, plain = packEvents(packetBatch([b"ab", b"cde"], [1, 2]))
        for badClear, badPlain in (
            (clear[:-1], plain),
            (clear + b"\0", plain),
            (clear, plain[:-1]),
            (clear, plain + b"\0"),
            (clear, b""),
            (struct.pack("<IH", 3, 1), plain),
            (struct.pack("<IH", 1, 1), plain),
            (struct.pack("<IH", 0xFFFFFFFF, 1), plain),
        ):
            with self.assertRaises(OperationError) as caught:
                unpackEvents(badClear, badPlain)
            self.assertEqual(caught.exception.refusal, Refusal.BAD_REQUEST)

    def test_lengthsThatWrapAround(self) -> None:
        plain = struct.pack("<2q2I2I", 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 1)
        with self.assertRaises(OperationError):
            unpackEvents(struct.pack("<IH", 2, 1), plain)

    def test_longerThanOnTheWire(self) -> None:
        plain = struct.pack("<qII", 0, 2, 3) + b"abc"
        with self.assertRaises(OperationError):
            unpackEvents(struct.pack("<IH", 1, 1), plain)

    @given(st.binary(max_size=8), st.binary(max_size=100))
    def test_junk(self, clear: bytes, plain: bytes) -> None:
        try:
            batch = unpackEvents(clear, plain)
        except OperationError:
            return
        self.assertEqual(packEvents(batch), (clear, plain))
