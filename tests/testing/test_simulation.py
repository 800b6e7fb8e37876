"""
The hand-over in two thousand histories, campaigns about one sort of fault each, and mutants that both must notice.

C{openmb simulate} runs more; a seed that fails here replays alone with C{openmb simulate --seeds 1 --first SEED}.
"""

from __future__ import annotations

import re
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from openmb.operations.journal import Step
from openmb.testing.simulation.campaign import Campaign, campaign, runSeed
from openmb.testing.simulation.faults import CLONES, FOCUSES
from openmb.testing.simulation.kinds import kindNamed
from openmb.testing.simulation.mutants import MUTANTS, Mutant
from openmb.testing.simulation.oracle import Excuse, Row, differences, miscounts
from openmb.testing.simulation.survivalmutants import SURVIVAL_MUTANTS
from openmb.testing.simulation.world import World

#: C{openmb simulate --seeds 20000} is run by hand.
SEEDS = 2000
#: Seeds of each campaign about one sort of fault; the mutants of survival get the same ones.
FOCUSED_SEEDS = 150
#: How many seeds a mutant may get before it must have been noticed.
MUTANT_SEEDS = 200
FLOWS, PACKETS = 20, 200

#: The last entries that a campaign of restarts finds again.
RESTARTS = ("switching", "route", "commit", "draining", "committed", "abort")
#: In which stages connections break.
BREAKS = ("started", "installed", "switching", "routed", "merged", "moved")
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
    "breaks": 700,
    "controller deaths": 350,
    "controller never restarted": 40,
    "returns": 60,
    "journal full": 100,
    "late routes": 10,
    "lost answers of routes": 20,
    "stops for a full host": 100,
    "histories of rough traffic": 500,
    "histories over IPv6": 300,
    "datagrams of fragments": 20_000,
    "operations cut in two": 150,
}
MINIMA |= {f"break of {role} when {stage}": 10 for role in ("source", "destination") for stage in BREAKS}
MINIMA |= {f"recovered after {step.value}": 5 for step in Step if step is not Step.CLOSED}


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


class FocusedTests(SynchronousTestCase):
    """Campaigns about one sort of fault: the shipped code passes what its mutants do not."""

    def passes(self, focus: str, minima: dict[str, int]) -> None:
        """Nothing is wrong, and there was enough of what the campaign is about."""
        result = campaign("bro", 0, FOCUSED_SEEDS, focus=focus)
        self.assertEqual({outcome.seed: outcome.wrong[:3] for outcome in result.wrong}, {})
        short = {name: result.counts[name] for name, least in minima.items() if result.counts[name] < least}
        self.assertEqual(short, {})

    def test_every(self) -> None:
        """There is a test for each of them."""
        elsewhere = {f"test_{CLONES}"}  # in L{tests.testing.test_shared_simulation}
        self.assertEqual({f"test_{focus}" for focus in FOCUSES} - set(dir(self)), elsewhere)

    def test_breaks(self) -> None:
        """Lost connections."""
        self.passes("breaks", {"breaks": 300})

    def test_endings(self) -> None:
        """The last answers are lost."""
        self.passes("endings", {"break of source when merged": 50})

    def test_restarts(self) -> None:
        """Controllers that are started again."""
        self.passes("restarts", {"controller deaths": 100, **{f"recovered after {step}": 5 for step in RESTARTS}})

    def test_leases(self) -> None:
        """Nobody comes back in time."""
        minima = {f"lease of source ended when {state}": 5 for state in ("tapping", "diverted")}
        minima |= {f"lease of destination ended when {state}": 5 for state in ("receiving", "confirmed", "merged")}
        self.passes("leases", minima)

    def test_givingBack(self) -> None:
        """Nobody answers while packets are given back."""
        minima = {f"lease of {role} ended when returning": 5 for role in ("source", "destination")}
        self.passes("givingBack", {"frames returned": 15, "controller deaths": 60, **minima})

    def test_returns(self) -> None:
        """New processes of old names."""
        self.passes("returns", {"returns": 100})

    def test_bounds(self) -> None:
        """Full queues."""
        self.passes("bounds", {"stops for a full host": 100, "failed BUFFER_FULL": 10})

    def test_disks(self) -> None:
        """Journals that cannot be written for a while, and restarts after or meanwhile."""
        self.passes("disks", {"disk full": 100, "journal full": 100, "recovered after commit": 3})

    def test_routes(self) -> None:
        """Answers of the network that are lost or late."""
        self.passes("routes", {"lost answers of routes": 50, "late routes": 20})


class InlineTests(SynchronousTestCase):
    """A kind in line: what it sends on is output, each packet once, and those of a flow in order."""

    def test_forwarded(self) -> None:
        result = campaign("inline", 0, FOCUSED_SEEDS)
        self.assertEqual({outcome.seed: outcome.wrong[:3] for outcome in result.wrong}, {})
        minima = {"redirected": 200, "reprocessed": 2000, "held": 50, "deaths": 5, "rows": 30_000}
        self.assertEqual(
            {}, {name: result.counts[name] for name, least in minima.items() if result.counts[name] < least}
        )


class MutantTests(SynchronousTestCase):
    """
    Each broken rule is noticed within 200 seeds; L{HistoriesTests} and L{FocusedTests} show that the unbroken code
    passes them.
    """

    def noticed(self, mutant: Mutant) -> int | None:
        """The first seed whose outputs are wrong."""
        seeds = range(FOCUSED_SEEDS if mutant.focus else MUTANT_SEEDS)
        with mutant.alive():
            return next((seed for seed in seeds if runSeed("bro", seed, mutant.focus).wrong), None)


def _testFor(mutant: Mutant) -> object:
    def test(self: MutantTests) -> None:
        self.assertIsNotNone(self.noticed(mutant), f"nobody noticed: {mutant.name}")

    test.__doc__ = f"Noticed: {mutant.name}."
    return test


for _mutant in (*MUTANTS, *SURVIVAL_MUTANTS):
    setattr(MutantTests, "test_" + re.sub(r"\W+", "_", _mutant.name), _testFor(_mutant))


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

    def test_counts(self) -> None:
        """A flow that was cut in two has each packet once; those reported as lost may be missing."""
        wanted = (Row("conn", "f", "1", 5), Row("conn", "g", "1", 4))
        cut = (Row("conn", "f", "a", 2), Row("conn", "f", "b", 3), wanted[1])
        flows = frozenset({"f"})
        self.assertEqual(miscounts(wanted, cut, [Excuse(1, flows, 0)]), ())
        self.assertEqual(len(miscounts(wanted, cut[1:], [Excuse(1, flows, 1)])), 1)
        self.assertEqual(miscounts(wanted, cut[1:], [Excuse(1, flows, 2)]), ())
        self.assertEqual(miscounts(wanted, cut[1:], [Excuse(1, flows, None)]), ())
        self.assertEqual(len(miscounts(wanted, (*cut, cut[0]), [Excuse(1, flows, None)])), 1)
