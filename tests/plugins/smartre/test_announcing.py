"""What both ends announce."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.interfaces import ILearner
from openmb.plugins.smartre.announcing import ANNOUNCEMENTS
from openmb.plugins.smartre.plugin import SmartreDecoder, SmartreEncoder
from openmb.state.announcements import Announced, documentAnnouncements
from openmb.testing.smartre.fabric import PREFIXES, SILENT, TALKING, Fabric, write
from tests.plugins.smartre.forking.traffic import traffic

_PACKETS = traffic(5, 900)
_EVERYTHING = frozenset(each.name for each in ANNOUNCEMENTS)


def hear(end: SmartreEncoder | SmartreDecoder, wanted: frozenset[str] = _EVERYTHING) -> list[Announced]:
    """What it announces from now on."""
    heard: list[Announced] = []
    end.listen(wanted, heard.extend)
    return heard


def values(heard: list[Announced], name: str) -> list[tuple[object, ...]]:
    """Of the events of this name."""
    return [each.values for each in heard if each.name == name]


class AnnouncingTests(SynchronousTestCase):
    """By a path with two decoders."""

    def test_page(self) -> None:
        page = (Path(__file__).parents[3] / "docs" / "smartre.md").read_text("utf-8")
        self.assertIn(documentAnnouncements(ANNOUNCEMENTS), page)

    def test_missed(self) -> None:
        """One for every packet that could not be decoded at once; the source is one that is not held."""
        fabric = Fabric(replace(SILENT, feedback=True))
        fabric.send(_PACKETS[:500])
        fabric.behind[2] = 1
        heard = hear(fabric.decoders[1], frozenset({"cache-missed"}))
        fabric.send(_PACKETS[500:])
        missed = values(heard, "cache-missed")
        self.assertGreater(len(missed), 20)
        self.assertEqual(len(heard), len(missed))
        self.assertEqual(fabric.count("recovered", 1), len(missed))
        for cache, epoch, id, source in missed:
            self.assertEqual((0, True), (cache, 0 < int(str(source)) < int(str(id))))
            self.assertIn(epoch, range(1, 5))
        self.assertTrue(all(1_000_000_000 < each.stamp <= fabric.decoders[1].now for each in heard))

    def test_epochs(self) -> None:
        """With the reason, at both ends."""
        fabric = Fabric()
        told, heard, other = hear(fabric.encoder), hear(fabric.decoders[0]), hear(fabric.decoders[1])
        fabric.send(_PACKETS[:300])
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES)
        fabric.beginClone()
        fabric.finishClone()
        fabric.send(_PACKETS[300:400])
        fabric.encoder.caches[0].epoch = 7
        fabric.send(_PACKETS[400:500])
        fabric.decoders[0].caches[0].epoch = 9
        fabric.send(_PACKETS[500:600])
        fabric.configure(CacheFlows=(), NumCaches=[1])
        # a refusal of what is stale says nothing of the decoder's own epoch
        expected = [(1, 2, 0, "forked"), (0, 7 + 0x3FFF, 7, "decoder-ahead"), (1, 0, 2, "dropped")]
        self.assertEqual(expected, values(told, "epoch-changed"))
        expected = [(0, 1, 0, "first"), (1, 2, 0, "forked"), (0, 7, 1, "newer"), (0, 7 + 0x3FFF, 9, "newer")]
        self.assertEqual(expected, values(heard, "epoch-changed"))
        self.assertEqual([(0, 1, 0, "merged")], values(other, "epoch-changed"))

    def test_refused(self) -> None:
        """An epoch that ends since too much of it was refused."""
        fabric = Fabric(replace(TALKING, gated=False))
        told = hear(fabric.encoder, frozenset({"epoch-changed"}))
        fabric.send(_PACKETS[:500])
        fabric.decoders[0].caches[0].decoder.store.payloads[:] ^= 0xFF
        fabric.send(_PACKETS[500:])
        self.assertEqual((0, 2, 1, "refused"), told[0].values)
        self.assertEqual(int(fabric.encoder.statistics["epochs"][0]), len(told))

    def test_saving(self) -> None:
        """Intervals together are all that was counted, at either end; each is as long as configured, or longer."""
        fabric = Fabric(SILENT)
        for end in (fabric.encoder, fabric.decoders[0]):
            write(end, {"SavingInterval": [0.02]})
        told, heard = hear(fabric.encoder), hear(fabric.decoders[0])
        fabric.send(_PACKETS)
        fabric.encoder.finish()
        for end, events in ((fabric.encoder, told), (fabric.decoders[0], heard)):
            end.finish()
            savings = values(events, "saving-measured")
            row = end.statistics[0]
            names = "packets_in", "payload_in", "payload_out", "hits"
            sums = [sum(int(str(each[place])) for each in savings) for place in range(1, 5)]
            self.assertEqual([int(row[name]) for name in names], sums)
            self.assertEqual(0, sum(int(str(each[5])) for each in savings))
            self.assertTrue(all(0.02 <= float(str(each[0])) < 0.03 for each in savings[:-1]))
            self.assertGreater(len(savings), 3)

    def test_timePasses(self) -> None:
        """An interval ends without a packet, and one in which none came is not announced."""
        fabric = Fabric()
        told = hear(fabric.encoder)
        fabric.send(_PACKETS[:32])
        for seconds in range(2, 60, 3):
            fabric.encoder.advance(seconds * 1_000_000_000)
        self.assertEqual(1, len(values(told, "saving-measured")))

    def test_takenAway(self) -> None:
        """Counters that a merge takes away are announced before, once."""
        fabric = Fabric(SILENT)
        fabric.behind = {1: 1, 2: 1}
        heard = hear(fabric.decoders[1])
        fabric.send(_PACKETS[:200])
        counted = fabric.count("payload_in", 1)
        fabric.mergeBack()
        fabric.send(_PACKETS[200:400])
        fabric.decoders[1].finish()
        sums = sum(int(str(each[2])) for each in values(heard, "saving-measured"))
        self.assertEqual(counted + fabric.count("payload_in", 1), sums)

    def test_silence(self) -> None:
        """Nobody listens: nothing is said; nor by what re-processes for a clone; and nothing is ever learned."""
        fabric = Fabric()
        unwanted = hear(fabric.encoder)
        fabric.encoder.listen(frozenset(), unwanted.extend)
        clone = hear(fabric.decoders[1])
        fabric.beginClone()
        fabric.send(_PACKETS)
        self.assertEqual(([], []), (unwanted, clone))
        self.assertFalse(ILearner.providedBy(fabric.encoder) or ILearner.providedBy(fabric.decoders[0]))

    def test_declared(self) -> None:
        """What is said is as it was declared."""
        known = {each.name: each for each in ANNOUNCEMENTS}
        fabric = Fabric(replace(SILENT, feedback=True))
        heard = [hear(fabric.encoder), hear(fabric.decoders[0]), hear(fabric.decoders[1])]
        fabric.configure(SavingInterval=[0.01])
        fabric.send(_PACKETS[:500])
        fabric.behind[2] = 1
        fabric.send(_PACKETS[500:])
        events = [each for some in heard for each in some]
        self.assertEqual(_EVERYTHING, {each.name for each in events})
        self.assertEqual([], [each for each in events if not known[each.name].fits(each.values) or each.key])
