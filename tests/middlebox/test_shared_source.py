"""The source's end of clones and merges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import PER_FLOW_CELLS, Cell
from openmb.testing.adapters import START
from openmb.testing.totals import WRITTEN
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, again, alone, operation
from tests.middlebox.sharedrig import LAST, LATER, SharedPair, counts, later, tallies

CLONE, MERGE = m.Sort.CLONE, m.Sort.MERGE


def types(pair: SharedPair) -> list[str]:
    """The stream frames that the source has sent, which are not relayed any more."""
    return [frame.type.name for frame in pair.a.take(m.StreamFrame)]


class TransferTests(SynchronousTestCase):
    """From GET to FINISHED."""

    def test_getting(self) -> None:
        """GET is answered before anything is copied, and again when it is repeated."""
        pair = SharedPair(CLONE).asked()
        self.assertEqual([m.Getting(OP)], pair.a.take(m.Getting))
        self.assertEqual([m.Getting(OP)], again(pair.a, pair.get))
        self.assertEqual(["OPENED"], types(SharedPair(CLONE).asked()))

    def test_frames(self) -> None:
        """One pack for each total, and GET_DONE; nothing follows of its own accord."""
        for sort, packs in ((CLONE, 2), (MERGE, 3)):
            pair = SharedPair(sort)
            pair.a.feed(later(START - 2 * 10**9))
            pair.asked()
            while pair.a.host.work():
                pass
            pair.a.host.timePassed(1.0)
            self.assertEqual(["OPENED"] + ["RECORDS"] * packs + ["GET_DONE"], types(pair))

    def test_cutBeforePackets(self) -> None:
        """What happens during a clone's export follows the cut, however long that takes."""
        pair = SharedPair(CLONE, sliceSlots=1).asked()
        pair.a.host.work()
        pair.a.feed(later())
        pair.a.feed(later(LAST))
        while pair.a.host.work():
            pass
        self.assertEqual(["OPENED", "RECORDS", "GET_DONE", "REPROCESS", "CHANGES", "REPROCESS", "CHANGES"], types(pair))

    def test_beforeTheCut(self) -> None:
        """Packets between GET and the first slice are in the cut."""
        pair = SharedPair(CLONE).asked()
        pair.a.feed(later())
        while pair.a.host.work():
            pass
        self.assertEqual(["OPENED", "RECORDS", "RECORDS", "GET_DONE"], types(pair))

    def test_timer(self) -> None:
        """What a timer changes is told, and nothing twice."""
        pair = SharedPair(CLONE).copied()
        pair.a.host.advance(LATER)
        self.assertEqual(["CHANGES"], types(pair))
        pair.a.host.advance(LATER)
        pair.tick()
        self.assertEqual([], types(pair))

    def test_mergeFollowsNothing(self) -> None:
        """After the exchange nothing is told: it is the next epoch's."""
        pair = SharedPair(MERGE).copied()
        pair.a.feed(later())
        self.assertEqual([], types(pair))
        self.assertEqual((24, 6, 6), counts(pair.a))

    def test_noFinishWhileExporting(self) -> None:
        """FINISH is refused before GET_DONE."""
        pair = SharedPair(CLONE).asked()
        pair.a.tell(m.Finish(OP))
        self.assertEqual(Refusal.WRONG_STATE, pair.a.refusal())

    def test_finishEndsTheWatch(self) -> None:
        """After FINISH nothing is told any more; repeated, it changes nothing."""
        pair = SharedPair(CLONE).copied()
        pair.a.tell(m.Finish(OP), m.Finish(OP))
        pair.a.feed(later())
        pair.a.host.advance(LAST)
        self.assertEqual(["FINISHED"], types(pair))

    def test_neverStalls(self) -> None:
        """A clone whose changes find no credit ends with an error, while packets are read; it has changed nothing."""
        for started in (False, True):
            pair = SharedPair(CLONE, window=200, eventBuffer=3000).asked()
            if started:
                pair.copied()
            pair.a.host.work()
            for turn in range(9):
                self.assertTrue(pair.a.host.wantsPackets)
                pair.a.feed(later(START + turn * 10**9))
            self.assertEqual(Refusal.BUFFER_FULL, pair.a.refusal())
            self.assertEqual((0, {}), (pair.a.host.operations, pair.a.engine.totals.watches))
            pair.a.tell(m.Unmark(OP, False))
            self.assertEqual([m.Unmarked(OP, 0, 0)], pair.a.take(m.Unmarked))

    def test_packetsThrown(self) -> None:
        """An engine that throws on a whole batch may have changed anything: the clone is given up."""
        pair = SharedPair(CLONE).copied()
        pair.a.engine.totals.packet = lambda packet: 1 / 0  # type: ignore[assignment, method-assign]
        pair.a.engine._keys = lambda packets: 1 / 0  # type: ignore[assignment, method-assign, return-value]
        pair.a.feed(later())
        self.assertEqual(Refusal.ENGINE_FAILED, pair.a.refusal())
        self.assertEqual(0, pair.a.host.operations)


