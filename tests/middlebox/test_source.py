"""The source's end, message by message after the table in docs/handover.md."""

from __future__ import annotations

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.middlebox.source import SourceOperation
from openmb.state.headers import EVERYTHING
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, End, Pair, single

LATER = START + 100_000_000


def frames(end: End) -> list[str]:
    return [frame.type.name for frame in end.take(m.StreamFrame)]


class SourceTests(SynchronousTestCase):
    """One source, by itself or with a destination."""

    def start(self, window: int = 1 << 20, **settings: int) -> End:
        pair = Pair(window, "udp", **settings)
        pair.a.feed(manyFlows())
        pair.a.tell(pair.get)
        return pair.a

    def drained(self, **settings: int) -> End:
        """Exported, without waiting for credit."""
        source = self.start(**settings)
        while source.host.work():
            pass
        return source

    def diverted(self) -> End:
        source = self.drained()
        source.tell(m.Divert(OP, TOKEN))
        source.sent.clear()
        return source

    def test_export(self) -> None:
        """GETTING, OPENED, then a slice at a time, GET_DONE last."""
        source = self.start(sliceSlots=2)
        self.assertTrue(source.host.hasWork)
        self.assertEqual([m.Getting(OP)], source.take(m.Getting))
        self.assertEqual(["OPENED"], frames(source))
        seen = []
        while source.host.work():
            seen.append(frames(source))
        self.assertEqual([["RECORDS"]] * 3 + [["GET_DONE"]], seen)
        self.assertFalse(source.host.hasWork)

    def test_windowStopsExport(self) -> None:
        """Without credit nothing more is exported; with it the export goes on."""
        source = self.start(window=1, sliceSlots=1)
        self.assertFalse(source.host.hasWork)
        source.tell(m.Credit(OP, m.Side.SOURCE, 0))
        self.assertTrue(source.host.work())
        self.assertFalse(source.host.work())

    def test_reprocess(self) -> None:
        """Packets of marked records and of new matching flows are processed in full and raise events."""
        source = self.drained()
        source.sent.clear()
        source.feed(manyFlows((0, 9), LATER))
        self.assertEqual(["REPROCESS"], frames(source))
        self.assertEqual(7, source.engine.usage(EVERYTHING)[0].marked)

    def test_bufferFullBeforeDivert(self) -> None:
        """Too many events that find no credit: the operation is given up here and refused there; nothing is lost."""
        source = self.start(window=1, eventBuffer=1000)
        source.tell(m.Credit(OP, m.Side.SOURCE, 0))
        source.host.work()
        later = manyFlows(range(6), LATER, 9)
        source.feed(later)
        self.assertEqual(Refusal.BUFFER_FULL, source.refusal())
        self.assertEqual((0, True), (source.host.operations, source.host.wantsPackets))
        source.tell(m.Unmark(OP, False))
        self.assertEqual([m.Unmarked(OP, 0, 0)], source.take(m.Unmarked))
        source.host.finish()
        self.assertEqual(single(manyFlows(), later), sorted(f"{row.flow} {row.line}" for row in source.rows))

    def test_bufferFullAfterDivert(self) -> None:
        """After DIVERT a full buffer stops the reading of packets instead; credit lets it go on."""
        source = self.drained(eventBuffer=1000)
        source.tell(m.Divert(OP, TOKEN))
        source.host._operations[OP].sender._window = 1  # type: ignore[union-attr]
        for turn in range(4):
            source.feed(manyFlows((0,), LATER + turn * 10_000_000, 6))
        self.assertFalse(source.host.wantsPackets)
        self.assertEqual([], source.take(m.Refused))
        for _ in range(20):
            source.tell(m.Credit(OP, m.Side.SOURCE, 1000))
        self.assertTrue(source.host.wantsPackets)

    def test_keptFull(self) -> None:
        """
        Copies end at their bound: reading goes on, or no marker would ever come.  Every packet is re-directed all the
        same, and an abort says how many it lost.
        """
        source = self.drained(keptBytes=300)
        source.tell(m.Divert(OP, TOKEN))
        for turn in range(8):
            source.feed(manyFlows((0,), LATER + turn * 10_000_000, 1))
        self.assertTrue(source.host.wantsPackets)
        self.assertEqual(8, frames(source).count("REDIRECT"))
        source.tell(m.Unmark(OP, False))
        answer = source.take(m.Unmarked)[0]
        self.assertEqual(8, answer.replayed + answer.lost)
        self.assertGreater(answer.lost, 0)

    def test_divertTooEarly(self) -> None:
        """A vote while records are still being exported is refused."""
        source = self.start()
        source.tell(m.Divert(OP, TOKEN))
        self.assertEqual(Refusal.WRONG_STATE, source.refusal())

    def test_divert(self) -> None:
        """From DIVERTED on no matching packet is processed; each is sent.  Twice is as once."""
        source = self.drained()
        source.sent.clear()
        source.tell(m.Divert(OP, TOKEN), m.Divert(OP, TOKEN))
        before = dict(source.engine._table)
        source.feed(manyFlows((0, 9), LATER))
        self.assertEqual(["DIVERTED", "REDIRECT"], frames(source))
        self.assertEqual(before, source.engine._table)

    def test_markers(self) -> None:
        """Each genuine marker is told, DRAINED follows the first final one, and then no more."""
        source = self.diverted()
        source.mark(LATER)
        source.mark(LATER + 1, True)
        source.mark(LATER + 2, True)
        self.assertEqual(["MARKED", "MARKED", "DRAINED"], frames(source))

    def test_strangeMarkers(self) -> None:
        """Markers with another token or operation, or that are none after all, are counted and do nothing."""
        source = self.diverted()
        source.mark(LATER, True, b"somebody else's!")
        source.mark(LATER, True, TOKEN, OP + 1)
        self.assertEqual([], source.sent)
        self.assertEqual(2, source.host.counts.strayMarkers)

    def test_delete(self) -> None:
        """Silent; late packets are re-directed until the window closes; twice is as once."""
        source = self.diverted()
        source.tell(m.Delete(OP, 100), m.Delete(OP, 100))
        self.assertEqual([m.Deleted(OP, 6, 0)] * 2, source.take(m.Deleted))
        source.feed(manyFlows((0,), LATER, 3))
        self.assertEqual(["REDIRECT"], frames(source))
        source.tell(m.Credit(OP, m.Side.SOURCE, 1000))
        source.host.timePassed(0.05)
        self.assertEqual([], source.sent)
        source.host.timePassed(0.1)
        self.assertEqual([m.WindowClosed(OP, 3, 0)], source.sent)
        source.host.finish()
        self.assertEqual([], source.rows)

    def test_deleteBeforeTheVote(self) -> None:
        """Records that nobody else owns are not deleted, whoever asks."""
        for source in (self.start(), self.drained()):
            source.tell(m.Delete(OP, 100))
            self.assertEqual(Refusal.WRONG_STATE, source.refusal())
            self.assertEqual(6, source.engine.usage(EVERYTHING)[0].records)

    def test_deleteUnknown(self) -> None:
        """A repeated DELETE of an operation that is over is answered."""
        source = End("a")
        source.tell(m.Delete(OP, 100))
        self.assertEqual([m.Deleted(OP, 0, 0), m.WindowClosed(OP, 0, 0)], source.sent)

    def test_unmarkAnywhere(self) -> None:
        """Before the window UNMARK leads back to what a source that was never asked would do."""
        later = manyFlows(range(8), LATER)
        for source in (self.start(), self.drained(), self.diverted()):
            source.feed(later)
            source.tell(m.Unmark(OP, False), m.Unmark(OP, False))
            self.assertEqual(2, len(source.take(m.Unmarked)))
            source.host.finish()
            self.assertEqual(single(manyFlows(), later), sorted(f"{row.flow} {row.line}" for row in source.rows))

    def test_unmarkAfterDelete(self) -> None:
        """Too late: an answer that the source goes on would not be true."""
        source = self.diverted()
        source.tell(m.Delete(OP, 100), m.Unmark(OP, False))
        self.assertEqual(Refusal.WRONG_STATE, source.refusal())

    def test_lease(self) -> None:
        """Without a controller the source goes on alone after its lease, and not before."""
        source = self.diverted()
        source.feed(manyFlows((0,), LATER))
        source.host.connectionLost()
        source.host.timePassed(89.0)
        self.assertEqual(1, source.host.operations)
        source.host.timePassed(90.0)
        self.assertEqual(0, source.host.operations)
        source.host.finish()
        expected = single(manyFlows(), manyFlows((0,), LATER))
        self.assertEqual(expected, sorted(f"{row.flow} {row.line}" for row in source.rows))

    def test_leaseEndsWithConnection(self) -> None:
        """A controller that comes back in time ends the lease."""
        source = self.drained()
        source.host.connectionLost()
        source.host.connectionMade()
        source.host.timePassed(1000.0)
        self.assertEqual(1, source.host.operations)


