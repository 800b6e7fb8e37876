"""
The hand-over in two thousand histories, and eleven mutants that the same histories must notice.

C{openmb simulate} runs more; a seed that fails here replays alone with C{openmb simulate --seeds 1 --first SEED}.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from openmb.testing.simulation.campaign import Campaign, campaign, runSeed
from openmb.testing.simulation.kinds import kindNamed
from openmb.testing.simulation.mutants import MUTANTS, Mutant
from openmb.testing.simulation.oracle import Row, differences
from openmb.testing.simulation.world import World

SEEDS = 2000
#: How many seeds a mutant may get before it must have been noticed.
MUTANT_SEEDS = 200
FLOWS, PACKETS = 20, 200

#: What the seeds together must at least contain, or they show nothing.
MINIMA = {
    "moves": 4000,
    "ended finished": 3000,
    "ended aborted": 600,
    "ended failed": 15,
    "records": 40_000,
    "reprocessed": 80_000,
    "redirected": 8_000,
    "held": 5_000,
    "frames returned": 10,
    "frames marked": 20_000,
    "abort when started": 80,
    "abort when installed": 80,
    "abort when switching": 180,
    "abort too late": 300,
    "route failures": 30,
    "failed BUFFER_FULL": 40,
    "refused INTERSECTING_OPERATION": 400,
    "deaths": 200,
    "death of source when started": 10,
    "death of source when installed": 15,
    "death of source when switching": 20,
    "death of source when routed": 15,
    "death of source when merged": 5,
    "death of destination when started": 10,
    "death of destination when installed": 15,
    "death of destination when switching": 25,
    "death of destination when routed": 12,
    "death of destination when merged": 3,
}


class HistoriesTests(SynchronousTestCase):
    """The shipped code, as it is."""

    results: ClassVar[dict[int, Campaign]] = {}

    def campaign(self) -> Campaign:
        """The suite's seeds, run once for all tests."""
        if SEEDS not in self.results:
            self.results[SEEDS] = campaign("bro", 0, SEEDS)
        return self.results[SEEDS]

    def test_outputs(self) -> None:
        """The union of all outputs is the output of one instance, order included."""
        wrong = {outcome.seed: outcome.wrong[:3] for outcome in self.campaign().wrong}
        self.assertEqual(wrong, {})

    def test_counts(self) -> None:
        """The histories contain what they are for."""
        result = self.campaign()
        self.assertEqual(result.seeds, SEEDS)
        short = {name: result.counts[name] for name, least in MINIMA.items() if result.counts[name] < least}
        self.assertEqual(short, {})
        self.assertGreaterEqual(result.smallest["flows"], FLOWS)
        self.assertGreaterEqual(result.smallest["packets"], PACKETS)

    def test_replay(self) -> None:
        """A seed gives the same history every time, row by row."""
        for seed in (1, 3, 67):
            first, second = World(seed, kindNamed("bro")), World(seed, kindNamed("bro"))
            self.assertEqual(first.run(), second.run())
            self.assertEqual(first.rows, second.rows)
            self.assertTrue(first.rows)


class MutantTests(SynchronousTestCase):
    """
    Each broken rule is noticed within 200 seeds; L{HistoriesTests} shows that the unbroken code passes the same ones.
    """

    def noticed(self, mutant: Mutant) -> int | None:
        """The first seed whose outputs are wrong."""
        with mutant.alive():
            return next((seed for seed in range(MUTANT_SEEDS) if runSeed("bro", seed).wrong), None)


def _testFor(mutant: Mutant) -> object:
    def test(self: MutantTests) -> None:
        self.assertIsNotNone(self.noticed(mutant), f"nobody noticed: {mutant.name}")

    test.__doc__ = f"Noticed: {mutant.name}."
    return test


for _mutant in MUTANTS:
    setattr(MutantTests, "test_" + _mutant.name.replace(" ", "_").replace("-", "_"), _testFor(_mutant))


class OracleTests(SynchronousTestCase):
    """The oracle sees what it must, and no more."""

    ROWS = (Row("conn", "f", "1"), Row("conn", "f", "2"), Row("conn", "g", "1"))

    def test_equal(self) -> None:
        """Flows may interleave in another way."""
        self.assertEqual(differences(self.ROWS, [self.ROWS[2], *self.ROWS[:2]]), ())

    def test_different(self) -> None:
        for actual in (self.ROWS[:2], (*self.ROWS, self.ROWS[0]), (*self.ROWS, Row("http", "f", "1"))):
            self.assertEqual(len(differences(self.ROWS, actual)), 1)

    def test_order(self) -> None:
        """The rows of one flow keep their order."""
        self.assertEqual(len(differences(self.ROWS, (self.ROWS[1], self.ROWS[0], self.ROWS[2]))), 1)

    def test_tainted(self) -> None:
        """Of a flow that was lost in part, rows may be missing or different, but never repeated."""
        tainted = frozenset({"f"})
        self.assertEqual(differences(self.ROWS, (Row("conn", "f", "3"), self.ROWS[2]), tainted), ())
        repeated = (self.ROWS[0], self.ROWS[0], self.ROWS[2])
        self.assertEqual(len(differences(self.ROWS, repeated, tainted)), 1)
