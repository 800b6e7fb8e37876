"""
Clones and merges in some hundred histories, and mutants that they must notice.

C{openmb simulate --focus shared} runs more; a seed that fails here replays alone with C{--seeds 1 --first SEED}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.testing.simulation.campaign import SHARED, Campaign, campaign, runSeed
from openmb.testing.simulation.clonemutants import CLONE_MUTANTS
from openmb.testing.simulation.faults import CLONES
from openmb.testing.simulation.sharedmutants import SHARED_MUTANTS

#: C{openmb simulate --focus shared --seeds 3000} is run by hand.
SEEDS = 300
#: How many seeds a mutant may get before it must have been noticed.
MUTANT_SEEDS = 200
ENDS = ("source exporting", "source following", "source voted", "destination receiving", "destination installed")
#: What the seeds together must at least contain, or they show nothing.
MINIMA = {
    "clone done": 150,
    "clone undone": 150,
    "merge done": 200,
    "merge undone": 150,
    "frames reprocess": 500,
    "frames changes": 300,
    "refused BUFFER_FULL": 5,
    "deaths": 50,
    "controller deaths": 150,
    "controller death after commit": 2,
    "controller death after committed": 2,
    "controller death after abort": 5,
}
MINIMA |= {f"break of {end}": 10 for end in (*ENDS, "destination confirmed")}
MINIMA |= {f"lease over: {end}": 5 for end in ENDS}

#: C{openmb simulate --focus clones --kind counter --seeds 1600} is run by hand.
AMONG_SEEDS = 150
#: Seeds of the campaign that are tried with each mutant of the controller: what they break is rare.
NOTICING = (range(120, 135), range(120, 135), range(600, 610))
#: What the campaign must contain.
AMONG = {"clone finished": 60, "merge finished": 60, "merge aborted": 10, "clone aborted": 15, "moves": 200}


class SharedSimulationTests(SynchronousTestCase):
    """The campaign C{shared}."""

    def test_histories(self) -> None:
        """None is wrong, and together they contain what they are about."""
        result: Campaign = campaign("counter", 0, SEEDS, focus=SHARED)
        self.assertEqual([], [(each.seed, each.wrong) for each in result.wrong])
        few = {name: result.counts[name] for name, least in MINIMA.items() if result.counts[name] < least}
        self.assertEqual({}, few)

    def test_replays(self) -> None:
        """A seed decides everything."""
        for seed in (3, 38):
            first, second = (runSeed("counter", seed, SHARED) for _ in range(2))
            self.assertEqual(first, second)

    def test_mutants(self) -> None:
        """Each broken rule is noticed."""
        for mutant in SHARED_MUTANTS:
            with mutant.alive():
                noticed = any(runSeed("counter", seed, SHARED).wrong for seed in range(MUTANT_SEEDS))
            self.assertTrue(noticed, mutant.name)


class AmongMovesTests(SynchronousTestCase):
    """The campaign C{clones}: clones and merges among moves, under the real controller."""

    def test_histories(self) -> None:
        """None is wrong, and together they contain what they are about."""
        result: Campaign = campaign("counter", 0, AMONG_SEEDS, focus=CLONES)
        self.assertEqual([], [(each.seed, each.wrong) for each in result.wrong])
        few = {name: result.counts[name] for name, least in AMONG.items() if result.counts[name] < least}
        self.assertEqual({}, few)

    def test_otherKinds(self) -> None:
        """A kind whose instances share nothing yet is not disturbed."""
        self.assertEqual([], campaign("bro", 0, 20, focus=CLONES).wrong)

    def test_mutants(self) -> None:
        """Each broken rule of the controller is noticed, by the first seed of 1,600 that does, or close to it."""
        for mutant, seeds in zip(CLONE_MUTANTS, NOTICING, strict=True):
            with mutant.alive():
                noticed = any(runSeed("counter", seed, CLONES).wrong for seed in seeds)
            self.assertTrue(noticed, mutant.name)
            self.assertEqual([], [seed for seed in seeds if runSeed("counter", seed, CLONES).wrong], mutant.name)
