"""The destination's end of clones and merges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.middlebox.stream import StreamSender, contextOf
from openmb.state.packing import packRecords
from openmb.state.taxonomy import PER_FLOW_CELLS, Cell
from openmb.testing.adapters import OPERATION, manyFlows
from openmb.testing.totals import TRAFFIC, WRITTEN, SharedState
from openmb.wire import messages as m
from openmb.wire.stream import Finished, GetDone, packEvents, packPart
from tests.middlebox.rig import KEYRING, OP, again, alone, operation, records
from tests.middlebox.sharedrig import LAST, LATER, SharedPair, counts, later, tallies

CLONE, MERGE = m.Sort.CLONE, m.Sort.MERGE


class FoldTests(SynchronousTestCase):
    """From PREPARE to COMMITTED."""

    def test_merge(self) -> None:
        """Everything that the source had counted is here, once; it begins anew."""
        pair = SharedPair(MERGE).committed()
        self.assertEqual([m.Installed(OP, 1, 42, 0)], pair.b.take(m.Installed))
        self.assertEqual([m.FinishConfirmed(OP, 0, 0)], pair.b.take(m.FinishConfirmed))
        self.assertEqual([m.Committed(OP, 1)], pair.b.take(m.Committed))
        self.assertEqual(((0, 0, 0), (36, 0, 0)), (counts(pair.a), counts(pair.b)))

    def test_clone(self) -> None:
        """What the source has counted until FINISH is here too, rows apart: they are reported there."""
        pair = SharedPair(CLONE).copied()
        pair.a.feed(later())
        pair.a.host.advance(LAST)
        pair.a.tell(m.Finish(OP))
        pair.relay()
        pair.a.feed(later(LAST))
        self.assertEqual([m.FinishConfirmed(OP, 24, 2)], pair.b.take(m.FinishConfirmed))
        pair.b.tell(m.Commit(OP))
        self.assertEqual([m.Committed(OP, 2)], pair.b.take(m.Committed))
        self.assertEqual(((72, 12, 12), (60, 12, 0)), (counts(pair.a), counts(pair.b)))

    def test_cloneThenMerge(self) -> None:
        """What was cloned before is not counted twice."""
        pair = SharedPair(CLONE).committed()
        pair.a.tell(m.Delete(OP, 0), m.Close(OP))
        pair.b.tell(m.Close(OP))
        pair.a.feed(later())
        merge = SharedPair(MERGE)
        merge.a, merge.b = pair.a, pair.b
        pair.b.tell(merge.prepare)
        pair.a.tell(merge.get)
        while pair.a.host.work():
            merge.relay()
        merge.relay()
        pair.a.tell(m.Finish(OP))
        merge.relay()
        pair.b.tell(m.Commit(OP))
        self.assertEqual(((0, 0, 0), (60, 6, 6)), (counts(pair.a), counts(pair.b)))

    def test_onlyShared(self) -> None:
        """Events of a clone touch no flow of the destination, and put nothing out."""
        pair = SharedPair(CLONE).copied()
        pair.a.feed(later())
        pair.relay()
        self.assertEqual((3, []), (records(pair.b), pair.b.rows))
        self.assertEqual((12, 0, 0), counts(pair.b))
        self.assertEqual({}, pair.b.engine._provisional)

    def test_manyEvents(self) -> None:
        """A small window delays what follows the cut; nothing is lost or out of order."""
        pair = SharedPair(CLONE, window=300, sliceSlots=1).copied()
        for turn in range(5):
            pair.a.feed(later(LATER + turn * 10**9))
            if turn % 2:
                pair.relay()
        pair.a.tell(m.Finish(OP))
        for _ in range(40):
            pair.tick()
        pair.b.tell(m.Commit(OP))
        self.assertEqual(tallies(pair.a)[0].count + 12, tallies(pair.b)[0].count)
        self.assertEqual(tallies(pair.a)[1], tallies(pair.b)[1])

    def test_twoEpochs(self) -> None:
        """A merge elsewhere in the middle of a clone: what is counted then is another epoch's here too."""
        pair = SharedPair(CLONE).copied()
        pair.a.feed(later())
        other = replace(SharedPair(MERGE).get, operation=OP + 1, destination=m.Peer("c", b"c" * 16))
        pair.a.tell(other)
        while pair.a.host.work():
            pair.relay()
        pair.a.feed(later(LAST))
        pair.a.tell(m.Finish(OP), m.Unmark(OP + 1, False))
        for _ in range(3):
            pair.tick()
        pair.b.tell(m.Commit(OP))
        self.assertEqual((72, 84), (counts(pair.a)[0], counts(pair.b)[0]))
        self.assertEqual({24, 48, 12}, {tally.count for tally in pair.b.engine.totals.own.origins[2].values()})


