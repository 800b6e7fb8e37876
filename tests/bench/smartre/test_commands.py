"""C{openmb bench} of SmartRE at tiny sizes."""

from __future__ import annotations

from pathlib import Path

from openmb.bench.smartre.clone import measureClone
from openmb.bench.smartre.migration import LOSSES, Way, migrate
from openmb.bench.smartre.report import cloneText
from openmb.bench.smartre.sets import frameOf, synthetic
from openmb.packets.stream import writeCapture
from openmb.testing.smartre.fabric import SILENT, TALKING
from tests.bench.test_measures import BenchCase


class SmartreTests(BenchCase):
    """The codec, the path and their rivals."""

    def test_smartre(self) -> None:
        """Both sets, all codecs, memory and start; what is reached is said, and what is not."""
        places = [Path(self.mktemp()) for _ in range(2)]
        for seed, place in enumerate(places):
            writeCapture(place, synthetic(200, seed).batches)
        words = ("--packets", "300", "--runs", "2", "--capture", str(places[0]), "--training", str(places[1]))
        document, text = self.bench("smartre", *words)
        found = document["smartre"]
        assert isinstance(found, dict)
        self.assertEqual([300, 200], [each["packets"] for each in found["sets"]])
        for each in found["sets"]:
            self.assertTrue(all(rates["isRight"] for rates in each["rates"]))
            self.assertTrue(all(len(rates["encode"]) == 2 for rates in each["rates"]))
        self.assertTrue(all(1000 < size < 4000 for size in found["memory"].values()), found["memory"])
        self.assertTrue(all(start["seconds"] > 0 for start in found["start"].values()))
        self.assertIn("times as fast as zstd's stream", text)
        self.assertIn("every payload came back as it was: yes", text)


class MigrationTests(BenchCase):
    """The table."""

    def test_ways(self) -> None:
        """Only the clone with events loses nothing and saves as before, with loss too; why the others do not."""
        frames = [
            frameOf(number, payload, bytes((10, 0, 1 + (number & 1), 9)))
            for number, payload in enumerate(synthetic(160).payloads * 10)
        ]
        found = {
            (way, settings.feedback, loss): migrate(frames, way, settings, loss)
            for way in Way
            for settings, losses in ((TALKING, LOSSES), (SILENT, (0.0,)))
            for loss in losses
        }
        self.assertEqual(0, sum(each.wrong for each in found.values()))
        for loss in LOSSES:
            self.assertEqual(0, found[Way.CLONE, True, loss].undecodable)
        best = found[Way.CLONE, False, 0.0]
        self.assertEqual(0, best.undecodable)
        self.assertGreater(found[Way.ROUTE, False, 0.0].undecodable, 0)
        self.assertLess(found[Way.FRESH, False, 0.0].saved, best.saved)
        self.assertGreater(found[Way.ROUTE, True, 0.0].asked, found[Way.CLONE, True, 0.0].asked)

    def test_command(self) -> None:
        """Every way at every loss, with messages and without."""
        document, text = self.bench("migration", "--packets", "400")
        found = document["migration"]
        assert isinstance(found, list)
        self.assertEqual(2 * len(Way) * len(LOSSES), len(found))
        self.assertIn("packets that came out and nobody sent: 0", text)


class CloneTests(BenchCase):
    """With switch, controller and decoders as processes of their own."""

    def test_clone(self) -> None:
        """The whole cache arrives, each time, and every packet comes out."""
        found = measureClone(500.0, 2, 1 << 10)
        self.assertEqual((2, 0), (len(found.clones), found.missing))
        self.assertEqual(64, found.records)
        self.assertGreater(min(found.without.packets, found.during.packets), 0)
        self.assertIn("2 alternations", "\n".join(cloneText(found)))
