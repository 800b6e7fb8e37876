"""Operations outlive lost connections and restarts of the controller (docs/recovery.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.journal import SQLiteJournal
from openmb.controller.performer import MovePerformer
from openmb.controller.returning import reminders
from openmb.errors import ConfigurationError, Refusal
from openmb.operations.journal import Step
from openmb.operations.values import MoveReport, MoveSettings, Stage
from openmb.wire import messages as m
from tests.controller.rig import NONCE, OP, Rig, hello, routeTo

SOURCE, DESTINATION = m.Side.SOURCE, m.Side.DESTINATION


class LostConnectionTests(SynchronousTestCase):
    """A lost connection suspends: the last command is repeated, the streams are resumed."""

    def setUp(self) -> None:
        self.rig = Rig()
        self.move = self.rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        for milestone in (self.move.installed, self.move.moved, self.move.finished):
            milestone.wait().addErrback(lambda failure: None)

    def lose(self, *names: str) -> None:
        for name in names:
            self.rig.controller.sessionClosed(self.rig.sessions[name])

    def test_everyCommand(self) -> None:
        """In each state the side that was away gets its last command once more."""
        rig = self.rig
        for says, answer, last in (
            ("b", m.Prepared(OP, NONCE), ("b", "Prepare")),
            ("a", m.Getting(OP), ("a", "Get")),
            ("b", m.Installed(OP, 5, 500, 2), ("b", "Hold")),
            ("b", m.Holding(OP), ("a", "Divert")),
            ("b", m.DivertConfirmed(OP, 2), ("b", "Hold")),
        ):
            rig.says(says, answer)
            name, command = last
            self.lose(name)
            rig.back(name, DESTINATION if name == "b" else SOURCE)
            self.assertIn(command, rig.types(name))
        self.assertIsNone(self.move.report.refusal)

    def test_commandToNobody(self) -> None:
        """A command for a middlebox that is away reaches it when it returns."""
        self.rig.installed()
        self.lose("a")
        self.rig.says("b", m.Holding(OP))
        self.assertNotIn("Divert", self.rig.types("a"))
        self.rig.back("a", SOURCE, "tapping")
        self.assertEqual("Divert", self.rig.types("a")[0])

    def test_streamsResume(self) -> None:
        """RESUME names what the receiver has; it goes out once both are connected."""
        self.rig.installed()
        self.lose("a", "b")
        self.rig.back("a", SOURCE, "tapping", received=3)
        self.assertNotIn("Resume", self.rig.types("a"))
        self.rig.back("b", DESTINATION, "receiving", received=41)
        self.assertEqual(m.Resume(OP, SOURCE, 41), self.rig.sent["a"][-1])
        self.assertEqual(m.Resume(OP, DESTINATION, 3), self.rig.sent["b"][-1])

    def test_answersTwice(self) -> None:
        """An answer that is repeated is not a new fact, whatever has happened since."""
        self.rig.routing()
        self.rig.says("b", m.Prepared(OP, NONCE), m.Installed(OP, 9, 9, 9), m.Holding(OP), m.DivertConfirmed(OP, 9))
        self.assertEqual((5, None), (self.move.report.records, self.move.report.refusal))
        self.assertEqual(1, len(self.rig.network.asked))

    def test_graceEnds(self) -> None:
        """Who stays away for the grace time is dead for the operation; before that nothing happens."""
        self.rig.says("b", m.Prepared(OP, NONCE))
        self.lose("a")
        self.rig.clock.advance(self.move.request.settings.grace - 0.1)
        self.assertIsNone(self.move.report.refusal)
        self.rig.clock.advance(0.2)
        self.assertEqual(Refusal.PEER_DIED, self.move.report.refusal)
        self.assertEqual("Discard", self.rig.types("b")[-1])

    def test_graceEndsWithTheReturn(self) -> None:
        """Who has returned in time is not taken for dead later."""
        self.rig.installed()
        self.lose("a")
        self.rig.clock.advance(5)
        self.rig.back("a", SOURCE, "tapping")
        self.rig.says("b", m.Holding(OP))
        self.rig.clock.advance(9.9)
        self.rig.says("b", m.DivertConfirmed(OP, 0))
        self.rig.clock.advance(9.9)
        self.assertIsNone(self.move.report.refusal)

    def test_ownerHasMoreTime(self) -> None:
        """After COMMIT the destination may own the records: COMMIT is repeated, until its deadline."""
        self.rig.committing()
        self.lose("b")
        self.rig.clock.advance(20)
        self.assertIsNone(self.move.report.refusal)
        self.rig.back("b", DESTINATION, "confirmed")
        self.assertEqual("Commit", self.rig.types("b")[0])
        self.rig.says("b", m.Committed(OP, 5), m.Merged(OP, 1, 1, 0, 9, 0))
        self.assertEqual("Delete", self.rig.types("a")[-1])
        self.assertIsNone(self.move.report.refusal)

    def test_nobodyToCommit(self) -> None:
        """A destination that is away when the route has changed is told to commit when it returns, and not before."""
        self.rig.routing()
        self.lose("b")
        self.rig.network.asked[0][2].callback(None)
        self.assertNotIn(Step.COMMIT, [entry.step for entry in self.rig.journal.entries])
        self.assertEqual([], self.rig.network.markers)
        self.rig.back("b", DESTINATION, "confirmed")
        self.assertEqual("Commit", self.rig.types("b")[-1])
        self.assertEqual(Step.COMMIT, self.rig.journal.entries[-1].step)

    def test_nobodyToCommitAnyMore(self) -> None:
        """If another one comes in its place the route goes back, and the source with its records goes on."""
        self.rig.routing()
        self.lose("b")
        self.rig.network.asked[0][2].callback(None)
        self.rig.connect(replace(hello("b"), incarnation=b"z" * 16))
        self.assertEqual((Refusal.PEER_DIED, "Unmark"), (self.move.report.refusal, self.rig.types("a")[-1]))
        self.assertEqual("unroute", self.rig.network.asked[-1][0])
        self.rig.network.asked[-1][2].callback(None)
        self.rig.says("a", m.Unmarked(OP, 3, 0))
        self.assertEqual((Stage.ABORTED, []), (self.move.report.stage, self.rig.types("b")))

    def test_ownerStaysAway(self) -> None:
        self.rig.committing()
        self.lose("b")
        self.rig.clock.advance(30.1)
        self.assertEqual(Refusal.DEADLINE, self.move.report.refusal)
        self.assertEqual("Delete", self.rig.types("a")[-1])

    def test_sourceGoneIsRepeatedToo(self) -> None:
        """SOURCE_GONE does not stand for COMMIT: both are repeated."""
        self.rig.committing()
        self.lose("a", "b")
        self.rig.connect(replace(hello("a"), incarnation=b"z" * 16))
        self.rig.back("b", DESTINATION, "confirmed")
        self.assertEqual(["Commit", "SourceGone"], self.rig.types("b")[:2])

    def test_gaveUp(self) -> None:
        """A middlebox that returns without the operation has given it up: it is aborted."""
        self.rig.installed()
        self.lose("a")
        self.rig.back("a", None)
        self.assertEqual(Refusal.WRONG_STATE, self.move.report.refusal)
        self.assertIn("Discard", self.rig.types("b"))

    def test_neverHeardOfIt(self) -> None:
        """One that never got the first command is not one that gave up."""
        self.lose("b")
        self.rig.back("b", None)
        self.assertIsNone(self.move.report.refusal)
        self.assertEqual("Prepare", self.rig.types("b")[0])

    def test_newIncarnationOfTheSource(self) -> None:
        """After its vote a source that died is committed for, without it."""
        self.rig.routing()
        self.lose("a")
        self.rig.connect(replace(hello("a"), incarnation=b"z" * 16))
        self.rig.network.asked[0][2].callback(None)
        self.assertEqual(["Commit", "SourceGone"], self.rig.types("b")[-2:])


class RestartTests(SynchronousTestCase):
    """What a restarted controller does, by the last entry of its journal."""

    def begun(self, until: str) -> Rig:
        """A controller that was killed when a move had come so far, and started again."""
        rig = Rig()
        rig.network.present = routeTo("a")
        move = rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        for milestone in (move.installed, move.moved, move.finished):
            milestone.wait().addErrback(lambda failure: None)
        if until != "open":
            {"installed": rig.installed, "routing": rig.routing}.get(until, rig.committing)()
        if until in ("draining", "deleting", "closed"):
            rig.says("b", m.Committed(OP, 5))
        if until in ("deleting", "closed"):
            rig.says("b", m.Merged(OP, 1, 1, 0, 9, 0))
        if until == "closed":
            rig.says("a", m.Deleted(OP, 5, 0), m.WindowClosed(OP, 0, 0))
        rig.restart()
        return rig

    def only(self, rig: Rig) -> MovePerformer:
        (move,) = rig.controller.moves
        self.assertTrue(move.report.recovered)
        move.finished.wait().addErrback(lambda failure: None)
        return move

    def both(self, rig: Rig, source: str = "diverted", destination: str = "confirmed") -> None:
        rig.back("a", SOURCE, source)
        rig.back("b", DESTINATION, destination)

    def test_undecided(self) -> None:
        """Before the network was asked: abort at both, as they return."""
        for until in ("open", "installed"):
            rig = self.begun(until)
            move = self.only(rig)
            self.assertEqual(Step.ABORT, rig.journal.entries[-1].step)
            self.both(rig, "tapping", "receiving")
            self.assertEqual(("Unmark", "Discard"), (rig.types("a")[0], rig.types("b")[0]))
            rig.says("b", m.Discarded(OP, 0))
            rig.says("a", m.Unmarked(OP, 0, 0))
            self.assertEqual((Stage.ABORTED, ()), (move.report.stage, rig.controller.moves))

    def test_routeIsAskedAgain(self) -> None:
        """The network may have been asked: with both ends there it is asked again, and the operation goes on."""
        rig = self.begun("routing")
        move = self.only(rig)
        rig.back("a", SOURCE, "diverted")
        self.assertEqual([], rig.network.asked)
        rig.back("b", DESTINATION, "confirmed")
        ((kind, route, answer),) = rig.network.asked
        self.assertEqual(("route", routeTo("b")), (kind, route))
        answer.callback(None)
        self.assertEqual((Step.COMMIT, routeTo("a")), (rig.journal.entries[-1].step, rig.journal.entries[-1].previous))
        rig.says("b", m.Committed(OP, 5), m.Merged(OP, 1, 1, 0, 9, 0))
        rig.says("a", m.Deleted(OP, 5, 0), m.WindowClosed(OP, 0, 0))
        self.assertEqual((Stage.FINISHED, None), (move.report.stage, move.report.refusal))

    def test_routeWithANewDestination(self) -> None:
        """Its records are gone: the old route, as the journal has it."""
        rig = self.begun("routing")
        rig.back("a", SOURCE, "diverted")
        rig.connect(replace(hello("b"), incarnation=b"z" * 16))
        self.assertEqual(("route", routeTo("a")), rig.network.asked[0][:2])
        self.assertEqual(m.Unmark(OP, False), rig.sent["a"][-1])

    def test_routeWithANewSource(self) -> None:
        """Its vote was given: asked again, and committed without it."""
        rig = self.begun("routing")
        rig.connect(replace(hello("a"), incarnation=b"z" * 16))
        rig.back("b", DESTINATION, "confirmed")
        rig.network.asked[0][2].callback(None)
        self.assertEqual(["Commit", "SourceGone"], [name for name in rig.types("b") if name not in ("Resume", "Hold")])

    def test_routeWithASourceThatWentAlone(self) -> None:
        """It has given the operation up: nobody commits, the old route comes back."""
        rig = self.begun("routing")
        rig.back("b", DESTINATION, "confirmed")
        rig.back("a", None)
        self.assertEqual([("route", routeTo("a"))], [asked[:2] for asked in rig.network.asked])
        self.assertNotIn("Commit", rig.types("b"))

    def test_routeAndNobodyReturns(self) -> None:
        """Both are taken for dead after the grace time; the old route comes back, and the operation ends."""
        rig = self.begun("routing")
        move = self.only(rig)
        rig.clock.advance(move.request.settings.grace)
        self.assertEqual(("route", routeTo("a")), rig.network.asked[0][:2])
        rig.network.asked[0][2].callback(None)
        self.assertEqual(Stage.ABORTED, move.report.stage)
        self.assertEqual([], rig.clock.getDelayedCalls())

    def test_commitIsRepeated(self) -> None:
        """COMMIT again, markers again, and never an abort."""
        for until in ("committing", "draining"):
            rig = self.begun(until)
            move = self.only(rig)
            self.both(rig)
            self.assertEqual("Commit", rig.types("b")[0])
            rig.controller.shutDown()
            rig.clock.advance(0.01)
            self.assertEqual((False, ("a", "b")), rig.network.markers[-1])
            rig.clock.advance(rig.network.settle)
            self.assertEqual((True, ("a", "b")), rig.network.markers[-1])
            rig.says("b", m.Committed(OP, 5), m.Merged(OP, 1, 1, 0, 9, 0))
            rig.says("a", m.Deleted(OP, 5, 0), m.WindowClosed(OP, 0, 0))
            self.assertEqual((Stage.FINISHED, None), (move.report.stage, move.report.refusal))
            self.assertEqual([], rig.network.asked)

    def test_deleteIsRepeated(self) -> None:
        rig = self.begun("deleting")
        move = self.only(rig)
        self.both(rig, "diverted", "merged")
        self.assertEqual("Delete", rig.types("a")[0])
        rig.says("a", m.Deleted(OP, 5, 0), m.WindowClosed(OP, 0, 0))
        self.assertEqual(Stage.FINISHED, move.report.stage)

    def test_backAgain(self) -> None:
        """A set-back that was under way is asked for again, then both ends are told."""
        rig = Rig()
        rig.network.present = routeTo("a")
        rig.controller.startMove("a", "b", "tcp", routeTo("b")).installed.wait().addErrback(lambda failure: None)
        rig.routing()
        rig.says("b", m.Refused(OP, 0, Refusal.BUFFER_FULL, "no room"))
        self.assertEqual(Step.BACK, rig.journal.entries[-1].step)
        rig.restart()
        self.both(rig)
        ((kind, route, answer),) = rig.network.asked
        self.assertEqual(("route", routeTo("a")), (kind, route))
        answer.callback(None)
        self.assertEqual((m.Unmark(OP, True), m.Discard(OP, True)), (rig.sent["a"][-1], rig.sent["b"][-1]))

    def test_outcomesAreRemembered(self) -> None:
        """Who comes back after the restart with an operation that was over before is told how it ended."""
        rig = self.begun("closed")
        self.assertEqual((), rig.controller.moves)
        rig.back("a", SOURCE, "window")
        self.assertEqual([m.Delete(OP, 0), m.Close(OP)], rig.sent["a"])

    def test_historyKept(self) -> None:
        """Ends, flows, counts, reason and times of what is over are the same after a restart, by a real journal too."""
        path = Path(self.mktemp())
        rig = Rig(SQLiteJournal(path))
        move = rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        for milestone in (move.installed, move.moved, move.finished):
            milestone.wait().addErrback(lambda failure: None)
        rig.says("b", m.Prepared(OP, NONCE))
        rig.says("a", m.Getting(OP))
        rig.says("b", m.Installed(OP, 5, 500, 2))
        move.abort("no longer wanted")
        rig.says("b", m.Discarded(OP, 0))
        rig.says("a", m.Unmarked(OP, 0, 0))
        (before,) = rig.controller.history
        self.assertEqual(("a", "b", "tcp"), (before.source, before.destination, before.flows))
        report = before.report
        self.assertEqual((5, Refusal.ABORTED, "no longer wanted"), (report.records, report.refusal, report.reason))
        rig.journal.close()
        rig.journal = SQLiteJournal(path)
        self.addCleanup(rig.journal.close)
        rig.restart()
        (after,) = rig.controller.history
        self.assertEqual(replace(before, began=0, ended=0), replace(after, began=0, ended=0))
        self.assertTrue(0 < after.began <= after.ended)

    def test_flowsStayTaken(self) -> None:
        """An operation that is taken up keeps others from its flows."""
        rig = self.begun("committing")
        self.both(rig)
        with self.assertRaisesRegex(Exception, "is moving tcp"):
            rig.controller.startMove("a", "b", "tcp,tp_dst=80")


class ReminderTests(SynchronousTestCase):
    """What tells an end how an operation ended."""

    def test_everyCase(self) -> None:
        for side, aborted, expected in (
            (SOURCE, True, (m.Unmark(OP, False),)),
            (SOURCE, False, (m.Delete(OP, 0),)),
            (DESTINATION, True, (m.Discard(OP, False),)),
            (DESTINATION, False, (m.Commit(OP), m.SourceGone(OP))),
        ):
            report = MoveReport(OP, Stage.ABORTED if aborted else Stage.MOVED)
            self.assertEqual(expected, reminders(m.OperationStatus(OP, side, "x", 0, 0), report))

    def test_nobodyRemembers(self) -> None:
        self.assertEqual((), reminders(m.OperationStatus(OP, SOURCE, "x", 0, 0), None))


class SettingsTests(SynchronousTestCase):
    """The two leases are ordered, or there is no controller."""

    def test_leases(self) -> None:
        with self.assertRaises(ConfigurationError):
            MoveSettings(destinationLease=60, sourceLease=79)
        with self.assertRaises(ConfigurationError):
            MoveSettings(destinationLease=90, sourceLease=60)
        self.assertGreater(MoveSettings().sourceLease, MoveSettings().destinationLease)
