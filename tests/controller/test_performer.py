"""One move under way: messages, markers, deadlines, the network's answers."""

from __future__ import annotations

from dataclasses import fields

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.markers import INTERVAL as MARKER_INTERVAL
from openmb.controller.performer import MovePerformer
from openmb.errors import OperationError, Refusal
from openmb.operations.values import Deadlines, Stage
from openmb.wire import messages as m
from tests.controller.rig import NONCE, OP, TOKEN, Rig, routeTo


class PerformerTests(SynchronousTestCase):
    """A move from a to b, with its route given at the start."""

    def setUp(self) -> None:
        self.rig = Rig()
        self.move = self.rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        self.moved, self.finished = self.move.moved.wait(), self.move.finished.wait()
        for each in (self.moved, self.finished):
            each.addErrback(lambda failure: failure.value)

    def test_wholeMove(self) -> None:
        """Every message in its turn; the report adds everything up; no call is left."""
        self.rig.committing()
        self.rig.says("b", m.Committed(OP, 5), m.Merged(OP, 4, 3, 0, 1000, 0))
        self.rig.says("a", m.Deleted(OP, 5, 4))
        self.assertEqual(Stage.MOVED, self.successResultOf(self.moved).stage)
        self.rig.says("a", m.WindowClosed(OP, 2, 0))
        report = self.successResultOf(self.finished)
        self.assertEqual((5, 3, 4, 3, 2, 5), _counts(report))
        self.assertEqual(["Get", "Divert", "Delete", "Close"], self.rig.types("a"))
        self.assertEqual(["Prepare", "Hold", "Commit", "Close"], self.rig.types("b"))
        self.assertEqual(([], ()), (self.rig.clock.getDelayedCalls(), self.rig.controller.moves))

    def test_switchOverByWhoeverWaits(self) -> None:
        """C{moveInternal} without a route, then C{switchOver} at once: the documented way."""
        rig = Rig()

        async def application() -> MovePerformer:
            move = await rig.controller.moveInternal("a", "b", "tcp")
            move.switchOver(routeTo("b"))
            return move

        waiting = Deferred.fromCoroutine(application())
        rig.installed()
        move = self.successResultOf(waiting)
        self.assertEqual(Stage.SWITCHING, move.report.stage)
        rig.says("b", m.Holding(OP))
        self.assertEqual(["Get", "Divert"], rig.types("a"))
        self.assertRaises(OperationError, move.switchOver, routeTo("b"))

    def test_finalOnlyAfterSettle(self) -> None:
        """Markers go down both paths every few milliseconds, final ones only once the network has settled."""
        self.rig.committing()
        self.rig.clock.pump([MARKER_INTERVAL] * 100)
        self.assertTrue(self.rig.network.markers)
        self.assertEqual({(False, ("a", "b"))}, set(self.rig.network.markers))
        self.rig.clock.pump([MARKER_INTERVAL] * 30)
        self.assertEqual((True, ("a", "b")), self.rig.network.markers[-1])
        finals = [final for final, _ in self.rig.network.markers]
        self.assertEqual(finals, sorted(finals))
        self.assertGreaterEqual(finals.index(True) * MARKER_INTERVAL, self.rig.network.settle - MARKER_INTERVAL)

    def test_markersEnd(self) -> None:
        """After MERGED there are no more markers."""
        self.rig.committing()
        self.rig.says("b", m.Committed(OP, 5), m.Merged(OP, 0, 0, 0, 0, 0))
        count = len(self.rig.network.markers)
        self.rig.clock.pump([MARKER_INTERVAL] * 10)
        self.assertEqual(count, len(self.rig.network.markers))

    def test_deadlineNames(self) -> None:
        """Each wait has its own deadline, of the length that the settings name."""
        waits = Deadlines(*(float(1000 + place) for place in range(len(fields(Deadlines)))))
        seen: list[float] = []
        for act in (lambda: None, lambda: self.rig.says("b", m.Prepared(OP, NONCE))):
            act()
            seen += [call.getTime() for call in self.rig.clock.getDelayedCalls()]
        defaults = Deadlines()
        self.assertEqual([defaults.prepare, defaults.transfer], seen)
        self.assertEqual(1000.0, waits.prepare)

    def test_noAnswer(self) -> None:
        """Nobody answers: the deadline undoes both, the next one gives up waiting, and the caller learns why."""
        self.rig.clock.advance(10)
        self.assertEqual(["Prepare", "Discard"], self.rig.types("b"))
        self.rig.clock.advance(30)
        error = self.successResultOf(self.moved)
        self.assertIsInstance(error, OperationError)
        self.assertEqual(Refusal.DEADLINE, error.refusal)
        self.assertIn("while preparing", error.reason)
        self.assertIn("destination b is connected", error.reason)
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_sourceGoneSwitching(self) -> None:
        """The source dies while it is to divert: the reason names it and the step, by its death or the deadline."""
        self.rig.installed()
        self.rig.says("b", m.Holding(OP))
        self.rig.controller.sessionClosed(self.rig.sessions["a"])
        self.rig.clock.pump([1.0] * 60)
        reason = self.move.report.reason
        self.assertIn(self.move.report.refusal, (Refusal.DEADLINE, Refusal.PEER_DIED))
        self.assertIn("while diverting", reason)
        self.assertRegex(reason, "source a is (dead|not connected)")

    def test_setBackWaits(self) -> None:
        """What was asked first is answered first: only then the old route is asked for, and then the source goes on."""
        old = self.rig.network.present = routeTo("a")
        self.rig.routing()
        self.move.abort("changed my mind")
        self.assertEqual(1, len(self.rig.network.asked))
        self.rig.network.asked[0][2].callback(old)
        self.assertEqual(("route", old), self.rig.network.asked[1][:2])
        self.assertNotIn("Unmark", self.rig.types("a"))
        self.rig.network.asked[1][2].callback(None)
        self.assertEqual(m.Unmark(OP, True), self.rig.sent["a"][-1])
        self.assertEqual(m.Discard(OP, True), self.rig.sent["b"][-1])
        self.assertEqual((False, ("b",)), self.rig.network.markers[-1])
        self.rig.says("b", m.Discarded(OP, 0))
        self.rig.says("a", m.Unmarked(OP, 0, 0))
        self.assertEqual(Refusal.ABORTED, self.successResultOf(self.moved).refusal)

    def test_returnedUnheard(self) -> None:
        """What was given back to a source that never says it has it may be lost; the report says so."""
        for answers, lost in (((), 7), ((m.Unmarked(OP, 7, 2),), 2)):
            self.setUp()
            self.rig.routing()
            self.move.abort("changed my mind")
            self.rig.network.asked[0][2].callback(None)
            self.rig.network.asked[1][2].callback(None)
            self.rig.says("a", *answers)
            self.rig.says("b", m.Discarded(OP, 7))
            self.rig.clock.advance(100)
            report = self.move.report
            self.assertEqual((Stage.ABORTED, 7, lost), (report.stage, report.returned, report.lost))

    def test_setBackAgain(self) -> None:
        """A network that cannot be reached for a while is asked again; meanwhile the source does not go on."""
        old = self.rig.network.present = routeTo("a")
        self.rig.routing()
        self.move.abort("changed my mind")
        self.rig.network.asked[0][2].callback(old)
        for attempt in range(1, 4):
            self.assertEqual(("route", old), self.rig.network.asked[attempt][:2])
            self.rig.network.asked[attempt][2].errback(OperationError(Refusal.DISCONNECTED, "no switch"))
            self.assertNotIn("Unmark", self.rig.types("a"))
            self.rig.clock.advance(0.2)
        self.rig.network.asked[4][2].callback(None)
        self.assertEqual(m.Unmark(OP, True), self.rig.sent["a"][-1])

    def test_setBackRemoves(self) -> None:
        """A new rule that replaced none is removed again."""
        self.rig.routing()
        self.move.abort("changed my mind")
        self.rig.network.asked[0][2].callback(None)
        self.assertEqual("unroute", self.rig.network.asked[1][0])

    def test_answerLost(self) -> None:
        """A route whose answer is lost may be in effect: the rule from before is asked for again."""
        old = self.rig.network.present = routeTo("a")
        self.rig.routing()
        self.rig.network.asked[0][2].errback(OperationError(Refusal.DISCONNECTED, "the switch closed the connection"))
        self.assertEqual(("route", old), self.rig.network.asked[1][:2])

    def test_commitRefused(self) -> None:
        """A destination that refuses COMMIT owns nothing: the route goes back, the source goes on."""
        self.rig.committing()
        self.rig.says("b", m.Refused(OP, m.MessageType.COMMIT, Refusal.WRONG_STATE, "not now"))
        self.assertEqual("unroute", self.rig.network.asked[1][0])
        self.rig.network.asked[1][2].callback(None)
        self.assertEqual("Unmark", self.rig.types("a")[-1])
        self.assertEqual("Discard", self.rig.types("b")[-1])

    def test_routeRefused(self) -> None:
        """A refused route changed nothing: nothing is asked back, both are undone."""
        self.rig.routing()
        self.rig.network.asked[0][2].errback(OperationError(Refusal.ROUTE_FAILED, "no port b"))
        self.assertEqual(1, len(self.rig.network.asked))
        self.assertEqual("Unmark", self.rig.types("a")[-1])
        self.assertEqual((Refusal.ROUTE_FAILED, "no port b"), (self.move.report.refusal, self.move.report.reason))

    def test_tooLateToAbort(self) -> None:
        """After COMMIT an abort is refused and changes nothing."""
        self.rig.committing()
        with self.assertRaises(OperationError) as caught:
            self.move.abort("changed my mind")
        self.assertEqual(Refusal.WRONG_STATE, caught.exception.refusal)
        self.assertEqual("Commit", self.rig.types("b")[-1])

    def test_journalFirst(self) -> None:
        """COMMIT is in the journal, with the route, before it is sent."""
        self.rig.network.present = routeTo("a")
        self.rig.committing()
        entries = self.rig.journal.entries
        self.assertEqual(["open", "switching", "route", "commit"], [entry.step.value for entry in entries])
        self.assertEqual([None, None, routeTo("b"), routeTo("b")], [entry.route for entry in entries])
        self.assertEqual([None, None, routeTo("a"), routeTo("a")], [entry.previous for entry in entries])
        self.assertEqual({TOKEN}, {entry.token for entry in entries})

    def test_routeNotJournalled(self) -> None:
        """A route that cannot be written down is not asked for, and nothing is asked back."""
        self.rig.journal.broken = True
        self.rig.routing()
        self.assertEqual([], self.rig.network.asked)
        self.assertEqual(("Unmark", "Discard"), (self.rig.types("a")[-1], self.rig.types("b")[-1]))
        self.assertEqual(Refusal.ROUTE_FAILED, self.move.report.refusal)
        self.assertIn("journal", self.move.report.reason)

    def test_commitNotJournalled(self) -> None:
        """A COMMIT that cannot be written down is not sent; the old route is asked for."""
        self.rig.routing()
        self.rig.journal.broken = True
        self.rig.network.asked[0][2].callback(None)
        self.assertNotIn("Commit", self.rig.types("b"))
        self.assertEqual("unroute", self.rig.network.asked[1][0])
        self.assertEqual(Refusal.JOURNAL_FAILED, self.move.report.refusal)

    def test_windowEnds(self) -> None:
        """A window that is never closed ends at its deadline, the late window's own length included."""
        self.rig.committing()
        self.rig.says("b", m.Committed(OP, 5), m.Merged(OP, 0, 0, 0, 0, 0))
        self.rig.says("a", m.Deleted(OP, 5, 0))
        self.rig.clock.advance(31.9)
        self.assertNoResult(self.finished)
        self.rig.clock.advance(0.2)
        self.assertEqual(Stage.FINISHED, self.successResultOf(self.finished).stage)


def _counts(report: object) -> tuple[int, ...]:
    names = ("records", "reprocessed", "redirected", "held", "late", "deleted")
    return tuple(int(getattr(report, name)) for name in names)
