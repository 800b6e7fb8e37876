"""What the two ends of an operation say that is not theirs to say, in every state, for every message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.operations.sayings import Verdict, judge
from openmb.operations.values import Stage
from openmb.state.taxonomy import Cell
from openmb.testing.fuzzing.controllers import sayings
from openmb.wire import messages as m
from tests.controller.rig import NONCE, OP, Rig, routeTo

DONE = 1 << 20
SIDES = {"a": m.Side.SOURCE, "b": m.Side.DESTINATION}
REFUSALS = tuple(m.Refused(OP, request, Refusal.WRONG_STATE, "no") for request in (*range(1, 40), 255))


class Story:
    """A move from a to b, told as far as a state."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.move: Any = self.rig.controller.startMove("a", "b", "tcp", routeTo("b"))
        for milestone in (self.move.installed, self.move.moved, self.move.finished):
            milestone.wait().addErrback(lambda failure: failure.trap(OperationError) and None)

    @property
    def state(self) -> str:
        return str(self.move.machine.where())

    def to(self, state: str) -> Story:
        """Answer truthfully until the machine is in C{state}."""
        for step in self._steps():
            if self.state == state:
                return self
            step()
        if self.state != state:
            raise AssertionError(f"{state} was not reached, but {self.state}")
        return self

    def _steps(self) -> tuple[Callable[[], None], ...]:
        say = self.rig.says
        return (
            lambda: say("b", m.Prepared(OP, NONCE)),
            lambda: say("b", m.Installed(OP, 5, 500, 2)),
            lambda: say("b", m.Holding(OP)),
            lambda: say("b", m.DivertConfirmed(OP, 3)),
            lambda: self.rig.network.asked[-1][2].callback(None),
            lambda: say("b", m.Committed(OP, 5)),
            lambda: say("b", m.Merged(OP, 0, 0, 0, 0, 0)),
            lambda: say("a", m.Deleted(OP, 5, 0)),
        )


FORWARD = ("preparing", "exporting", "holding", "diverting", "routing", "committing", "draining", "deleting", "window")
AFTER_COMMIT = ("committing", "draining", "deleting", "window")