class AgainTests(SynchronousTestCase):
    """Commands and frames that come again."""

    def test_prepare(self) -> None:
        """PREPARE is answered with all that was reached."""
        for reach, reached in (
            (SharedPair.asked, ()),
            (SharedPair.copied, (m.Installed(OP, 1, 42, 0),)),
            (SharedPair.voted, (m.Installed(OP, 1, 42, 0), m.FinishConfirmed(OP, 0, 0))),
        ):
            pair = reach(SharedPair(CLONE))
            self.assertEqual([m.Prepared(OP, pair.b.nonce), *reached], again(pair.b, pair.prepare))

    def test_frames(self) -> None:
        """Every frame three times, and the whole stream again: once is what counts."""
        for sort, expected in ((CLONE, (36, 6, 0)), (MERGE, (24, 0, 0))):
            pair = SharedPair(sort, sliceSlots=1).asked()
            frames: list[m.StreamFrame] = []
            while pair.a.host.work():
                frames += pair.a.take(m.StreamFrame)
            pair.a.feed(later(rounds=2))
            pair.a.tell(m.Finish(OP))
            frames += pair.a.take(m.StreamFrame)
            for frame in frames:
                pair.b.tell(frame, frame, *frames)
            self.assertEqual(1, len(pair.b.take(m.FinishConfirmed)))
            pair.b.tell(m.Commit(OP), *frames, m.Commit(OP))
            self.assertEqual(2, len(pair.b.take(m.Committed)))
            self.assertEqual((expected[0] + 12, *expected[1:]), counts(pair.b))

    def test_commit(self) -> None:
        """COMMIT is answered as before, and folds nothing in again; later DISCARD is refused."""
        pair = SharedPair(MERGE).committed()
        self.assertEqual([m.Committed(OP, 1)], again(pair.b, m.Commit(OP)))
        pair.b.tell(m.Discard(OP, False))
        self.assertEqual(Refusal.WRONG_STATE, pair.b.refusal())
        self.assertEqual((36, 0, 0), counts(pair.b))
        self.assertEqual("ended", pair.b.host.hello().operations[0].state)

    def test_status(self) -> None:
        """HELLO says how far it has come."""
        states = []
        for reach in (SharedPair.asked, SharedPair.copied, SharedPair.voted):
            (status,) = reach(SharedPair(MERGE)).b.host.hello().operations
            states.append((status.side, status.state))
        self.assertEqual([(m.Side.DESTINATION, each) for each in ("receiving", "installed", "confirmed")], states)