class HardTimesTests(SynchronousTestCase):
    """What cannot be done ends the operation with a reason, and loses nothing that can be kept."""

    def test_tooLargeToTravel(self) -> None:
        """A record that no frame can take: refused, and the source goes on as if never asked."""
        source = self.exporting()
        operation = source.host._operations[OP]
        assert isinstance(operation, SourceOperation)
        operation._slices = iter([(hugeBatch(),)])
        source.host.work()
        self.assertEqual(Refusal.BUFFER_FULL, source.refusal())
        self.assertEqual(0, source.host.operations)

    def test_alone(self) -> None:
        """Nobody comes back: without a marker the kept packets are processed, after one the destination has them."""
        for marked in (False, True):
            source = self.exporting()
            while source.host.work():
                pass
            source.tell(m.Divert(OP, TOKEN))
            source.feed(manyFlows((0,), LATER, 3))
            if marked:
                source.mark(LATER + 10**9)
            source.host._operations[OP].orphaned()
            self.assertEqual(marked, not source.engine._table)

    def exporting(self) -> End:
        """A source that has been asked."""
        source = End("a")
        source.feed(manyFlows())
        source.tell(Pair().get)
        return source


def hugeBatch() -> RecordBatch:
    """One record with a tail of 2 MiB."""
    tail = np.zeros(2 << 20, np.uint8)
    key, record = np.zeros((1, 40), np.uint8), np.zeros((1, 24), np.uint8)
    return RecordBatch(Cell.SUPPORTING_PER_FLOW, 1, 1, key, record, np.array([len(tail)], np.uint32), tail)
