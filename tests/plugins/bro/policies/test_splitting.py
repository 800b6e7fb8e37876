"""What clones and merges leave behind, what they must not put out twice, and what bounds them."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.policies.ledger import Counted, Fact, Ledger, Note
from openmb.plugins.bro.policies.observations import MOST_TOKENS, Observation, Sort, Suspicion
from openmb.plugins.bro.policies.settings import Policy
from openmb.plugins.bro.policies.transfer import batchesOf, parseBatch
from openmb.state.origins import LARGEST, Tallies, originOf
from tests.plugins.bro.policies.scanning import (
    EVERY,
    START,
    STEP,
    attempt,
    batchOf,
    feed,
    session,
    sweep,
    victim,
    watching,
)
from tests.plugins.bro.policies.test_sharing import BOTH, EPOCH, merge
from tests.plugins.bro.running import Row, end, readLog

WHO = (0, 0xFFFF0A000001)
#: An hour, nanoseconds.
HOUR = 3600 * 10**9


class Instances(SynchronousTestCase):
    """Some middleboxes, by name, and what they wrote."""

    def setUp(self) -> None:
        self.folders: list[Path] = []
        self.all: list[BroMiddlebox] = []

    def make(self, **settings: object) -> BroMiddlebox:
        """One more."""
        self.folders.append(Path(self.mktemp()))
        middlebox = watching(self.folders[-1], **settings)
        name = f"bro{len(self.folders)}"
        middlebox.identify(name, name.encode() * 4)
        self.all.append(middlebox)
        return middlebox

    def rows(self, log: str) -> list[list[Row]]:
        """What each wrote."""
        for each in self.all:
            end(each)
        return [readLog(folder / f"{log}.log") for folder in self.folders]

    def give(self, destination: BroMiddlebox, ledger: Ledger, operation: int = 3) -> None:
        """Shared state from somewhere, merged."""
        destination.prepareShared(operation, BOTH)
        for step in batchesOf(ledger, 1000):
            for batch in step:
                destination.putShared(operation, batch)
        destination.commitShared(operation)


class AfterwardsTests(Instances):
    """The source of a merge goes on."""

    def test_sameScan(self) -> None:
        """A scan that it had noticed is not noticed again, neither here nor there; nor, for an hour, the next."""
        source, destination = self.make(), self.make()
        feed(source, sweep(30))
        merge(source, destination)
        feed(source, sweep(60, first=30, start=START + 40 * 10**9))
        feed(source, sweep(60, port=23, start=START + 100 * 10**9))
        feed(destination, sweep(60, first=100, start=START + 40 * 10**9))
        self.assertEqual([1, 0], list(map(len, self.rows("notice"))))

    def test_laterScan(self) -> None:
        """When it has been quiet for an hour it is noticed, as if nothing had been merged."""
        source, destination = self.make(), self.make()
        feed(source, sweep(30))
        merge(source, destination)
        feed(source, sweep(30, start=START + 2 * HOUR))
        self.assertEqual([2, 0], list(map(len, self.rows("notice"))))

    def test_sameHosts(self) -> None:
        """A host that it had logged is not logged again, but after a day."""
        source, destination = self.make(), self.make()
        feed(source, batchOf(session(victim(0), 80, START)))
        merge(source, destination)
        feed(source, batchOf(session(victim(0), 80, START + 10 * STEP)))
        feed(source, batchOf(session(victim(0), 80, START + 25 * HOUR)))
        self.assertEqual([2, 0], list(map(len, self.rows("known_hosts"))))

    def test_cleared(self) -> None:
        """Of what was merged nothing belongs to it any more."""
        source, destination = self.make(), self.make()
        feed(source, sweep(30))
        merge(source, destination)
        self.assertEqual(0, len(source.policies.own))
        self.assertEqual(0, sum(each.records for each in source.sharedUsage()))

    def test_othersComeBack(self) -> None:
        """State that comes from a third does not make it notice what it had noticed."""
        source, destination, third = self.make(), self.make(), self.make()
        feed(source, sweep(30))
        merge(source, destination)
        for ledger in (source.policies.own, source.policies.said):
            ledger.quiet.clear()
        feed(third, sweep(20, first=40))
        feed(source, sweep(20, first=60))
        merge(third, source, 2)
        self.assertEqual([1, 0, 0], list(map(len, self.rows("notice"))))

    def test_abort(self) -> None:
        """Taken and given back: nothing is forgotten and nothing is said twice."""
        source = self.make()
        feed(source, sweep(30))
        feed(source, batchOf(session(victim(0), 80, START)))
        list(source.takeShared(1, BOTH, 5))
        feed(source, sweep(60, first=30, start=START + 40 * 10**9))
        source.unmark(1)
        feed(source, sweep(60, first=90, start=START + 100 * 10**9))
        feed(source, batchOf(session(victim(0), 80, START + 10 * STEP)))
        self.assertEqual(([1], [1]), ([*map(len, self.rows("notice"))], [*map(len, self.rows("known_hosts"))]))


class JudgementTests(Instances):
    """Who writes a notice."""

    def clone(self, source: BroMiddlebox, destination: BroMiddlebox) -> None:
        """A copy of the source's suspicions."""
        destination.prepareShared(1, BOTH[:1])
        for step in source.getShared(1, BOTH[:1], 5):
            for batch in step:
                destination.putShared(1, batch)
        destination.commitShared(1)
        source.delShared(1)

    def test_clone(self) -> None:
        """A copy alone is no reason for a notice: the source goes on with the scan, and notices."""
        source, destination = self.make(), self.make()
        feed(source, sweep(20))
        feed(destination, sweep(20, first=20))
        self.clone(source, destination)
        feed(source, sweep(20, first=40))
        self.assertEqual([1, 0], list(map(len, self.rows("notice"))))

    def test_cloneOfTheNoticed(self) -> None:
        """What the source had noticed the copy does not notice."""
        source, destination = self.make(), self.make()
        feed(source, sweep(30))
        self.clone(source, destination)
        feed(destination, sweep(40, first=30, start=START + 40 * 10**9))
        self.assertEqual([1, 0], list(map(len, self.rows("notice"))))

    def test_notFollowed(self) -> None:
        """Who does not follow a policy writes nothing, however much is merged, and hands it on whole."""
        one, two, passive, last = self.make(), self.make(), self.make(policies=frozenset()), self.make()
        feed(one, sweep(24))
        feed(two, sweep(24, first=24))
        merge(one, passive, 1)
        merge(two, passive, 2)
        merge(passive, last, 3)
        notices = self.rows("notice")
        self.assertEqual([0, 0, 0, 1], list(map(len, notices)))
        self.assertIn("at least 48 unique hosts", notices[3][0]["msg"])
        self.assertEqual([0, 0, 0, 1], list(map(len, self.rows("stats"))))

    def test_failingLog(self) -> None:
        """A log that throws while a merge is committed costs neither the merge nor the notice."""
        source, destination = self.make(), self.make()
        feed(source, sweep(20))
        feed(destination, sweep(20, first=20))
        log = destination.policies.logs.notice
        destination.policies.logs.notice = None  # type: ignore[assignment]
        merge(source, destination)
        destination.policies.logs.notice = log
        failed = destination.process(_decoded(), None).failed
        self.assertEqual([-1], [each.index for each in failed])
        feed(destination, sweep(1, first=50, start=START + 100 * 10**9))
        notices = self.rows("notice")
        self.assertEqual([0, 1], list(map(len, notices)))
        self.assertIn("at least 41 unique hosts", notices[1][0]["msg"])


