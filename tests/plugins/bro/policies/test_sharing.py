"""Clones and merges of what connections share, and moves in the middle of a scan."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.plugins.bro.policies.ledger import Counted, Fact, Ledger, Note
from openmb.plugins.bro.policies.observations import Observation, Sort, Suspicion
from openmb.plugins.bro.policies.transfer import batchesOf, parseBatch
from openmb.state.headers import HeaderFieldList
from openmb.state.origins import Tallies
from openmb.state.taxonomy import Cell
from tests.plugins.bro.policies.scanning import START, STEP, attempt, batchOf, feed, session, sweep, victim, watching
from tests.plugins.bro.running import Row, end, readLog

BOTH = (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)
EVERYTHING = HeaderFieldList()
#: Five minutes, microseconds.
EPOCH = 300_000_000


def merge(source: BroMiddlebox, destination: BroMiddlebox, operation: int = 1) -> None:
    """All shared state of one into the other."""
    destination.prepareShared(operation, BOTH)
    for step in source.takeShared(operation, BOTH, 5):
        for batch in step:
            destination.putShared(operation, batch)
    destination.commitShared(operation)
    source.delShared(operation)


def move(source: BroMiddlebox, destination: BroMiddlebox, operation: int = 9) -> None:
    """All connections."""
    destination.prepare(operation, EVERYTHING)
    for step in source.getPerflow(EVERYTHING, operation, 64):
        for batch in step:
            destination.putPerflow(operation, batch)
    destination.commit(operation)
    source.delPerflow(operation, EVERYTHING)


class SplitTests(SynchronousTestCase):
    """Two instances that each saw a part, merged."""

    def setUp(self) -> None:
        self.folders = Path(self.mktemp()), Path(self.mktemp())
        self.one, self.two = (watching(folder) for folder in self.folders)
        for name, each in (("one", self.one), ("two", self.two)):
            each.identify(name, name.encode() * 5)

    def rows(self, log: str) -> list[Row]:
        """What both wrote."""
        for each in (self.one, self.two):
            end(each)
        return [row for folder in self.folders for row in readLog(folder / f"{log}.log")]

    def test_oneNotice(self) -> None:
        """A scan that neither saw whole is noticed at the merge, once, with the whole count."""
        feed(self.one, sweep(24))
        feed(self.two, sweep(20, first=20))
        merge(self.one, self.two)
        (row,) = self.rows("notice")
        self.assertIn("at least 40 unique hosts on port 22/tcp", row["msg"])
        self.assertEqual(f"{(START + 39 * STEP) // 1000 / 1e6:.6f}", row["ts"])
        self.assertEqual(1, len(readLog(self.folders[1] / "notice.log")))

    def test_noticedBefore(self) -> None:
        """What one has noticed the merge does not notice again, nor does what comes after it."""
        feed(self.one, sweep(30))
        feed(self.two, sweep(20, first=20))
        merge(self.one, self.two)
        feed(self.two, sweep(20, first=50, start=START + 100 * 10**9))
        self.assertEqual(1, len(self.rows("notice")))

    def test_facts(self) -> None:
        """A host that came with the merge is not logged again."""
        feed(self.one, batchOf(session(victim(0), 80, START)))
        merge(self.one, self.two)
        feed(self.two, batchOf(session(victim(0), 80, START + 10 * STEP), session(victim(1), 80, START + 11 * STEP)))
        self.assertEqual([victim(0), victim(1)], [row["host"] for row in self.rows("known_hosts")])

    def test_counters(self) -> None:
        """stats.log of the destination has everything, that of the source nothing."""
        feed(self.one, sweep(10))
        feed(self.two, sweep(5, port=23))
        merge(self.one, self.two)
        (row,) = self.rows("stats")
        self.assertEqual(("15", "15"), (row["tcp_conns"], row["failed_attempts"]))
        self.assertEqual([], readLog(self.folders[0] / "stats.log"))

    def test_moveInTheMiddle(self) -> None:
        """Attempts that are open when they move count once, where their rows are written."""
        for count, taken in ((25, 1), (24, 0)):
            self.setUp()
            whole = sweep(count)
            half = len(whole) // 2
            # the last seconds of attempts are open still: nobody has judged them
            self.one.process(Decoder().decode(whole.select(slice(0, half))), None)
            move(self.one, self.two)
            feed(self.two, whole.select(slice(half, count)))
            merge(self.one, self.two)
            self.assertEqual(taken, len(self.rows("notice")), count)
            total = sum(int(row["failed_attempts"]) for row in readLog(self.folders[1] / "stats.log"))
            self.assertEqual(count, total)

    def test_clone(self) -> None:
        """A clone follows by records what becomes of the source's suspicions and facts; nothing is reported twice."""
        feed(self.one, sweep(20))
        self.two.prepareShared(1, BOTH[:1])
        for step in self.one.getShared(1, BOTH[:1], 5):
            for batch in step:
                self.two.putShared(1, batch)
        self.assertEqual((), self.one.sharedChanges(1))
        feed(self.one, batchOf(session(victim(0), 80, START + 400 * STEP)))
        feed(self.one, sweep(2, first=20, start=START + 200 * 10**9))
        changes = self.one.sharedChanges(1)
        self.assertEqual({Cell.SUPPORTING_SHARED}, {batch.cell for batch in changes})
        for batch in changes:
            self.two.putShared(1, batch)
        self.assertEqual((), self.one.sharedChanges(1))
        self.two.commitShared(1)
        self.one.delShared(1)
        feed(self.two, sweep(3, first=22, start=START + 200 * 10**9))
        (row,) = self.rows("notice")
        self.assertIn("at least 25 unique hosts", row["msg"])
        self.assertEqual([victim(0)], [each["host"] for each in self.rows("known_hosts")])

    def test_abortedMerge(self) -> None:
        """What was taken comes back, with what came meanwhile; a notice that is due then is written."""
        feed(self.one, sweep(20))
        list(self.one.takeShared(1, BOTH, 5))
        feed(self.one, sweep(5, first=20))
        self.assertFalse((self.folders[0] / "notice.log").exists())
        self.one.unmark(1)
        (row,) = self.rows("notice")
        self.assertIn("at least 25 unique hosts", row["msg"])
        (stats,) = readLog(self.folders[0] / "stats.log")
        self.assertEqual("25", stats["failed_attempts"])


