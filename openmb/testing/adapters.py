"""
What every kind must do, as a mixin for trial: subclass it together with C{SynchronousTestCase} and provide the hooks.

The packets are those of six UDP flows, in both directions, unless the kind needs others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyObject

from openmb.errors import FinerThanNative, OperationError, Refusal
from openmb.interfaces import IMiddlebox, IPerflowState, Processed
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.state.headers import EVERYTHING, HeaderFieldList
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell, Partition
from openmb.testing.damage import PER_FLOW_DAMAGE
from openmb.testing.simulation.scenario import SERVERS
from openmb.testing.simulation.traffic import EPOCH, makeTraffic

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object

#: Provides L{IMiddlebox} and L{IPerflowState}, in the suites that build on this one more: mypy has no type for "both".
PerflowMiddlebox = Any
#: The operation of most tests, another one, and the packets' first stamp.
OPERATION, OTHER, START = 0x1234, 0x5678, EPOCH * 1_000_000_000
FLOWS, ROUNDS = 6, 4


def flowPacket(flow: int, serial: int, back: bool = False, size: int = 4) -> bytes:
    """An Ethernet frame: C{size} bytes over UDP, flow C{flow} (below 250) between 10.0.1.x and 10.0.9.9."""
    ends = [(bytes((10, 0, 1, flow)), 1024 + flow), (bytes((10, 0, 9, 9)), 9999)]
    (source, sport), (destination, dport) = reversed(ends) if back else ends
    payload = serial.to_bytes(4, "big").ljust(size, b"-")
    udp = sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + (8 + len(payload)).to_bytes(2, "big") + bytes(2)
    head = b"\x45\x00" + (28 + len(payload)).to_bytes(2, "big") + bytes(4) + b"\x40\x11"
    total = sum(int.from_bytes((head + source + destination)[at : at + 2], "big") for at in range(0, 18, 2))
    total = (total & 0xFFFF) + (total >> 16)
    check = ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF
    frame = head + check.to_bytes(2, "big") + source + destination + udp + payload
    return b"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00" + frame


def manyFlows(flows: Sequence[int] = range(FLOWS), start: int = START, rounds: int = ROUNDS) -> PacketBatch:
    """C{rounds} packets of each flow in turn, 1 ms apart."""
    packets = [flowPacket(flow, turn, turn % 2 == 1) for turn in range(rounds) for flow in flows]
    return packetBatch(packets, [start + place * 1_000_000 for place in range(len(packets))])


class StateAdapterTestsMixin(_Base):
    """
    The suite that every adapter passes.

    @ivar idleSeconds: after so much packet time without a packet a flow of these packets is over.
    @ivar finer: a header field list that is finer than the native key.
    @cvar copies: layouts of which copies go along with records that move: they are neither marked nor deleted.
    @cvar expires: do records end when they have been idle for long?
    """

    idleSeconds = 7200.0
    finer = "dl_vlan=5"
    copies: ClassVar[frozenset[int]] = frozenset()
    expires: ClassVar[bool] = True

    def makeMiddlebox(self) -> PerflowMiddlebox:
        """Hook: a fresh middlebox; all that one test makes have the same configuration."""
        raise AssertionError("a subclass provides makeMiddlebox")

    def rows(self, middlebox: PerflowMiddlebox) -> list[str]:
        """Hook: what C{middlebox} has put out so far, in order."""
        raise AssertionError("a subclass provides rows")

    def packets(self) -> PacketBatch:
        """Hook: packets that leave six unreported records; the default is six UDP flows."""
        return manyFlows()

    def traffic(self) -> PacketBatch:
        """Hook: what is cut anywhere; the default is the simulation's web, datagram and echo conversations."""
        return makeTraffic(random.Random(20), 3.0, 14, SERVERS).batch()

    # -- tools

    def decode(self, packets: PacketBatch) -> Decoded:
        """As a host decodes."""
        return Decoder(checksums=True).decode(packets)

    def feed(self, middlebox: PerflowMiddlebox, packets: PacketBatch, births: int = 0) -> NDArray[np.uint64]:
        """Process packets; their marks."""
        decoded = self.decode(packets)
        processed: Processed = middlebox.process(decoded, np.full(len(decoded), births, np.uint64))
        return processed.marks

    def fed(self, packets: PacketBatch | None = None) -> PerflowMiddlebox:
        """A middlebox that has seen packets."""
        middlebox = self.makeMiddlebox()
        self.feed(middlebox, self.packets() if packets is None else packets)
        return middlebox

    def exported(self, middlebox: PerflowMiddlebox, operation: int = OPERATION, limit: int = 8) -> list[RecordBatch]:
        """Everything that there is to export."""
        return [batch for step in middlebox.getPerflow(EVERYTHING, operation, limit) for batch in step]

    def put(self, middlebox: PerflowMiddlebox, batches: Sequence[RecordBatch], operation: int = OPERATION) -> None:
        """Import."""
        middlebox.prepare(operation, EVERYTHING)
        for batch in batches:
            middlebox.putPerflow(operation, batch)

    def finished(self, middlebox: PerflowMiddlebox) -> list[str]:
        """All rows, once the input has ended."""
        middlebox.finish()
        middlebox.flush()
        return self.rows(middlebox)

    def count(self, middlebox: PerflowMiddlebox, flows: HeaderFieldList = EVERYTHING) -> tuple[int, int]:
        """Supporting records and how many of them are marked."""
        return next(((u.records, u.marked) for u in middlebox.usage(flows) if u.cell is FIRST), (0, 0))

    @staticmethod
    def contents(batches: Sequence[RecordBatch]) -> set[tuple[Cell, int, bytes, bytes, bytes]]:
        """Every record with its key and tail, for comparisons."""
        found = set()
        for batch in batches:
            lengths = np.zeros(len(batch), np.uint32) if batch.tailLengths is None else batch.tailLengths
            tails = b"" if batch.tails is None else batch.tails.tobytes()
            ends = np.cumsum(lengths, dtype=np.int64).tolist()
            for key, record, length, end in zip(batch.keys, batch.records, lengths.tolist(), ends, strict=True):
                tail = tails[end - length : end]
                found.add((batch.cell, batch.layout, key.tobytes(), record.tobytes(), tail))
        return found

    def keys(self, batches: Sequence[RecordBatch]) -> list[bytes]:
        """The native keys of the supporting records that move; copies that go with them stay where they are, too."""
        moving = [batch for batch in batches if batch.cell is FIRST and batch.layout not in self.copies]
        return [key.tobytes() for batch in moving for key in batch.keys]

    # -- what it is

    def test_interface(self) -> None:
        """It provides the interface, and says what a HELLO needs."""
        middlebox = self.makeMiddlebox()
        self.assertTrue(verifyObject(IMiddlebox, middlebox) and verifyObject(IPerflowState, middlebox))
        self.assertEqual(32, len(middlebox.governing))
        self.assertEqual(self.makeMiddlebox().governing, middlebox.governing)
        self.assertTrue(middlebox.layouts)

    # -- export

    def test_exportsOnce(self) -> None:
        """Each record is exported once, whatever the size of a step, and marked then."""
        for limit in (1, 3, 4096):
            middlebox = self.fed()
            keys = self.keys(self.exported(middlebox, limit=limit))
            self.assertEqual(FLOWS, len(keys))
            self.assertEqual(FLOWS, len(set(keys)))
            self.assertEqual((FLOWS, FLOWS), self.count(middlebox))
            self.assertEqual([], self.keys(self.exported(middlebox, OTHER)))

    def test_exportMarksInOneStep(self) -> None:
        """After each step exactly what was exported is marked, and its packets say so."""
        middlebox, total = self.fed(), 0
        for step in middlebox.getPerflow(EVERYTHING, OPERATION, 1):
            total += len(self.keys(step))
            self.assertEqual(total, self.count(middlebox)[1])
        marks = self.feed(middlebox, self.packets())
        self.assertEqual([OPERATION] * len(marks), marks.tolist())

    def test_packetsBetweenSteps(self) -> None:
        """A packet is in the record that is exported later, or its mark raises an event: never both, never neither."""
        source, destination = self.fed(), self.makeMiddlebox()
        destination.prepare(OPERATION, EVERYTHING)
        late, taken = manyFlows(range(FLOWS), START + 100_000_000, 9), 0
        for step in source.getPerflow(EVERYTHING, OPERATION, 1):
            for batch in step:
                destination.putPerflow(OPERATION, batch)
            if taken < len(late):
                self._tap(source, destination, late.select(slice(taken, taken + 7)))
                taken += 7
        self._tap(source, destination, late.select(slice(taken, len(late))))
        destination.commit(OPERATION)
        source.delPerflow(OPERATION, EVERYTHING)
        whole = self.fed()
        self.feed(whole, late)
        self.assertEqual(sorted(self.finished(whole)), sorted(self.finished(destination)))

    def _tap(self, source: PerflowMiddlebox, destination: PerflowMiddlebox, packets: PacketBatch) -> None:
        """As a host does: births marked, marked packets re-processed at the other end."""
        marks = self.feed(source, packets, OPERATION)
        touched = packets.select(np.flatnonzero(marks == OPERATION))
        if len(touched):
            destination.reprocess(OPERATION, self.decode(touched))

    def test_bornMarked(self) -> None:
        """Records born marked are not exported: their packets raise events from the first one on."""
        middlebox = self.makeMiddlebox()
        marks = self.feed(middlebox, self.packets(), OPERATION)
        self.assertEqual([OPERATION] * len(marks), marks.tolist())
        self.assertEqual([], self.keys(self.exported(middlebox)))

    def test_exportSelects(self) -> None:
        """Only what the header fields select is exported, and usage of disjoint parts adds up."""
        middlebox = self.fed()
        some = HeaderFieldList.parse("nw_src=10.0.1.0/30")
        chosen = [batch for step in middlebox.getPerflow(some, OPERATION, 8) for batch in step]
        self.assertEqual(self.count(middlebox, some), (len(self.keys(chosen)),) * 2)
        self.assertEqual((FLOWS, len(self.keys(chosen))), self.count(middlebox))
        parts = [HeaderFieldList.parse(f"nw_src=10.0.1.{flow}") for flow in range(FLOWS)]
        self._addsUp(middlebox, parts)

    def _addsUp(self, middlebox: PerflowMiddlebox, parts: Sequence[HeaderFieldList]) -> None:
        for whole in [each for each in middlebox.usage(EVERYTHING) if each.cell.partition is Partition.PER_FLOW]:
            found = [usage for part in parts for usage in middlebox.usage(part) if usage.cell is whole.cell]
            sums = tuple(sum(getattr(usage, name) for usage in found) for name in ("records", "bytes", "marked"))
            self.assertEqual((whole.records, whole.bytes, whole.marked), sums)

    def test_finerThanNative(self) -> None:
        """A list that is finer than the native key is refused."""
        with self.assertRaises(FinerThanNative) as caught:
            self.makeMiddlebox().check(HeaderFieldList.parse(self.finer))
        self.assertEqual(Refusal.FINER_THAN_NATIVE, caught.exception.refusal)

    # -- import

    def test_roundTrip(self) -> None:
        """What was imported and committed is exported again as it came; once at the end of the input it is reported."""
        batches = self.exported(self.fed())
        destination = self.makeMiddlebox()
        self.put(destination, batches)
        self.assertEqual(FLOWS, destination.commit(OPERATION))
        self.assertEqual(self.contents(batches), self.contents(self.exported(destination, OTHER)))
        destination.unmark(OTHER)
        self.assertEqual(sorted(self.finished(self.fed())), sorted(self.finished(destination)))

    def test_importReplaces(self) -> None:
        """A record that comes again, or that an earlier event built, is replaced."""
        batches = self.exported(self.fed())
        destination = self.makeMiddlebox()
        destination.prepare(OPERATION, EVERYTHING)
        destination.reprocess(OPERATION, self.decode(self.packets()))
        for batch in (*batches, *batches):
            destination.putPerflow(OPERATION, batch)
        self.assertEqual(FLOWS, destination.commit(OPERATION))
        self.assertEqual(self.contents(batches), self.contents(self.exported(destination, OTHER)))

    def test_malformedRefused(self) -> None:
        """A batch that cannot be accepted is refused, and nothing of it is stored."""
        destination = self.makeMiddlebox()
        destination.prepare(OPERATION, EVERYTHING)
        good = next(batch for batch in self.exported(self.fed()) if self.keys([batch]))
        for change in PER_FLOW_DAMAGE:
            with self.assertRaises(OperationError):
                destination.putPerflow(OPERATION, change(good))
        self.assertEqual(0, destination.commit(OPERATION))

    # -- provisional records

    def test_reprocessIsSilent(self) -> None:
        """Re-processing puts nothing out."""
        destination = self.makeMiddlebox()
        destination.prepare(OPERATION, EVERYTHING)
        destination.reprocess(OPERATION, self.decode(self.traffic()))
        self.assertEqual([], self.finished(destination))

    def test_provisionalInvisible(self) -> None:
        """C{process}, C{owns}, C{usage} and C{finish} do not see provisional records."""
        destination = self.makeMiddlebox()
        self.put(destination, self.exported(self.fed()))
        self.assertFalse(destination.owns(self.decode(self.packets())).any())
        self.assertEqual((0, 0), self.count(destination))
        later = manyFlows((0, 1), START + 50_000_000)
        self.feed(destination, later)
        self.assertEqual(2, self.count(destination)[0])
        self.assertTrue(destination.owns(self.decode(later)).all())
        self.assertEqual(sorted(self.finished(self.fed(later))), sorted(self.finished(destination)))

    def test_conflict(self) -> None:
        """A live record in the way refuses the commit and changes nothing."""
        destination = self.makeMiddlebox()
        self.put(destination, self.exported(self.fed()))
        own = manyFlows((0, 1), START + 50_000_000)
        self.feed(destination, own)
        self.assertEqual(2, destination.conflicts(OPERATION))
        with self.assertRaises(OperationError) as caught:
            destination.commit(OPERATION)
        self.assertEqual(Refusal.CONFLICTING_RECORD, caught.exception.refusal)
        self.assertEqual((2, 2), (destination.conflicts(OPERATION), self.count(destination)[0]))
        destination.discard(OPERATION)
        self.assertEqual(sorted(self.finished(self.fed(own))), sorted(self.finished(destination)))

    def test_commitReportsFinishedFirst(self) -> None:
        """An own record that is over is reported before another one takes its key."""
        if not self.expires:
            raise SkipTest("records of this kind do not expire")
        later = manyFlows((0, 1), START + int(self.idleSeconds * 1e9))
        destination = self.fed(manyFlows((0, 1)))
        before = len(self.rows(destination))
        self.put(destination, self.exported(self.fed(later)))
        self.assertEqual(0, destination.conflicts(OPERATION))
        destination.commit(OPERATION)
        destination.flush()
        self.assertEqual(2, len(self.rows(destination)) - before)
        single = self.fed(manyFlows((0, 1)))
        self.feed(single, later)
        self.assertEqual(sorted(self.finished(single)), sorted(self.finished(destination)))

    def test_discardIsSilent(self) -> None:
        """Discarded records leave nothing behind."""
        destination = self.makeMiddlebox()
        self.put(destination, self.exported(self.fed()))
        destination.discard(OPERATION)
        self.assertFalse(destination.owns(self.decode(self.packets())).any())
        self.assertEqual([], self.finished(destination))

    # -- the source's end

    def test_deleteIsSilent(self) -> None:
        """Deleting counts and puts nothing out."""
        source = self.fed()
        self.exported(source)
        self.assertEqual(FLOWS, source.delPerflow(OPERATION, EVERYTHING))
        self.assertEqual(0, source.delPerflow(OPERATION, EVERYTHING))
        self.assertEqual((0, 0), self.count(source))
        self.assertEqual([], self.finished(source))

    def test_unmark(self) -> None:
        """Unmarked records go on as if nobody had ever asked, whatever came meanwhile."""
        source, untouched = self.fed(), self.fed()
        self.exported(source)
        source.freeze(EVERYTHING, OPERATION)
        more = manyFlows(range(FLOWS + 2), START + 60_000_000)
        self.feed(source, more, OPERATION)
        self.feed(untouched, more)
        source.unmark(OPERATION)
        for middlebox in (source, untouched):
            middlebox.advance(START + int(self.idleSeconds * 3e9))
            middlebox.flush()
        self.assertEqual(sorted(self.rows(untouched)), sorted(self.rows(source)))
        self.assertEqual(sorted(self.finished(untouched)), sorted(self.finished(source)))

    def test_markedUnreported(self) -> None:
        """Marked records are reported neither by timers nor at the end: somebody else may own them by then."""
        source = self.fed()
        self.exported(source)
        source.advance(START + int(self.idleSeconds * 3e9))
        self.assertEqual([], self.finished(source))

    def test_freeze(self) -> None:
        """No timer removes frozen records; thawed ones go on."""
        if not self.expires:
            raise SkipTest("records of this kind do not expire")
        middlebox = self.fed()
        middlebox.freeze(EVERYTHING, OPERATION)
        middlebox.advance(START + int(self.idleSeconds * 3e9))
        middlebox.flush()
        self.assertEqual(([], FLOWS), (self.rows(middlebox), self.count(middlebox)[0]))
        middlebox.thaw(OPERATION)
        middlebox.advance(START + int(self.idleSeconds * 6e9))
        middlebox.flush()
        self.assertEqual((FLOWS, 0), (len(self.rows(middlebox)), self.count(middlebox)[0]))

    # -- the oracle

    def test_splitAnywhere(self) -> None:
        """Wherever the input is cut and moved, both outputs together are those of one instance."""
        packets = self.traffic()
        single = sorted(self.finished(self.fed(packets)))
        self.assertTrue(single)
        for cut in range(0, len(packets) + 1, max(1, len(packets) // 24)):
            found = self._split(packets, cut, min(len(packets), cut + 9))
            self.assertEqual(single, found, f"cut at {cut}")

    def _split(self, packets: PacketBatch, cut: int, switch: int) -> list[str]:
        source, destination = self.fed(packets.select(slice(0, cut))), self.makeMiddlebox()
        self.put(destination, self.exported(source))
        self._tap(source, destination, packets.select(slice(cut, switch)))
        destination.commit(OPERATION)
        source.delPerflow(OPERATION, EVERYTHING)
        self.feed(destination, packets.select(slice(switch, len(packets))))
        return sorted([*self.finished(source), *self.finished(destination)])


FIRST = Cell.SUPPORTING_PER_FLOW
