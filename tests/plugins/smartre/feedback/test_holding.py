"""Packets that wait for answers."""

from __future__ import annotations

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.smartre.feedback.holding import MOST_HELD, Held, Holding
from openmb.plugins.smartre.format import Answer, Reason, Refuse


def packet(number: int) -> Held:
    """A packet that waits; its headers are nobody's affair here."""
    refusal = Refuse(0, 1, Reason.MISSING, number, number + 1)
    return Held(cast(Any, None), 6, b"", refusal, 100, 7, since=number)


class HoldingTests(SynchronousTestCase):
    """How many, and for how long."""

    def test_bounded(self) -> None:
        """Of too many the oldest are given up, and counted."""
        holding = Holding()
        for number in range(MOST_HELD + 10):
            holding.hold(packet(number))
        self.assertEqual(MOST_HELD, len(holding))
        self.assertEqual((10, 1000), (holding.dropped.total(), holding.lost))
        self.assertEqual(10, next(iter(holding)).since)

    def test_doubled(self) -> None:
        """One answer to all that wait: no packet that waits is compared with another."""
        compared: list[int] = []

        class Counted:
            """Headers that note that they were compared."""

            def __eq__(self, other: object) -> bool:
                compared.append(1)
                return self is other

            __hash__ = None  # type: ignore[assignment]

        holding = Holding()
        for number in range(200):
            held = packet(9)
            held.envelope, held.since = cast(Any, Counted()), number
            holding.hold(held)
        holding.hold(packet(10))
        found = holding.answered(Answer(0, 1, 9, 7, bytes(100)))
        self.assertEqual(list(range(200)), [each.since for each in found])
        self.assertEqual(1, len(holding))
        self.assertEqual([], compared)