_words = some.tuples(some.integers(0, 3), some.integers(0, 3))
_times = some.integers(0, 1000)
_suspicions = some.one_of(
    some.tuples(_words, some.integers(1, 3)).map(
        lambda each: Suspicion(Sort.ADDRESS_SCAN, 0, EPOCH, each[0], port=each[1])
    ),
    some.tuples(_words, _words).map(lambda each: Suspicion(Sort.PORT_SCAN, 0, EPOCH, *each)),
)
_facts = some.one_of(
    _words.map(Fact),
    some.tuples(_words, some.sampled_from((6, 17)), some.integers(0, 99), some.integers(0, 3)).map(
        lambda each: Fact(*each)
    ),
)


@some.composite
def observations(draw: some.DrawFn) -> Observation:
    """What an instance may have seen."""
    first, noticed = draw(_times), draw(some.booleans())
    tokens = set() if noticed else draw(some.sets(some.binary(min_size=24, max_size=24), max_size=4))
    return Observation(first, first + draw(_times), noticed, tokens)


@some.composite
def ledgers(draw: some.DrawFn) -> Ledger:
    """Some shared state; what the same origin counted only grows."""
    tallies = Tallies(len(Counted))
    for origin in draw(some.sets(some.integers(0, 2))):
        tallies.of((bytes([origin] * 16), 0))[Counted.TCP] = draw(_times)
    return Ledger(
        OrderedDict(draw(some.dictionaries(_suspicions, observations(), max_size=4))),
        OrderedDict(draw(some.dictionaries(_facts, _times, max_size=4))),
        OrderedDict(draw(some.dictionaries(some.tuples(some.sampled_from(Note), _words), _times, max_size=4))),
        tallies,
        draw(_times) if len(tallies) else 0,
    )


def contents(ledger: Ledger) -> object:
    """For comparisons."""
    counters = {origin: counts.tolist() for origin, counts in ledger.counters.counts.items()}
    return {**ledger.observations}, {**ledger.known}, {**ledger.quiet}, counters, ledger.latest


def folded(*ledgers: Ledger) -> Ledger:
    """One after the other, into an empty one."""
    found = Ledger()
    for ledger in ledgers:
        found.fold(ledger)
    return found


class RuleTests(SynchronousTestCase):
    """The rule of merges."""

    @given(ledgers(), ledgers(), ledgers())
    def test_laws(self, first: Ledger, second: Ledger, third: Ledger) -> None:
        """Commutative, associative, idempotent."""
        whole = contents(folded(first, second, third))
        self.assertEqual(whole, contents(folded(third, first, second)))
        self.assertEqual(whole, contents(folded(first, folded(second, third))))
        self.assertEqual(whole, contents(folded(first, second, first, third, second, third)))

    @given(ledgers(), some.integers(1, 5))
    def test_roundTrip(self, ledger: Ledger, limit: int) -> None:
        batches = [batch for step in batchesOf(ledger, limit) for batch in step]
        self.assertLessEqual(max(map(len, batches), default=0), limit)
        self.assertEqual(contents(ledger), contents(folded(*map(parseBatch, batches))))


class ScanTraffic:
    """For those who need a batch with a little of everything."""

    @staticmethod
    def mixed() -> PacketBatch:
        """Sessions and attempts."""
        parts = [session(victim(each % 5), 80 + each % 3, START + each * STEP) for each in range(12)]
        parts += [attempt(victim(each), 22, START + each * STEP + STEP // 2) for each in range(12)]
        return batchOf(*parts)
