"""A milestone fires once, for everybody."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.milestone import Milestone


class MilestoneTests(SynchronousTestCase):
    """Waiting before, after, and no longer."""

    def test_beforeAndAfter(self) -> None:
        """Who waits and who comes later get the same; a second result is ignored."""
        milestone: Milestone[int] = Milestone()
        early = [milestone.wait(), milestone.wait()]
        self.assertFalse(milestone.reached)
        milestone.fire(1)
        milestone.fire(2)
        milestone.failed(ValueError())
        self.assertTrue(milestone.reached)
        self.assertEqual([1, 1, 1], [self.successResultOf(each) for each in (*early, milestone.wait())])

    def test_failure(self) -> None:
        """A failure reaches everybody; it does not matter that one of them handles it."""
        milestone: Milestone[int] = Milestone()
        early = milestone.wait()
        milestone.failed(ValueError("no"))
        milestone.fire(1)
        for waiting in (early, milestone.wait(), milestone.wait()):
            self.failureResultOf(waiting, ValueError)

    def test_cancelled(self) -> None:
        """Who gives up is not told, and nobody else is disturbed."""
        milestone: Milestone[int] = Milestone()
        one, two = milestone.wait(), milestone.wait()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        milestone.fire(7)
        self.assertEqual(7, self.successResultOf(two))