class StatsTests(Instances):
    """stats.log."""

    def test_notFollowed(self) -> None:
        """Without the policy there is none, whatever is noticed, suppressed or forgotten."""
        middlebox = self.make(policies=EVERY - {Policy.STATS}, most=100)
        feed(middlebox, sweep(30))
        feed(middlebox, sweep(30, port=23, start=START + 100 * 10**9))
        feed(middlebox, batchOf(*(attempt(victim(n), 99, START + n * STEP, f"203.0.115.{n}") for n in range(200))))
        self.assertEqual([1], list(map(len, self.rows("notice"))))
        self.assertEqual([[]], self.rows("stats"))

    def test_broughtAlong(self) -> None:
        """Counts that a merge brings are written in the end, even by who does not count: they would be lost."""
        source, destination = self.make(), self.make(policies=frozenset())
        feed(source, sweep(10))
        merge(source, destination)
        none, (row,) = self.rows("stats")
        self.assertEqual(([], "10"), (none, row["tcp_conns"]))

    def test_time(self) -> None:
        """The ts is that of the last packet, here or where it was counted."""
        single = self.make()
        single.process(_decoded(10), None)
        ((row,),) = self.rows("stats")
        last = START + 9 * STEP
        self.assertEqual(f"{last // 10**9}.{last % 10**9 // 1000:06d}", row["ts"])
        self.setUp()
        source, destination = self.make(), self.make()
        source.process(_decoded(10), None)
        source.advance(START + 600 * 10**9)
        merge(source, destination)
        (_, (row,)) = self.rows("stats")
        self.assertEqual(f"{last // 10**9}.{last % 10**9 // 1000:06d}", row["ts"])