class LiarTests(SynchronousTestCase):
    """Moves."""

    def everything(self) -> tuple[m.Message, ...]:
        return (*sayings(OP, 1), *sayings(OP, 0), *REFUSALS)

    def test_everyLie(self) -> None:
        """Before COMMIT a lie ends the operation, with the liar's name; after it nothing changes, and it is counted."""
        lies = 0
        for state in FORWARD:
            for name, side in SIDES.items():
                for message in self.everything():
                    if isinstance(message, m.Events) or judge(m.Sort.MOVE, side, message, state) is not Verdict.WRONG:
                        continue
                    lies += 1
                    self._lie(state, name, message)
        self.assertGreater(lies, 500)

    def _lie(self, state: str, name: str, message: m.Message) -> None:
        story = Story().to(state)
        before = story.move.report
        taken = type(message) in story.move._taken
        sent = {each: len(story.rig.sent[each]) for each in "ab"}
        story.rig.says(name, message)
        what = f"{message} of {name} while {state}"
        if taken:
            self.assertEqual((before, state), (story.move.report, story.state), what)
            return
        self.assertEqual(1, story.move.report.strays, what)
        if state in AFTER_COMMIT:
            self.assertEqual(state, story.state, what)
            self.assertEqual(sent, {each: len(story.rig.sent[each]) for each in "ab"}, what)
            self.assertIsNone(story.move.report.refusal, what)
        else:
            self.assertEqual(Refusal.BAD_REQUEST, story.move.report.refusal, what)
            self.assertTrue(story.move.report.reason.startswith(f"{name}: "), story.move.report.reason)
            self.assertIn(story.state, ("aborting", "settingBack"), what)

    def test_aMoveGoesOnAfterAnyLie(self) -> None:
        """Told every lie after COMMIT, from both ends, the move comes to its end, and the log has one line for each."""
        story = Story().to("committing")
        for name, side in SIDES.items():
            for message in self.everything():
                if judge(m.Sort.MOVE, side, message, "committing") is Verdict.WRONG:
                    story.rig.says(name, message)
        self.assertEqual("committing", story.state)
        story.rig.says("b", m.Committed(OP, 5), m.Merged(OP, 0, 0, 0, 0, 0))
        story.rig.says("a", m.Deleted(OP, 5, 0), m.WindowClosed(OP, 0, 0))
        (outcome,) = story.rig.controller.history
        report = outcome.report
        self.assertEqual((Stage.FINISHED, None), (report.stage, report.refusal))
        self.assertGreater(report.strays, 40)

    def test_theSourceRefusesCommit(self) -> None:
        """COMMIT is in the journal: the source cannot undo it."""
        story = Story().to("committing")
        story.rig.says("a", m.Refused(OP, m.MessageType.COMMIT, Refusal.WRONG_STATE, "I would rather not"))
        self.assertEqual(("committing", 1), (story.state, story.move.report.strays))
        self.assertEqual(["route"], [what for what, _, _ in story.rig.network.asked])

    def test_early(self) -> None:
        """MERGED before COMMITTED, from a destination that a restarted controller asks again, is waited for again."""
        story = Story().to("committing")
        story.rig.says("b", m.Merged(OP, 1, 0, 0, 0, 0))
        self.assertEqual(("committing", 0), (story.state, story.move.report.strays))
        story.rig.says("b", m.Committed(OP, 5), m.Merged(OP, 1, 0, 0, 0, 0))
        self.assertEqual("deleting", story.state)

    def test_windowClosedEarly(self) -> None:
        """WINDOW_CLOSED before DELETED does not make the controller deaf for the one that counts."""
        story = Story().to("deleting")
        story.rig.says("a", m.WindowClosed(OP, 0, 0), m.Deleted(OP, 5, 0), m.WindowClosed(OP, 0, 0))
        self.assertEqual((), story.rig.controller.moves)

    def test_unmarkedEarly(self) -> None:
        """A source that says UNMARKED while nobody asked it to leaves no trace in what an abort reports later."""
        story = Story().to("committing")
        story.rig.says("a", m.Unmarked(OP, 0, 7))
        self.assertEqual((False, 0), (story.move._unmarked, story.move.report.lost))

    def test_destinationFailsLate(self) -> None:
        """What the destination could not take after COMMIT is told with the report; the move goes on."""
        story = Story().to("draining")
        story.rig.says("b", m.Refused(OP, 0, Refusal.BAD_REQUEST, "a sent what nobody asked for"))
        self.assertEqual(("draining", Refusal.BAD_REQUEST), (story.state, story.move.report.refusal))


class SharedLiarTests(SynchronousTestCase):
    """Clones and merges."""

    def setUp(self) -> None:
        self.rig = Rig()
        layouts = (m.LayoutVersion(Cell.SUPPORTING_SHARED, 3, 1),)
        for name in "ab":
            self.rig.other(name, layouts=layouts)
        self.merge: Any = self.rig.controller.startShared(m.Sort.MERGE, "a", "b")
        self.merge.installed.wait().addErrback(lambda failure: None)
        self.merge.finished.wait().addErrback(lambda failure: None)
        self.rig.says("b", m.Prepared(OP, NONCE), m.Installed(OP, 5, 500, 0), m.FinishConfirmed(OP, 0, 0))

    def test_theSourceRefusesCommit(self) -> None:
        """It would have got back, beside the destination, what a merge had taken."""
        self.rig.says("a", m.Refused(OP, m.MessageType.COMMIT, Refusal.WRONG_STATE, "no"))
        self.assertEqual(("committing", 1), (self.merge.machine.where(), self.merge.report.strays))
        self.rig.says("b", m.Refused(OP, m.MessageType.COMMIT, Refusal.ENGINE_FAILED, "cannot"))
        self.assertEqual("aborting", self.merge.machine.where())

    def test_onlyTheSourceGoesOnAlone(self) -> None:
        """While the source is to delete, neither the destination nor a shutdown ends the merge in its name."""
        self.rig.says("b", m.Committed(OP, 5))
        self.rig.says("b", m.Refused(OP, m.MessageType.DELETE, *NO))
        self.rig.says("a", m.Refused(OP, 0, Refusal.ABORTED, "no"))
        self.rig.controller.shutDown()
        self.assertEqual("deleting", self.merge.machine.where())
        self.rig.says("a", m.Refused(OP, m.MessageType.DELETE, *NO))
        (outcome,) = self.rig.controller.history
        report = outcome.report
        self.assertIn("went on alone", report.reason)


NO = (Refusal.WRONG_STATE, "no")
