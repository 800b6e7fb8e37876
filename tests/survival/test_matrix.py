"""
A sample of the table in C{docs/survival.md}, in real processes: about a minute and a half of its hours.

Each party dies where most depends on it, one of each kind of outage follows, and one run is judged by the wrong rule to
show that the judge would see it.  C{openmb survive} makes all of them.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.testing.survival.judge import Fate
from openmb.testing.survival.matrix import Order, survive
from openmb.testing.survival.outages import BadLine, Standstill
from openmb.testing.survival.points import Moment, Party, Point, Step
from openmb.testing.survival.traffic import Class
from openmb.testing.survival.trial import Result, Trial

SAMPLE = (
    (Party.SOURCE, Step.EXPORTING, Moment.AFTER, Trial),
    (Party.SOURCE, Step.ROUTING, Moment.DECIDED, Trial),
    (Party.SOURCE, Step.DELETING, Moment.BEFORE, Trial),
    (Party.DESTINATION, Step.HOLDING, Moment.AFTER, Trial),
    (Party.DESTINATION, Step.ROUTING, Moment.BEFORE, Trial),
    (Party.DESTINATION, Step.DRAINING, Moment.BEFORE, Trial),
    (Party.CONTROLLER, Step.DIVERTING, Moment.AFTER, Trial),
    (Party.CONTROLLER, Step.ROUTING, Moment.DECIDED, Trial),
    (Party.CONTROLLER, Step.COMMITTING, Moment.DECIDED, Trial),
    (Party.CONTROLLER, Step.SETTING_BACK, Moment.AFTER, Trial),
    (Party.DESTINATION, Step.COMMITTING, Moment.BEFORE, Standstill),
    (Party.SOURCE, Step.DIVERTING, Moment.AFTER, BadLine),
)


class Misjudged(Trial):
    """As if the death of a middlebox could cost nothing."""

    def _fates(self) -> dict[Class, Fate]:
        return dict.fromkeys(Class)


class MatrixTests(SynchronousTestCase):
    """Real processes."""

    def play(self, orders: list[Order]) -> list[Result]:
        """Make runs."""
        return survive(orders, Path(self.mktemp()).absolute(), lambda done, of, result: None)

    def test_sample(self) -> None:
        """Every operation settles; nothing is lost that a lone crash would not lose, nothing repeated."""
        orders = [Order(number, each[0], Point(*each[1:3]), each[3]) for number, each in enumerate(SAMPLE)]
        for order, result in zip(orders, self.play(orders), strict=True):
            said = f"{result.party.value} {result.point}"
            self.assertEqual([], result.wrong, said)
            self.assertGreater(result.judgement.rows, 500, said)
            if order.kind is Trial and order.party is not Party.CONTROLLER:
                self.assertGreater(result.judgement.lost, 0, said)
            else:
                self.assertEqual(0, result.judgement.lost + result.judgement.gapped + result.judgement.partial, said)

    def test_judge(self) -> None:
        """A kill costs rows, and who says that it does not is found out."""
        (result,) = self.play([Order(0, Party.SOURCE, Point(Step.EXPORTING, Moment.BEFORE), Misjudged)])
        self.assertGreater(len(result.wrong), 100)