class HostileTests(Instances):
    """Records that no middlebox wrote."""

    def test_ownCounters(self) -> None:
        """Nobody else knows what this instance is counting."""
        middlebox = self.make()
        feed(middlebox, sweep(3))
        tallies = Tallies(len(Counted))
        tallies.of((originOf("bro1", b"bro1" * 4), 0))[:] = LARGEST
        with self.assertRaises(OperationError) as caught:
            self.give(middlebox, Ledger(counters=tallies))
        self.assertIs(Refusal.BAD_REQUEST, caught.exception.refusal)
        other = self.make()
        middlebox.discard(3)
        merge(middlebox, other)
        self.assertEqual("3", self.rows("stats")[1][0]["tcp_conns"])

    def test_ownCountersComeHome(self) -> None:
        """What it gave away may come back."""
        one, two = self.make(), self.make()
        feed(one, sweep(3))
        merge(one, two)
        feed(one, sweep(2, start=START + 60 * 10**9))
        merge(two, one, 2)
        self.assertEqual("5", self.rows("stats")[0][0]["tcp_conns"])

    def test_hugeCounters(self) -> None:
        """The largest counts that are accepted, of many instances, neither wrap nor stop a merge."""
        one, two = self.make(), self.make()
        tallies = Tallies(len(Counted))
        for number in range(1000):
            tallies.of((number.to_bytes(16, "big"), 0))[:] = LARGEST
        self.give(one, Ledger(counters=tallies))
        feed(one, sweep(2))
        merge(one, two)
        self.assertEqual(str((1 << 63) - 1), self.rows("stats")[1][0]["tcp_conns"])

    def test_extremes(self) -> None:
        """The latest times that are accepted can be handed on, and what follows from them too."""
        one, two = self.make(), self.make()
        horizon = (1 << 63) // 1000
        epoch = horizon - horizon % EPOCH
        tokens = {bytes([n]) * 24 for n in range(30)}
        suspicion = Suspicion(Sort.GUESSING, epoch, EPOCH, WHO)
        self.give(one, Ledger(OrderedDict({suspicion: Observation(epoch, horizon, False, tokens)})))
        self.assertEqual(1, len(one.policies.own.quiet))
        merge(one, two)
        self.assertEqual(1, len(two.policies.own.quiet))

    def test_manyAttempts(self) -> None:
        """Attempts that nobody judges unite up to a bound, the same in whatever order, and can be handed on."""
        passive = self.make(policies=frozenset())
        suspicion = Suspicion(Sort.GUESSING, 0, EPOCH, WHO)
        parts = [{(each * 3 + part).to_bytes(24, "big") for each in range(4000)} for part in range(3)]
        kept = []
        for order in itertools.permutations(parts):
            passive = self.make(policies=frozenset())
            for number, tokens in enumerate(order):
                self.give(passive, Ledger(OrderedDict({suspicion: Observation(1, 2, False, tokens)})), number)
            kept.append(passive.policies.own.observations[suspicion].tokens)
        self.assertEqual({MOST_TOKENS}, {len(each) for each in kept})
        self.assertTrue(all(each == kept[0] for each in kept))
        for step in passive.takeShared(1, BOTH, 5):
            for batch in step:
                parseBatch(batch)

    def test_epochs(self) -> None:
        """Whoever counts within other epochs says so, and is refused by the controller: the configuration governs."""
        here = self.make()
        for other in (self.make(scanEpoch=600), self.make(guessEpoch=600)):
            self.assertNotEqual(here.governing, other.governing)
        self.assertEqual(here.governing, self.make(addresses=99, ports=99, guesses=99).governing)

    def test_epochChanged(self) -> None:
        """After a change what was counted within the epochs of before does not mix with what is counted now."""
        one, two = self.make(), self.make()
        feed(one, sweep(24))
        for each in (one, two):
            each.configure(each.configuration.changed({"scan/epoch": ("600",)}))
        feed(one, sweep(24, first=24))
        merge(one, two)
        self.assertEqual([0, 0], list(map(len, self.rows("notice"))))
        self.assertEqual({EPOCH, 2 * EPOCH}, {each.length for each in two.policies.own.observations})


