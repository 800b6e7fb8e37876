"""Connections that break at any moment: what both put out is what one would have put out."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from openmb.middlebox.states import DestinationState, SourceState
from openmb.wire import messages as m
from tests.middlebox.lossy import LossyMove

SEEDS = 300


class LossyTests(SynchronousTestCase):
    """Random histories."""

    def test_broken(self) -> None:
        """Every move comes to its end, the rows are those of one middlebox, and each state has lost its connection."""
        losses: Counter[str] = Counter()
        ends: Counter[str] = Counter()
        for seed in range(SEEDS):
            move = LossyMove(seed)
            self.assertTrue(move.run(), f"seed {seed} never ends")
            self.assertEqual(move.expected(), move.pair.finish(), f"seed {seed}")
            losses.update(move.losses)
            ends.update(type_.__name__ for type_ in move.reached)
        states = {f"a {state.value}" for state in SourceState} | {f"b {state.value}" for state in DestinationState}
        self.assertEqual(set(), (states | {"a ended", "b ended", "a nothing"}) - set(losses))
        self.assertGreater(min(ends["WindowClosed"], ends["Unmarked"]), SEEDS // 10, ends)
        self.assertNotIn("Refused", ends)

    def test_deserted(self) -> None:
        """
        The controller goes for good at any moment: both ends decide alike.

        No record is lost or reported by both, and nothing is processed twice, whether or not queues were full.  Where
        the source goes on alone nothing at all is lost, but for what was on its way back to it.
        """
        seen: Counter[str] = Counter()
        for seed in range(SEEDS):
            move = LossyMove(seed, 1500 if seed % 2 else 1 << 20)
            move.desert()
            lines = (move.a, move.b)
            self.assertEqual([0, 0], [line.end.host.operations for line in lines], f"seed {seed}")
            taken = any(outcome.answers.get(m.Commit) for outcome in move.b.end.host._outcomes)
            rows = [row.rsplit(" ", 4) for row in move.pair.finish()]
            firsts = Counter((row[0], row[1]) for row in rows)
            self.assertEqual(move.firsts(), firsts & move.firsts(), f"seed {seed}")
            lost = move.packetsSent - sum(int(row[3]) for row in rows)
            returned = any(outcome.sent >= 0 for outcome in move.b.end.host._outcomes)
            self.assertTrue(lost >= 0 if taken or returned else lost == 0, f"seed {seed}: {lost}")
            seen["looks"] += move.looks > 0
            seen["taken"] += taken
            seen["losing"] += lost > 0
        self.assertGreater(min(seen["looks"], seen["taken"], SEEDS - seen["taken"]), SEEDS // 40, seen)
