"""C{openmb dictionary}."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.bench.smartre.sets import frameOf
from openmb.packets.batch import packetBatch
from openmb.packets.stream import writeCapture
from tests.northbound.test_cli import command


class DictionaryTests(SynchronousTestCase):
    """Trained, and used at both ends."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.plain = self.folder / "plain.pcap"
        lines = [f"<p class='line' id='{number * 7919}'>{number} of many</p>" * 9 for number in range(400)]
        frames = [frameOf(number, line.encode()) for number, line in enumerate(lines)]
        writeCapture(self.plain, [packetBatch(frames, list(range(len(frames))))])

    def encoded(self, *more: str) -> int:
        """Bytes of the encoded capture; it gives back the plain one."""
        out, back = self.folder / "out", self.folder / "back"
        run = "run", "smartre", "--set-aside", str(self.folder)
        for role, source, made in (("encoder", self.plain, out), ("decoder", out, back)):
            stage = (*more, "--second-stage") if role == "encoder" and more else more
            ran = command(*run, "--role", role, "--pcap", str(source), "--out", str(made), *stage)
            self.assertEqual(0, ran.status, ran.errors)
        self.assertEqual(self.plain.read_bytes()[24:], back.read_bytes()[24:])
        return out.stat().st_size

    def test_used(self) -> None:
        """With it less travels, and everything comes back."""
        place = self.folder / "dictionary"
        ran = command("dictionary", "--pcap", str(self.plain), "--out", str(place), "--size", "4096")
        self.assertEqual(0, ran.status, ran.errors)
        self.assertIn("of 400 payloads", ran.output)
        self.assertLessEqual(place.stat().st_size, 4096)
        self.assertLess(self.encoded("--dictionary", str(place)), 0.8 * self.encoded())

    def test_refused(self) -> None:
        """Too little to learn from, what is no capture, and what would destroy what is read."""
        few, before = self.folder / "few.pcap", self.plain.read_bytes()
        writeCapture(few, [packetBatch([frameOf(1, bytes(100))], [0])])
        for source, out, text in (
            (few, self.folder / "new", "no dictionary comes of"),
            (self.folder / "none", self.folder / "new", "none"),
            (self.plain, self.plain, "is a capture that is read"),
        ):
            ran = command("dictionary", "--pcap", str(source), "--out", str(out))
            self.assertNotEqual(0, ran.status)
            self.assertIn(text, ran.errors)
        self.assertEqual((False, before), ((self.folder / "new").exists(), self.plain.read_bytes()))