class RequestTests(SynchronousTestCase):
    """What may be asked for."""

    def refused(self, request: m.Get) -> None:
        pair = SharedPair(CLONE)
        pair.a.tell(request)
        self.assertEqual(Refusal.BAD_REQUEST, pair.a.refusal())
        self.assertEqual(
            (0, {}, {}), (pair.a.host.operations, pair.a.engine.totals.watches, pair.a.engine.totals.taken)
        )

    def test_reportingIsNeverCloned(self) -> None:
        """A clone is of supporting shared state and of nothing else."""
        get = SharedPair(CLONE).get
        for cells in ((Cell.REPORTING_SHARED,), (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED), PER_FLOW_CELLS, ()):
            self.refused(replace(get, cells=cells))

    def test_otherCells(self) -> None:
        """Nor does a move take shared state, or a merge per-flow state."""
        get = SharedPair(MERGE).get
        self.refused(replace(get, cells=(Cell.SUPPORTING_SHARED, Cell.SUPPORTING_PER_FLOW)))
        self.refused(replace(get, cells=(Cell.SUPPORTING_SHARED,) * 2))
        self.refused(replace(get, sort=m.Sort.MOVE))
        self.refused(replace(get, cells=(Cell.CONFIGURATION,)))

    def test_someFlows(self) -> None:
        """What flows share cannot be divided."""
        self.refused(replace(SharedPair(CLONE).get, flows="tcp"))

    def test_engineThatClonesReporting(self) -> None:
        """What was not asked for does not leave, whatever the engine hands out."""
        pair = SharedPair(CLONE)
        totals = pair.a.engine.totals
        totals.wrote(7)

        def getShared(operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
            yield (totals.own.batch(WRITTEN, list(totals.own.origins[WRITTEN.identifier])),)

        totals.getShared = getShared  # type: ignore[method-assign]
        pair.asked()
        pair.a.host.work()
        self.assertEqual(Refusal.ENGINE_FAILED, pair.a.refusal())
        self.assertEqual(["OPENED"], types(pair))

    def test_holdAndDivert(self) -> None:
        """No packet waits for shared state: what would make it wait is not understood."""
        pair = SharedPair(CLONE).copied()
        pair.a.tell(m.Divert(OP, TOKEN))
        pair.b.tell(m.Hold(OP, TOKEN))
        self.assertEqual([Refusal.UNKNOWN_OPERATION] * 2, [pair.a.refusal(), pair.b.refusal()])
        pair.a.mark(LATER)
        self.assertEqual(1, pair.a.host.counts.strayMarkers)


class EndTests(SynchronousTestCase):
    """How it ends."""

    def test_delete(self) -> None:
        """DELETE drops what was taken, once; its answer is kept until CLOSE."""
        pair = SharedPair(MERGE).committed()
        pair.a.tell(m.Delete(OP, 0))
        self.assertEqual(([m.Deleted(OP, 1, 0)], []), (pair.a.take(m.Deleted), pair.a.take(m.WindowClosed)))
        self.assertEqual([m.Deleted(OP, 1, 0)], again(pair.a, m.Delete(OP, 0)))
        self.assertEqual((0, 0, 0), counts(pair.a))
        pair.a.tell(m.Unmark(OP, False))
        self.assertEqual(Refusal.WRONG_STATE, pair.a.refusal())
        pair.a.tell(m.Close(OP))
        self.assertEqual((), pair.a.host.hello().operations)

    def test_noDeleteBeforeTheVote(self) -> None:
        """Nobody else has it yet."""
        for pair in (SharedPair(MERGE).asked(), SharedPair(MERGE).copied()):
            pair.a.tell(m.Delete(OP, 0))
            self.assertEqual(Refusal.WRONG_STATE, pair.a.refusal())

    def test_unmark(self) -> None:
        """Aborted at any point before DELETE, it has changed nothing."""
        for sort in (CLONE, MERGE):
            for reach in (SharedPair.asked, SharedPair.copied, SharedPair.voted):
                pair = reach(SharedPair(sort, sliceSlots=1))
                pair.a.host.work()
                pair.a.feed(later())
                pair.a.tell(m.Unmark(OP, False))
                self.assertEqual([m.Unmarked(OP, 0, 0)], pair.a.take(m.Unmarked))
                self.assertEqual([m.Unmarked(OP, 0, 0)], again(pair.a, m.Unmark(OP, False)))
                self.assertEqual((48, 6, 6), counts(pair.a))
                self.assertEqual(({}, {}), (pair.a.engine.totals.watches, pair.a.engine.totals.taken))
                pair.a.tell(m.Finish(OP))
                self.assertEqual(Refusal.WRONG_STATE, pair.a.refusal())

    def test_lease(self) -> None:
        """Before the vote the source goes on alone; after it, what a merge has taken is kept for who knows better."""
        for sort in (CLONE, MERGE):
            for pair in (SharedPair(sort).asked(), SharedPair(sort).copied()):
                pair.a.host.work()
                pair.a.host.connectionLost()
                alone(pair.a, 91)
                self.assertEqual((0, 24), (pair.a.host.operations, counts(pair.a)[0]))
        clone, merge = SharedPair(CLONE).voted(), SharedPair(MERGE).voted()
        for pair in (clone, merge):
            pair.a.host.connectionLost()
            alone(pair.a, 1000)
        self.assertEqual([m.Deleted(OP, 0, 0)], again(clone.a, m.Delete(OP, 0)))
        self.assertEqual((1, 0), (merge.a.host.operations, counts(merge.a)[0]))
        self.assertEqual([m.Unmarked(OP, 0, 0)], again(merge.a, m.Unmark(OP, False)))
        self.assertEqual(24, counts(merge.a)[0])

    def test_inDoubt(self) -> None:
        """A source that ends in doubt keeps what it took, and says so."""
        pair, closed = SharedPair(MERGE).voted(), SharedPair(MERGE).voted()
        self.assertFalse(pair.a.host.settled)
        pair.a.host.finish()
        closed.a.tell(m.Close(OP))
        for each in (pair, closed):
            self.assertEqual((0, 24), (each.a.host.operations, counts(each.a)[0]))

    def test_settled(self) -> None:
        """A clone that has voted leaves nothing to wait for."""
        pair = SharedPair(CLONE).voted()
        pair.tick()
        self.assertTrue(pair.a.host.settled)

    def test_shutDown(self) -> None:
        """A host that is to end has undecided operations undone."""
        pair = SharedPair(CLONE).copied()
        pair.a.host.shutDown()
        self.assertEqual(Refusal.SHUTTING_DOWN, pair.a.refusal())

    def test_nothingComesBack(self) -> None:
        """A frame of the destination's own makes no sense."""
        pair = SharedPair(MERGE).copied()
        pair.a.tell(m.StreamFrame(OP, m.Side.DESTINATION, 0, m.StreamType.RETURNED, b"", b""))
        self.assertEqual(Refusal.BAD_REQUEST, pair.a.refusal())

    def test_resume(self) -> None:
        """After a lost connection every frame without credit is sent again, in order."""
        pair = SharedPair(CLONE).asked()
        while pair.a.host.work():
            pass
        pair.a.feed(later())
        sent = types(pair)
        pair.a.tell(m.Resume(OP, m.Side.SOURCE, 0))
        self.assertEqual(sent[1:], types(pair))

    def test_status(self) -> None:
        """HELLO says how far it has come."""
        states = []
        for reach in (SharedPair.asked, SharedPair.copied, SharedPair.voted):
            (status,) = reach(SharedPair(MERGE)).a.host.hello().operations
            states.append((status.side, status.state))
        self.assertEqual([(m.Side.SOURCE, each) for each in ("exporting", "following", "voted")], states)
        self.assertEqual(m.Sort.MERGE, operation(SharedPair(MERGE).asked().a).request.sort)

    def test_severalAtOnce(self) -> None:
        """Two merges of one source: the first takes what there is, the second what came since."""
        pair = SharedPair(MERGE).copied()
        pair.a.feed(later())
        pair.a.tell(replace(pair.get, operation=OP + 1, destination=m.Peer("c", b"c" * 16)))
        while pair.a.host.work():
            pass
        before = tallies(pair.a)
        pair.a.tell(m.Unmark(OP, False), m.Unmark(OP + 1, False))
        self.assertEqual((0, 48), (before[0].count, counts(pair.a)[0]))
