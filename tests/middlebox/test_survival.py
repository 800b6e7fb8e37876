"""Lost answers, frames and credit: step by step what test_lossy does at random."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.packets.marker import BACK_MARKERS
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, Pair, again, alone, operation, records, single

LATER = START + 100_000_000


class AnswersTests(SynchronousTestCase):
    """Every answer that may be lost comes again when the last command does."""

    def test_installed(self) -> None:
        """PREPARE: PREPARED with the same nonce, and INSTALLED."""
        pair = Pair().installed()
        prepared, installed = again(pair.b, pair.prepare)
        self.assertEqual(m.Prepared(OP, pair.b.nonce), prepared)
        self.assertEqual(m.Installed(OP, 6, 149, 0), installed)

    def test_getting(self) -> None:
        """GET: GETTING, and no second export."""
        pair = Pair().installed()
        self.assertEqual([m.Getting(OP)], again(pair.a, pair.get))
        self.assertFalse(pair.a.host.hasWork)

    def test_confirmed(self) -> None:
        """HOLD: HOLDING, and DIVERT_CONFIRMED if it was reached."""
        pair = Pair().installed()
        pair.b.tell(m.Hold(OP, TOKEN))
        self.assertEqual([m.Holding(OP)], again(pair.b, m.Hold(OP, TOKEN)))
        pair.a.tell(m.Divert(OP, TOKEN))
        pair.relay()
        self.assertEqual([m.Holding(OP), m.DivertConfirmed(OP, 0)], again(pair.b, m.Hold(OP, TOKEN)))
        self.assertEqual([], again(pair.a, m.Divert(OP, TOKEN)))

    def test_merged(self) -> None:
        """COMMIT: nothing before a witness, then COMMITTED, at last MERGED too."""
        pair = Pair().confirmed()
        pair.b.tell(m.Commit(OP))
        self.assertEqual([], again(pair.b, m.Commit(OP)))
        pair.b.mark(LATER)
        self.assertEqual([m.Committed(OP, 6)], again(pair.b, m.Commit(OP)))
        pair.a.mark(LATER, True)
        pair.relay()
        pair.tick(2.0)
        self.assertEqual([m.Committed(OP, 6), m.Merged(OP, 0, 0, 0, 0, 0)], again(pair.b, m.Commit(OP)))

    def test_windowClosed(self) -> None:
        """DELETE: DELETED with its counts, and when the window is over WINDOW_CLOSED with its own."""
        pair = Pair().merged()
        self.assertEqual([m.Deleted(OP, 6, 0)], again(pair.a, m.Delete(OP, 100)))
        pair.a.feed(manyFlows((0,), LATER))
        pair.relay()
        pair.tick(0.1)
        pair.tick()
        expected = [m.Deleted(OP, 6, 0), m.WindowClosed(OP, 4, 0)]
        self.assertEqual(expected, again(pair.a, m.Delete(OP, 100)))
        (status,) = pair.a.host.hello().operations
        self.assertEqual("ended", status.state)
        self.assertEqual([], again(pair.a, m.Close(OP)))
        self.assertEqual((), pair.a.host.hello().operations)

    def test_aborted(self) -> None:
        """UNMARK and DISCARD: the counts of the first time."""
        pair = Pair().confirmed()
        pair.a.feed(manyFlows((0,), LATER))
        pair.relay()
        pair.a.tell(m.Unmark(OP, False))
        pair.b.tell(m.Discard(OP, False))
        self.assertEqual([m.Unmarked(OP, 4, 0)], again(pair.a, m.Unmark(OP, False)))
        self.assertEqual([m.Discarded(OP, 0)], again(pair.b, m.Discard(OP, False)))

    def test_returned(self) -> None:
        """While packets are returned UNMARK and DISCARD are not answered; then with their counts."""
        pair = Pair().confirmed()
        pair.b.feed(manyFlows((0,), LATER))
        pair.a.tell(m.Unmark(OP, True))
        pair.b.tell(m.Discard(OP, True))
        self.assertEqual(([], []), (again(pair.a, m.Unmark(OP, True)), again(pair.b, m.Discard(OP, True))))
        pair.b.mark(LATER + 10**9, True, number=BACK_MARKERS + 1)
        self.assertEqual([m.Discarded(OP, 4)], again(pair.b, m.Discard(OP, True)))
        pair.b.tell(m.Resume(OP, m.Side.DESTINATION, -1))
        pair.relay()
        pair.tick(1.0)
        self.assertEqual([m.Unmarked(OP, 4, 0)], again(pair.a, m.Unmark(OP, True)))
        self.assertEqual(single(manyFlows(), manyFlows((0,), LATER)), pair.finish())

    def test_gaveUp(self) -> None:
        """A source that has given up says so again, to GET and to DIVERT, and UNMARK is answered."""
        pair = Pair(window=1, eventBuffer=1000)
        pair.a.feed(manyFlows())
        pair.a.tell(pair.get, m.Credit(OP, m.Side.SOURCE, 0))
        pair.a.host.work()
        pair.a.feed(manyFlows(range(6), LATER, 9))
        (refused,) = pair.a.take(m.Refused)
        self.assertEqual((0, Refusal.BUFFER_FULL), (refused.request, refused.refusal))
        for command in (pair.get, m.Divert(OP, TOKEN)):
            self.assertEqual([refused], again(pair.a, command))
        self.assertEqual([m.Unmarked(OP, 0, 0)], again(pair.a, m.Unmark(OP, False)))

    def test_refusedFrames(self) -> None:
        """A frame that a destination could not apply is refused again with PREPARE, HOLD and COMMIT."""
        pair = Pair().installed()
        pair.b.feed(manyFlows((0,), LATER))
        pair.b.tell(m.Hold(OP, TOKEN))
        pair.a.tell(m.Divert(OP, TOKEN))
        pair.relay()
        (refused,) = pair.b.take(m.Refused)
        self.assertEqual(Refusal.CONFLICTING_RECORD, refused.refusal)
        for command in (pair.prepare, m.Hold(OP, TOKEN)):
            self.assertEqual(refused, again(pair.b, command)[-1])

    def test_commitRefused(self) -> None:
        """An engine that cannot commit: REFUSED(COMMIT), again and again, and nothing is owned, lease or not."""
        pair = Pair().confirmed()

        def commit(operation: int) -> int:
            raise OperationError(Refusal.BUFFER_FULL, "the table is full")

        pair.b.engine.commit = commit  # type: ignore[method-assign]
        pair.b.tell(m.Commit(OP))
        pair.b.mark(LATER)
        (refused,) = pair.b.take(m.Refused)
        self.assertEqual((m.MessageType.COMMIT, Refusal.BUFFER_FULL), (refused.request, refused.refusal))
        del pair.b.engine.commit
        self.assertEqual([refused], again(pair.b, m.Commit(OP)))
        operation(pair.b).orphaned()
        self.assertEqual((0, 0), (pair.b.host.operations, records(pair.b)))

    def test_ended(self) -> None:
        """An operation that is over here is not begun again, nor committed, until it was closed."""
        pair = Pair().confirmed()
        pair.b.tell(m.Discard(OP, False))
        for command, request in ((pair.prepare, m.MessageType.PREPARE), (m.Commit(OP), m.MessageType.COMMIT)):
            (refused,) = again(pair.b, command)
            assert isinstance(refused, m.Refused)
            self.assertEqual((request, Refusal.WRONG_STATE), (refused.request, refused.refusal))
        pair.b.tell(m.Close(OP))
        (prepared,) = again(pair.b, pair.prepare)
        self.assertEqual(m.Prepared(OP, pair.b.nonce), prepared)


class StreamsTests(SynchronousTestCase):
    """Frames and credit that are lost."""

    def test_resumed(self) -> None:
        """Frames that were lost come again; duplicates change nothing and are answered with the old credit."""
        pair = Pair()
        pair.a.feed(manyFlows())
        pair.b.tell(pair.prepare)
        pair.a.tell(pair.get)
        while pair.a.host.work():
            pass
        pair.b.tell(*pair.a.take(m.StreamFrame)[:2])
        received = pair.b.host.hello().operations[0].received
        self.assertEqual(1, received)
        for number in (received, -1):
            pair.a.tell(m.Resume(OP, m.Side.SOURCE, number))
            pair.b.tell(*pair.a.take(m.StreamFrame))
        self.assertEqual(6, pair.b.take(m.Installed)[0].records)
        pair.b.host.timePassed(0.0)
        last = pair.b.host.hello().operations[0].received
        self.assertEqual([m.Credit(OP, m.Side.SOURCE, last)], pair.b.take(m.Credit))

    def test_resumeOfTheOtherEnd(self) -> None:
        """RESUME for the stream of the other side, or of an operation that is not known, sends nothing."""
        pair = Pair().installed()
        pair.a.feed(manyFlows((0,), LATER))
        pair.a.sent.clear()
        pair.a.tell(m.Resume(OP, m.Side.DESTINATION, -1), m.Resume(OP + 1, m.Side.SOURCE, -1))
        self.assertEqual([], pair.a.sent)

    def test_creditRepeated(self) -> None:
        """A receiver that is connected again repeats its credit, also of an operation that has ended."""
        pair = Pair().installed()
        last = pair.b.host.hello().operations[0].received
        pair.b.host.timePassed(0.0)
        pair.b.sent.clear()
        pair.b.host.connectionLost()
        pair.b.host.connectionMade()
        self.assertEqual([m.Credit(OP, m.Side.SOURCE, last)], pair.b.sent)
        pair.b.tell(m.Discard(OP, False))
        pair.b.sent.clear()
        pair.b.host.connectionMade()
        self.assertEqual([m.Credit(OP, m.Side.SOURCE, last)], pair.b.sent)

    def test_creditRepeatedForBoth(self) -> None:
        """RESUME says that the other end is there too: credit comes again, also of an operation that has ended."""
        pair = Pair().installed()
        last = pair.b.host.hello().operations[0].received
        pair.b.host.timePassed(0.0)
        pair.b.sent.clear()
        pair.b.tell(m.Resume(OP, m.Side.DESTINATION, -1))
        pair.b.host.timePassed(0.0)
        self.assertEqual([m.Credit(OP, m.Side.SOURCE, last)], pair.b.sent)
        pair.b.tell(m.Discard(OP, False))
        pair.b.sent.clear()
        pair.b.tell(m.Resume(OP, m.Side.DESTINATION, -1))
        self.assertEqual([m.Credit(OP, m.Side.SOURCE, last)], pair.b.sent)

    def test_withheldStaysWithheld(self) -> None:
        """Neither a duplicate nor a new connection acknowledges what is still being withheld."""
        pair = Pair(redirectBytes=100).confirmed()
        pair.tick()
        pair.a.feed(manyFlows(start=LATER))
        frames = pair.a.take(m.StreamFrame)
        pair.b.tell(*frames)
        pair.b.host.connectionMade()
        pair.b.tell(*frames)
        pair.b.host.timePassed(0.0)
        self.assertTrue(all(credit.number < frames[-1].number for credit in pair.b.take(m.Credit)))

    def test_lateFramesLost(self) -> None:
        """Late packets without credit are waited for while there is a controller, then counted as lost."""
        pair = Pair().merged()
        pair.a.tell(m.Delete(OP, 100))
        pair.a.feed(manyFlows((0,), LATER))
        alone(pair.a, 0.2)
        self.assertEqual("closing", operation(pair.a).state.value)
        pair.a.host.connectionLost()
        alone(pair.a, 60.0)
        self.assertEqual([], pair.a.take(m.WindowClosed))
        pair.a.host.connectionMade()
        alone(pair.a, 4.9)
        self.assertEqual([], pair.a.take(m.WindowClosed))
        alone(pair.a, 0.2)
        self.assertEqual([m.WindowClosed(OP, 4, 4)], pair.a.take(m.WindowClosed))

    def test_closingTakesNothing(self) -> None:
        """After the window packets are the source's own again, acknowledged or not."""
        pair = Pair().merged()
        pair.a.tell(m.Delete(OP, 100))
        pair.a.feed(manyFlows((0,), LATER))
        alone(pair.a, 0.2)
        pair.a.feed(manyFlows((1,), LATER))
        self.assertEqual(1, records(pair.a))
