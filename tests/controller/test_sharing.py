"""Clones and merges at the controller: messages, deadlines, deaths, restarts."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.sharing import SharedPerformer
from openmb.errors import OperationError, Refusal
from openmb.operations.journal import Step
from openmb.operations.values import MoveReport, Stage
from openmb.state.taxonomy import Cell
from openmb.wire import messages as m
from tests.controller.rig import LAYOUTS, NONCE, OP, Rig, hello, routeTo

SHARED = (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)
SOURCE, DESTINATION = m.Side.SOURCE, m.Side.DESTINATION


class SharedRig(Rig):
    """Three middleboxes with shared state."""

    def connect(self, said: m.Hello) -> None:  # type: ignore[override]
        layouts = (*LAYOUTS, *(m.LayoutVersion(cell, 10 + cell, 1) for cell in SHARED))
        super().connect(replace(said, layouts=layouts))

    def arrived(self) -> None:
        """Everything was copied or taken, and is at the destination."""
        self.says("b", m.Prepared(OP, NONCE))
        self.says("a", m.Getting(OP))
        self.says("b", m.Installed(OP, 5, 500, 0))

    def confirmed(self) -> None:
        """The source has voted, and the destination has everything."""
        self.says("b", m.FinishConfirmed(OP, 3, 2))

    def steps(self) -> list[Step]:
        return [entry.step for entry in self.journal.entries]


class SharedTests(SynchronousTestCase):
    """One operation from a to b."""

    def setUp(self) -> None:
        self.rig = SharedRig()
        self.begin()

    def begin(self, sort: m.Sort = m.Sort.MERGE) -> SharedPerformer:
        self.performer = self.rig.controller.startShared(sort, "a", "b")
        self.over = self.performer.finished.wait()
        self.over.addErrback(lambda failure: failure.value)
        return self.performer

    def failure(self) -> OperationError:
        """Why it has failed."""
        error = self.successResultOf(self.over)
        assert isinstance(error, OperationError)
        return error

    def report(self) -> MoveReport:
        """What it did; nothing is left of it."""
        report = self.successResultOf(self.over)
        assert isinstance(report, MoveReport), report
        self.assertEqual(([], ()), (self.rig.clock.getDelayedCalls(), self.rig.controller.operations))
        return report

    def clone(self) -> SharedPerformer:
        """A clone instead."""
        self.rig = SharedRig()
        return self.begin(m.Sort.CLONE)


class ForwardTests(SharedTests):
    """What is told to whom, and written before."""

    def test_merge(self) -> None:
        """Every message in its turn; COMMIT and what follows it are in the journal before."""
        self.rig.arrived()
        self.rig.confirmed()
        self.assertEqual([Step.OPEN, Step.COMMIT], self.rig.steps())
        self.rig.says("b", m.Committed(OP, 4))
        self.rig.says("a", m.Deleted(OP, 5, 0))
        report = self.report()
        self.assertEqual((Stage.FINISHED, 5, 3, 2, 4, 5), _counts(report))
        self.assertEqual(["Get", "Finish", "Delete", "Close"], self.rig.types("a"))
        self.assertEqual(["Prepare", "Commit", "Close"], self.rig.types("b"))
        self.assertEqual([Step.OPEN, Step.COMMIT, Step.COMMITTED, Step.CLOSED], self.rig.steps())
        for message in (self.rig.sent["b"][0], self.rig.sent["a"][0]):
            assert isinstance(message, m.Prepare | m.Get)
            self.assertEqual((m.Sort.MERGE, SHARED, "*"), (message.sort, message.cells, message.flows))

    def test_clone(self) -> None:
        """It goes on for as long as the application wants, and takes supporting state alone."""
        clone = self.clone()
        self.assertRaises(OperationError, clone.finish)
        self.rig.arrived()
        self.assertEqual(Stage.INSTALLED, self.successResultOf(clone.installed.wait()).stage)
        self.rig.clock.advance(3600)
        self.assertEqual(["Get"], self.rig.types("a"))
        get = self.rig.sent["a"][0]
        assert isinstance(get, m.Get)
        self.assertEqual((m.Sort.CLONE, (Cell.SUPPORTING_SHARED,)), (get.sort, get.cells))
        clone.finish()
        self.rig.confirmed()
        self.rig.says("b", m.Committed(OP, 4))
        self.rig.says("a", m.Deleted(OP, 0, 0))
        self.assertEqual(Stage.FINISHED, self.report().stage)

    def test_relay(self) -> None:
        """Frames and credit go through, as those of a move."""
        frame = m.StreamFrame(OP, SOURCE, 0, m.StreamType.OPENED, b"", b"x" * 16)
        self.rig.says("b", m.Prepared(OP, NONCE))
        self.rig.says("a", frame)
        self.rig.says("b", m.Credit(OP, SOURCE, 0))
        self.assertEqual(frame, self.rig.sent["b"][-1])
        self.assertEqual(["Get", "Credit"], self.rig.types("a"))

    def test_refusedAtOnce(self) -> None:
        """Who has no such state; the same middlebox; while anything else is under way between the two."""
        controller = self.rig.controller
        for sort in (m.Sort.CLONE, m.Sort.MERGE):
            with self.assertRaises(OperationError) as caught:
                Rig().controller.startShared(sort, "a", "b")
            self.assertEqual(Refusal.BAD_REQUEST, caught.exception.refusal)
            with self.assertRaises(OperationError):
                controller.startShared(sort, "a", "a")
        for sort, ends in ((m.Sort.MERGE, "ab"), (m.Sort.MERGE, "ba"), (m.Sort.CLONE, "ba")):
            with self.assertRaises(OperationError) as caught:
                controller.startShared(sort, *ends)
            self.assertEqual(Refusal.INTERSECTING_OPERATION, caught.exception.refusal)
        with self.assertRaises(OperationError):
            controller.startMove("a", "b", "tcp", routeTo("b"))
        controller.startShared(m.Sort.MERGE, "a", "c")

    def test_notWhileMoving(self) -> None:
        """A merge waits for the moves between the two; a clone does not."""
        rig = SharedRig()
        rig.controller.startMove("a", "b", "tcp")
        with self.assertRaises(OperationError):
            rig.controller.startShared(m.Sort.MERGE, "a", "b")
        rig.controller.startShared(m.Sort.CLONE, "a", "b")
        with self.assertRaises(OperationError):
            rig.controller.startShared(m.Sort.CLONE, "a", "b")


class BackTests(SharedTests):
    """What undoes it, and until when."""

    def undone(self, written: Step = Step.ABORT) -> None:
        """Both ends go back."""
        self.assertEqual(["Discard"], self.rig.types("b")[-1:])
        self.assertEqual(["Unmark"], self.rig.types("a")[-1:])
        self.rig.says("b", m.Discarded(OP, 0))
        self.rig.says("a", m.Unmarked(OP, 0, 0))
        self.assertEqual([written, Step.CLOSED], self.rig.steps()[-2:])
        self.assertEqual(([], ()), (self.rig.clock.getDelayedCalls(), self.rig.controller.operations))

    def test_abort(self) -> None:
        """At any time before COMMIT, and not after it."""
        for hasArrived in (False, True):
            self.rig = SharedRig()
            performer = self.begin()
            if hasArrived:
                self.rig.arrived()
            performer.abort("no longer wanted")
            self.undone()
            error = self.failure()
            self.assertEqual((Refusal.ABORTED, "no longer wanted"), (error.refusal, error.reason))
        self.rig = SharedRig()
        performer = self.begin()
        self.rig.arrived()
        self.rig.confirmed()
        self.assertRaises(OperationError, performer.abort, "too late")

    def test_refusals(self) -> None:
        """Of either end; after COMMIT only the destination's counts."""
        for name in "ab":
            self.rig = SharedRig()
            self.begin()
            self.rig.arrived()
            self.rig.says(name, m.Refused(OP, 0, Refusal.BUFFER_FULL, "too much"))
            self.undone()
            self.assertEqual(Refusal.BUFFER_FULL, self.failure().refusal)
        self.rig = SharedRig()
        self.begin()
        self.rig.arrived()
        self.rig.confirmed()
        self.rig.says("b", m.Refused(OP, m.MessageType.COMMIT, Refusal.ENGINE_FAILED, "cannot"))
        self.undone()

    def test_wentOnAlone(self) -> None:
        """A source that refuses DELETE has folded back what the destination has too: the report says so."""
        self.rig.arrived()
        self.rig.confirmed()
        self.rig.says("b", m.Committed(OP, 4))
        self.rig.says("a", m.Refused(OP, m.MessageType.DELETE, Refusal.WRONG_STATE, "its lease was over"))
        error = self.failure()
        self.assertEqual(Refusal.WRONG_STATE, error.refusal)
        self.assertIn("both ends", error.reason)

    def test_deadlines(self) -> None:
        """Whoever does not answer ends it, at each wait."""
        for reached in (0, 1, 2):
            self.rig = SharedRig()
            self.begin()
            if reached:
                self.rig.says("b", m.Prepared(OP, NONCE))
            if reached > 1:
                self.rig.says("b", m.Installed(OP, 5, 500, 0))
            self.rig.clock.advance(100000)
            self.undone()
            self.assertEqual(Refusal.DEADLINE, self.failure().refusal)

    def test_fullDisk(self) -> None:
        """What cannot be written is not done."""
        self.rig.arrived()
        self.rig.journal.broken = True
        self.rig.confirmed()
        self.assertNotIn("Commit", self.rig.types("b"))
        self.rig.journal.broken = False
        self.undone(Step.OPEN)
        self.assertEqual(Refusal.JOURNAL_FAILED, self.failure().refusal)


