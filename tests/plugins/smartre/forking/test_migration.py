"""Half of the receivers move to another decoder and back, in every order; and what it costs without a clone or fork."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.smartre.format import Announce
from openmb.plugins.smartre.plugin import SmartreDecoder
from openmb.plugins.smartre.settings import SmartreSettings
from openmb.testing.smartre.fabric import PREFIXES, SILENT, SUPPORTING, TALKING, Fabric, contentsOf
from openmb.testing.smartre.network import messageOf
from tests.plugins.smartre.forking.traffic import traffic

_PACKETS = traffic(1, 2400)
_BEFORE, _AFTER, _BACK = _PACKETS[:1000], _PACKETS[1000:1700], _PACKETS[1700:]


def saved(fabric: Fabric) -> int:
    """Bytes that the encoder has saved so far."""
    row = fabric.encoder.statistics[0]
    return int(row["payload_in"]) - int(row["payload_out"])


class MigrationTests(SynchronousTestCase):
    """The whole of it."""

    def check(self, fabric: Fabric, packets: list[bytes]) -> None:
        """Everything came, byte for byte."""
        self.assertEqual(Counter(packets), fabric.came)
        self.assertEqual(0, fabric.count("undecodable_bytes"))
        self.assertEqual(*fabric.accounts())

    def goBack(self, fabric: Fabric) -> None:
        """Both prefixes at decoder 0 again, one cache."""
        fabric.wait(10_000_000)
        fabric.mergeBack()
        fabric.route(2, 0)
        fabric.send(_BACK[:300])
        fabric.configure(CacheFlows=(), NumCaches=[1])
        fabric.send(_BACK[300:])
        fabric.wait(100_000_000)

    def test_exact(self) -> None:
        """The clone follows until both writes and the route are done: not one packet has to be asked for."""
        for settings in (TALKING, replace(TALKING, gated=False), SILENT):
            fabric = Fabric(settings)
            fabric.send(_BEFORE[:700])
            fabric.beginClone()
            fabric.send(_BEFORE[700:])
            fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
            fabric.finishClone()
            fabric.route(2, 1)
            fabric.send(_AFTER)
            self.assertEqual((0, 1), (fabric.count("forks", 0), fabric.count("forks", 1)))
            encoded = fabric.count("encoded", 1)
            self.assertGreater(encoded, 250)
            self.assertEqual(encoded, fabric.count("decoded", 1))
            self.goBack(fabric)
            self.assertEqual(0, fabric.count("refused"))
            self.check(fabric, _PACKETS)

    def test_flowsBeforeRoute(self) -> None:
        """The old decoder gets the fork, and so does the clone that follows it."""
        for settings in (TALKING, SILENT):
            fabric = Fabric(settings)
            fabric.send(_BEFORE[:700])
            fabric.beginClone()
            fabric.configure(NumCaches=[2])
            fabric.send(_BEFORE[700:])
            fabric.configure(CacheFlows=PREFIXES)
            fabric.send(_AFTER[:200])
            self.assertEqual((1, 0), (fabric.count("forks", 0), fabric.count("forks", 1)))
            fabric.finishClone()
            fabric.route(2, 1)
            fabric.send(_AFTER[200:])
            self.assertEqual(0, fabric.count("refused"))
            self.goBack(fabric)
            self.check(fabric, _PACKETS)

    def test_cloneFinishedEarly(self) -> None:
        """What came between is asked for; nothing is lost, and the fork reaches the new decoder, too."""
        fabric = Fabric()
        fabric.send(_BEFORE[:700])
        fabric.beginClone()
        fabric.finishClone()
        fabric.configure(NumCaches=[2])
        fabric.send(_BEFORE[700:])
        fabric.configure(CacheFlows=PREFIXES)
        fabric.send(_AFTER[:200])
        fabric.route(2, 1)
        fabric.send(_AFTER[200:])
        self.assertEqual((1, 1), (fabric.count("forks", 0), fabric.count("forks", 1)))
        self.assertGreater(fabric.count("recovered"), 0)
        self.assertGreater(fabric.count("decoded", 1), 100)
        self.goBack(fabric)
        self.check(fabric, _PACKETS)

    def test_originalOrder(self) -> None:
        """Clone, NumCaches, route, CacheFlows, with traffic between all of them."""
        fabric = Fabric()
        fabric.send(_BEFORE[:700])
        fabric.beginClone()
        fabric.send(_BEFORE[700:800])
        fabric.finishClone()
        fabric.send(_BEFORE[800:900])
        fabric.configure(NumCaches=[2])
        fabric.send(_BEFORE[900:])
        fabric.route(2, 1)
        fabric.send(_AFTER[:100])
        fabric.configure(CacheFlows=PREFIXES)
        fabric.send(_AFTER[100:])
        self.assertEqual((0, 1), (fabric.count("forks", 0), fabric.count("forks", 1)))
        self.assertGreater(fabric.count("decoded", 1), 100)
        self.goBack(fabric)
        self.check(fabric, _PACKETS)

    def test_again(self) -> None:
        """There and back three times: each time the cache is of a newer epoch."""
        fabric, epochs = Fabric(), []
        fabric.send(_BEFORE)
        for round in range(3):
            some = _PACKETS[1000 + 400 * round :][:400]
            fabric.beginClone()
            fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
            fabric.finishClone()
            fabric.route(2, 1)
            epochs.append(fabric.encoder.caches[1].epoch)
            fabric.send(some[:300])
            fabric.mergeBack()
            fabric.route(2, 0)
            fabric.send(some[300:])
            fabric.configure(CacheFlows=(), NumCaches=[1])
        self.assertEqual([2, 3, 4], epochs)
        self.assertEqual(0, fabric.count("refused"))
        self.check(fabric, _PACKETS[:2200])


class PartTests(SynchronousTestCase):
    """What the whole would hide."""

    def test_oneBatch(self) -> None:
        """A clone has all of a fork that comes in one batch with what it copies, and with announcements."""
        for settings in (TALKING, SILENT):
            fabric = Fabric(settings)
            fabric.send(_BEFORE[:600])
            fabric.beginClone()
            sent = fabric._encoded(_BEFORE[600:650])
            fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
            sent += fabric._encoded(_BEFORE[650:850])
            self.assertIn(Announce, {type(messageOf(packet)) for packet in sent})
            fabric._decoded(0, sent)
            fabric.finishClone()
            one, other = map(contentsOf, fabric.decoders)
            self.assertEqual([0, 1], sorted(one))
            self.assertTrue(all(len(held) > 600 for held in one.values()))
            self.assertEqual(one, other)

    def test_holes(self) -> None:
        """What only the old decoder got after the clone is not referred to, once the new one has the fork."""
        fabric = Fabric()
        fabric.send(_BEFORE[:200])
        fabric.beginClone()
        fabric.finishClone()
        fabric.route(2, 1)
        fabric.send(_BEFORE[200:])
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        before = fabric.count("refused", 1)
        fabric.send(_AFTER)
        self.assertEqual(before, fabric.count("refused", 1))
        self.assertGreater(fabric.count("decoded", 1), 200)
        self.assertEqual((Counter(_BEFORE + _AFTER), 0), (fabric.came, fabric.count("undecodable_bytes")))

    def test_keptByTheSource(self) -> None:
        """A clone follows all that the source keeps, whatever the destination does."""
        fabric = Fabric(replace(SILENT, caches=2, cacheFlows=PREFIXES))
        fabric.beginClone()
        other = SmartreDecoder(replace(fabric.decoders[1].settings, keeps=(0,)))
        other.prepareShared(1, SUPPORTING)
        fabric.decoders[1] = other
        fabric.send(_BEFORE[:200])
        fabric.finishClone()
        self.assertEqual([0, 1], sorted(other.caches))
        self.assertEqual(contentsOf(fabric.decoders[0]), contentsOf(other))
        self.assertGreater(len(contentsOf(other)[1]), 50)


class WithoutTests(SynchronousTestCase):
    """The same without one of its parts, over ends that refer to whatever was sent."""

    def scenario(self, clone: bool, follow: bool, caches: int, forkOf: str = "0") -> tuple[int, int]:
        """Bytes that cannot be decoded, and those saved after the move."""
        settings: SmartreSettings = SILENT
        fabric = Fabric(settings)
        fabric.send(_BEFORE[:700])
        if clone:
            fabric.beginClone()
            fabric.isFollowed = follow
        fabric.send(_BEFORE[700:])
        if caches > 1:
            fabric.configure(ForkOf=("0", forkOf), NumCaches=[caches], CacheFlows=PREFIXES)
        if clone:
            fabric.finishClone()
        fabric.route(2, 1)
        before = saved(fabric)
        fabric.send(_AFTER)
        sent = Counter(_BEFORE + _AFTER)
        self.assertEqual(set(), fabric.came.keys() - sent.keys())
        self.assertEqual(fabric.count("undecodable_bytes") == 0, fabric.came == sent)
        return fabric.count("undecodable_bytes"), saved(fabric) - before

    def test_comparison(self) -> None:
        """Only a clone with events and a fork saves as before and loses nothing."""
        lost, best = self.scenario(clone=True, follow=True, caches=2)
        self.assertEqual(0, lost)
        snapshot, _ = self.scenario(clone=True, follow=False, caches=2)
        self.assertGreater(snapshot, 10_000)
        routeOnly, _ = self.scenario(clone=False, follow=False, caches=1)
        self.assertGreater(routeOnly, snapshot)
        fresh, less = self.scenario(clone=False, follow=False, caches=2, forkOf="none")
        self.assertEqual(0, fresh)
        self.assertLess(less, 0.95 * best)