class BoundTests(Instances):
    """C{policies/most}."""

    def fat(self, count: int) -> Ledger:
        """So much of each."""
        return Ledger(
            OrderedDict((Suspicion(Sort.GUESSING, 0, EPOCH, (0, n)), Observation(1, 2)) for n in range(count)),
            OrderedDict((Fact((0, n)), n) for n in range(count)),
            OrderedDict(((Note.PORT_SCAN, (0, n)), n) for n in range(count)),
        )

    def test_merged(self) -> None:
        """It bounds what is coming, what a merge leaves, and what was said; what is forgotten is counted."""
        middlebox = self.make(most=100)
        middlebox.prepareShared(3, BOTH)
        for step in batchesOf(self.fat(250), 10):
            for batch in step:
                middlebox.putShared(3, batch)
                self.assertLessEqual(max(map(len, _things(middlebox._coming[3].ledger))), 100)
        middlebox.commitShared(3)
        self.assertEqual([100] * 3, list(map(len, _things(middlebox.policies.own))))
        self.assertIn(Fact((0, 249)), middlebox.policies.own.known)
        self.assertEqual(3 * 150, middlebox.policies.own.counters.total[Counted.FORGOTTEN])
        list(middlebox.takeShared(4, BOTH, 50))
        middlebox.delShared(4)
        self.give(middlebox, self.fat(90))
        list(middlebox.takeShared(5, BOTH, 50))
        self.assertEqual([0, 100, 100], list(map(len, _things(middlebox.policies.said))))
        middlebox.unmark(5)
        self.assertEqual([90, 90, 90], list(map(len, _things(middlebox.policies.own))))

    def test_loggedAgain(self) -> None:
        """A fact that was logged again is forgotten after those that are known for longer."""
        ledger = Ledger()
        for number, stamp in ((0, 0), (1, 1), (0, 8), (2, 9)):
            ledger.log(Fact((0, number)), stamp)
        self.assertEqual(1, ledger.bound(2))
        self.assertEqual({Fact((0, 0)): 8, Fact((0, 2)): 9}, {**ledger.known})


def _things(ledger: Ledger) -> tuple[OrderedDict[object, object], ...]:
    return ledger.observations, ledger.known, ledger.quiet  # type: ignore[return-value]


def _decoded(count: int = 0) -> Decoded:
    return Decoder().decode(sweep(count) if count else sweep(1).select(np.zeros(0, np.intp)))