class UndoTests(SynchronousTestCase):
    """What is not committed leaves nothing behind."""

    def test_discard(self) -> None:
        """At any point before COMMIT; a later COMMIT is refused."""
        for sort in (CLONE, MERGE):
            for reach in (SharedPair.asked, SharedPair.copied, SharedPair.voted):
                pair = reach(SharedPair(sort))
                pair.b.tell(m.Discard(OP, False))
                self.assertEqual([m.Discarded(OP, 0)], pair.b.take(m.Discarded))
                self.assertEqual([m.Discarded(OP, 0)], again(pair.b, m.Discard(OP, False)))
                pair.b.tell(m.Commit(OP))
                self.assertEqual(Refusal.WRONG_STATE, pair.b.refusal())
                self.assertEqual(((12, 0, 0), {}), (counts(pair.b), pair.b.engine.totals.provisional))

    def test_lease(self) -> None:
        """Without a controller it takes no COMMIT any more; the same at the end of the process, and on CLOSE."""
        for reach in (SharedPair.asked, SharedPair.copied, SharedPair.voted):
            alones, finished, closed = (reach(SharedPair(MERGE)) for _ in range(3))
            alones.b.host.connectionLost()
            alone(alones.b, 61)
            self.assertEqual(Refusal.WRONG_STATE, again(alones.b, m.Commit(OP))[0].refusal)  # type: ignore[union-attr]
            finished.b.host.finish()
            closed.b.tell(m.Close(OP))
            for pair in (alones, finished, closed):
                self.assertEqual((0, {}), (pair.b.host.operations, pair.b.engine.totals.provisional))

    def test_tooEarly(self) -> None:
        """COMMIT is refused until everything is here."""
        for pair in (SharedPair(MERGE).asked(), SharedPair(MERGE).copied()):
            pair.b.tell(m.Commit(OP))
            self.assertEqual(Refusal.WRONG_STATE, pair.b.refusal())

    def test_sourceGone(self) -> None:
        """What was installed when the source died may be committed; less may not."""
        pair = SharedPair(MERGE).copied()
        pair.b.tell(m.SourceGone(OP), m.SourceGone(OP))
        self.assertEqual([m.FinishConfirmed(OP, 0, 0)] * 2, pair.b.take(m.FinishConfirmed))
        pair.b.tell(m.Commit(OP), m.SourceGone(OP))
        self.assertEqual((36, 0, 0), counts(pair.b))
        pair = SharedPair(MERGE).asked()
        pair.b.tell(m.SourceGone(OP))
        self.assertEqual(Refusal.PEER_DIED, pair.b.refusal())
        pair.b.tell(m.Commit(OP))
        self.assertEqual(Refusal.PEER_DIED, pair.b.refusal())

    def test_engineRefuses(self) -> None:
        """An engine that cannot fold refuses COMMIT for good; the source folds back."""
        pair = SharedPair(MERGE).voted()

        def commitShared(operation: int) -> int:
            raise OperationError(Refusal.BUFFER_FULL, "no room")

        pair.b.engine.commitShared = commitShared  # type: ignore[method-assign]
        pair.b.tell(m.Commit(OP), m.Commit(OP))
        refused = pair.b.take(m.Refused)
        self.assertEqual([(m.MessageType.COMMIT, Refusal.BUFFER_FULL)] * 2, [(r.request, r.refusal) for r in refused])
        pair.a.tell(m.Unmark(OP, False))
        pair.b.tell(m.Discard(OP, False))
        self.assertEqual(((24, 0, 0), (12, 0, 0)), (counts(pair.a), counts(pair.b)))