class DeathTests(SharedTests):
    """An end is gone for good: another process has its name."""

    def dies(self, name: str) -> None:
        self.rig.connect(replace(hello(name), incarnation=bytes(16)))

    def test_source(self) -> None:
        """Before everything has arrived it is lost; after that, what has arrived counts."""
        self.rig.says("b", m.Prepared(OP, NONCE))
        self.dies("a")
        self.assertEqual("Discard", self.rig.types("b")[-1])
        self.rig.says("b", m.Discarded(OP, 0))
        self.assertEqual(Refusal.PEER_DIED, self.failure().refusal)
        self.rig = SharedRig()
        self.begin()
        self.rig.arrived()
        self.dies("a")
        self.assertEqual("SourceGone", self.rig.types("b")[-1])
        self.rig.confirmed()
        self.rig.says("b", m.Committed(OP, 4))
        self.assertEqual(Stage.FINISHED, self.report().stage)

    def test_destination(self) -> None:
        """The source goes on as if never asked, even after COMMIT; once it has committed, the source drops it."""
        for isCommitting in (False, True):
            self.rig = SharedRig()
            self.begin()
            self.rig.arrived()
            if isCommitting:
                self.rig.confirmed()
            self.dies("b")
            self.assertEqual("Unmark", self.rig.types("a")[-1])
            self.rig.says("a", m.Unmarked(OP, 0, 0))
            self.assertEqual(Refusal.PEER_DIED, self.failure().refusal)
        self.rig = SharedRig()
        self.begin()
        self.rig.arrived()
        self.rig.confirmed()
        self.rig.says("b", m.Committed(OP, 4))
        self.dies("b")
        self.rig.says("a", m.Deleted(OP, 5, 0))
        self.assertEqual(Stage.FINISHED, self.report().stage)

    def test_lostConnection(self) -> None:
        """No death: the last command comes again."""
        self.rig.arrived()
        self.rig.controller.sessionClosed(self.rig.sessions["a"])
        self.rig.back("a", SOURCE)
        self.assertEqual(["Finish", "Resume"], self.rig.types("a"))


