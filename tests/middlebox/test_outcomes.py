"""What is remembered of operations that are over."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.middlebox.outcomes import REQUESTS, Outcome, Outcomes
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN

COMMANDS: tuple[m.Message, ...] = (
    m.Hold(OP, TOKEN),
    m.Divert(OP, TOKEN),
    m.Commit(OP),
    m.Delete(OP, 5),
    m.Unmark(OP, False),
    m.Discard(OP, False),
)


def outcome(operation: int = OP, received: int = 4) -> Outcome:
    return Outcome(operation, m.Side.SOURCE, received, 9, {m.Unmark: (m.Unmarked(operation, 3, 1),)})


class OutcomeTests(SynchronousTestCase):
    """One outcome."""

    def test_answer(self) -> None:
        """What was answered is answered again; every other command is refused, with what it was."""
        for command in COMMANDS:
            (answer,) = outcome().answer(command)
            if isinstance(command, m.Unmark):
                self.assertEqual(m.Unmarked(OP, 3, 1), answer)
            else:
                assert isinstance(answer, m.Refused)
                self.assertEqual((REQUESTS[type(command)], Refusal.WRONG_STATE), (answer.request, answer.refusal))
        self.assertEqual((), outcome().answer(m.SourceGone(OP)))

    def test_status(self) -> None:
        """HELLO says that it has ended, and how far both streams came."""
        self.assertEqual(m.OperationStatus(OP, m.Side.SOURCE, "ended", 4, 9), outcome().status)

    def test_credit(self) -> None:
        """All of the other end's stream is acknowledged, if there was any."""
        self.assertEqual(m.Credit(OP, m.Side.DESTINATION, 4), outcome().credit)
        self.assertIsNone(outcome(received=-1).credit)


class OutcomesTests(SynchronousTestCase):
    """Several."""

    def test_bounded(self) -> None:
        """The oldest is forgotten; one that ends again counts as new."""
        outcomes = Outcomes(3)
        for operation in (1, 2, 3, 1, 4):
            outcomes.remember(outcome(operation))
        self.assertEqual([3, 1, 4], [each.operation for each in outcomes])

    def test_forget(self) -> None:
        """After CLOSE nothing is known, and CLOSE again is no error."""
        outcomes = Outcomes()
        outcomes.remember(outcome())
        self.assertEqual(outcome(), outcomes.get(OP))
        for _ in range(2):
            outcomes.forget(OP)
            self.assertIsNone(outcomes.get(OP))