class HostileTests(SynchronousTestCase):
    """A source that seals well and behaves badly, and a controller that lies."""

    def setUp(self) -> None:
        self.pair = SharedPair(CLONE)
        self.make(CLONE)

    def make(self, sort: m.Sort) -> None:
        self.pair = pair = SharedPair(sort)
        pair.b.tell(pair.prepare)
        context = contextOf("counter", pair.get, m.Side.SOURCE, pair.b.nonce)
        self.sender = StreamSender(OP, m.Side.SOURCE, KEYRING, context, 1 << 20, pair.b.tell)
        self.state = SharedState(b"o" * 16 + bytes(4))
        self.state.add(TRAFFIC, 1)
        self.state.add(WRITTEN, 1)

    def send(self, type_: m.StreamType, clear: bytes = b"", plain: bytes = b"") -> None:
        self.sender.append(type_, clear, plain)

    def put(self, type_: m.StreamType = m.StreamType.RECORDS, layout: Any = TRAFFIC) -> int:
        clear, plain = packRecords(self.state.batch(layout, [self.state.current]))
        self.send(type_, clear, plain)
        return len(plain)

    def done(self, records: int, size: int) -> None:
        self.send(m.StreamType.GET_DONE, b"", packPart(GetDone(records, size, 0)))

    def fails(self, refusal: Refusal) -> None:
        """It has failed, and stays so: nothing of it will ever be committed."""
        self.assertEqual(refusal, self.pair.b.refusal())
        self.pair.b.tell(m.Commit(OP))
        self.assertEqual(refusal, self.pair.b.refusal())
        self.assertEqual((0, 0, 0), counts(self.pair.b))

    def test_reportingCloned(self) -> None:
        """Reporting state is refused at the destination too."""
        self.put(layout=WRITTEN)
        self.fails(Refusal.BAD_REQUEST)

    def test_reportingAsChange(self) -> None:
        """Also when it comes later."""
        self.done(1, self.put())
        self.put(m.StreamType.CHANGES, WRITTEN)
        self.pair.b.take(m.Installed)
        self.fails(Refusal.BAD_REQUEST)

    def test_cellsOfPrepare(self) -> None:
        """PREPARE for a clone of anything else is refused."""
        for cells in ((Cell.REPORTING_SHARED,), PER_FLOW_CELLS, ()):
            self.pair.b.tell(replace(self.pair.prepare, operation=OPERATION, cells=cells))
            self.assertEqual(Refusal.BAD_REQUEST, self.pair.b.refusal())

    def test_miscounted(self) -> None:
        """GET_DONE and FINISHED must count what came."""
        self.done(2, self.put())
        self.fails(Refusal.COUNT_MISMATCH)
        for bad in (Finished(1, 0), Finished(0, 1)):
            self.make(CLONE)
            self.done(1, self.put())
            self.send(m.StreamType.FINISHED, b"", packPart(bad))
            self.fails(Refusal.COUNT_MISMATCH)

    def test_order(self) -> None:
        """Records after GET_DONE, changes before it, anything after FINISHED, and what belongs to moves."""
        events = packEvents(manyFlows((0,), rounds=1))
        self.done(1, self.put())
        self.put()
        self.fails(Refusal.WRONG_STATE)
        self.make(CLONE)
        self.put(m.StreamType.CHANGES)
        self.fails(Refusal.WRONG_STATE)
        self.make(CLONE)
        self.send(m.StreamType.REPROCESS, *events)
        self.fails(Refusal.WRONG_STATE)
        for type_ in (m.StreamType.REDIRECT, m.StreamType.DIVERTED, m.StreamType.DRAINED):
            self.make(CLONE)
            self.send(type_, *events)
            self.fails(Refusal.BAD_REQUEST)

    def test_eventsOfAMerge(self) -> None:
        """A merge is not followed."""
        for what in (m.StreamType.REPROCESS, m.StreamType.CHANGES):
            self.make(MERGE)
            self.done(1, self.put())
            if what is m.StreamType.CHANGES:
                self.put(what)
            else:
                self.send(what, *packEvents(manyFlows((0,), rounds=1)))
            self.fails(Refusal.WRONG_STATE)

    def test_afterFinished(self) -> None:
        """Nothing comes after FINISHED."""
        self.done(1, self.put())
        self.send(m.StreamType.FINISHED, b"", packPart(Finished(0, 0)))
        self.put(m.StreamType.CHANGES)
        self.fails(Refusal.WRONG_STATE)

    def test_relabelled(self) -> None:
        """A controller that tells the ends different sorts or cells joins no stream of theirs."""
        clone, merge = SharedPair(CLONE), SharedPair(MERGE)
        for prepare, get in (
            (clone.prepare, merge.get),
            (merge.prepare, clone.get),
            (merge.prepare, replace(merge.get, cells=(Cell.REPORTING_SHARED,))),
        ):
            pair = SharedPair(CLONE)
            pair.b.tell(prepare)
            pair.a.tell(replace(get, nonce=pair.b.nonce))
            while pair.a.host.work():
                pass
            pair.b.tell(*pair.a.take(m.StreamFrame))
            self.assertIn(Refusal.SEAL_BROKEN, {each.refusal for each in pair.b.take(m.Refused)})
            self.assertEqual([], pair.b.take(m.Installed))

    def test_poison(self) -> None:
        """An event that the engine throws on ends the clone; the destination's own packets go on."""
        pair = SharedPair(CLONE).copied()

        def reprocess(operation: int, packets: object, places: object) -> None:
            raise ValueError("poison")

        pair.b.engine.totals.reprocess = reprocess  # type: ignore[method-assign]
        pair.a.feed(later())
        pair.relay()
        self.assertEqual(Refusal.ENGINE_FAILED, pair.b.refusal())
        pair.b.feed(later())
        self.assertEqual(36, counts(pair.b)[0])


class StateTests(SynchronousTestCase):
    """What else the host says."""

    def test_operations(self) -> None:
        """It counts as an operation until COMMIT."""
        pair = SharedPair(MERGE).voted()
        self.assertEqual(1, pair.b.host.operations)
        self.assertEqual(m.Sort.MERGE, operation(pair.b).request.sort)
        self.assertFalse(pair.b.host.settled)
        pair.b.tell(m.Commit(OP))
        self.assertEqual((0, True), (pair.b.host.operations, pair.b.host.settled))