class RestartTests(SharedTests):
    """The controller is killed at each entry of its journal."""

    def test_open(self) -> None:
        """Nobody was told to commit: undone."""
        self.rig.arrived()
        self.rig.restart()
        self.rig.back("a", SOURCE)
        self.rig.back("b", DESTINATION)
        self.assertIn("Unmark", self.rig.types("a"))
        self.assertIn("Discard", self.rig.types("b"))
        self.rig.says("b", m.Discarded(OP, 0))
        self.rig.says("a", m.Unmarked(OP, 0, 0))
        self.assertEqual((Step.CLOSED, Stage.ABORTED.value), _last(self.rig))

    def test_commit(self) -> None:
        """The destination may have it: COMMIT again."""
        self.rig.arrived()
        self.rig.confirmed()
        self.rig.restart()
        self.rig.back("a", SOURCE)
        self.rig.back("b", DESTINATION)
        self.assertEqual("Commit", self.rig.types("b")[0])
        self.assertNotIn("Unmark", self.rig.types("a"))
        self.rig.says("b", m.Committed(OP, 4))
        self.rig.says("a", m.Deleted(OP, 5, 0))
        self.assertEqual((Step.CLOSED, Stage.FINISHED.value), _last(self.rig))

    def test_committed(self) -> None:
        """The source is told to drop it."""
        self.rig.arrived()
        self.rig.confirmed()
        self.rig.says("b", m.Committed(OP, 4))
        self.rig.restart()
        self.rig.back("a", SOURCE)
        self.assertEqual("Delete", self.rig.types("a")[0])
        self.rig.says("a", m.Deleted(OP, 5, 0))
        self.assertEqual((Step.CLOSED, Stage.FINISHED.value), _last(self.rig))

    def test_closed(self) -> None:
        """Who comes back later is told how it ended."""
        self.test_committed()
        self.rig.back("b", DESTINATION, "confirmed")
        self.assertIn("Commit", self.rig.types("b"))


def _last(rig: Rig) -> tuple[Step, str]:
    entry = rig.journal.entries[-1]
    return entry.step, entry.reason


def _counts(report: MoveReport) -> tuple[object, ...]:
    return report.stage, report.records, report.reprocessed, report.changed, report.folded, report.deleted
