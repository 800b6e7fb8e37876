"""TCP fingerprints equal the real program's, whatever headers and options say."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.prads.signatures.fingerprint import Check
from tests.plugins.prads.crafting import Segment, anySegment, isMakeable, segmentsFor, writeSegments
from tests.plugins.prads.running import EVERYTHING_ON, decodeCapture, different, makePrads, ourLines, realLines, rules


class FingerprintTests(SynchronousTestCase):
    """The real program is the oracle."""

    def compare(self, segments: list[Segment]) -> Path:
        """Both make the same of them; where the capture is."""
        capture = Path(self.mktemp())
        writeSegments(capture, segments)
        real = realLines(capture, Path(self.mktemp()), "-A")
        ours = ourLines(capture, Path(self.mktemp()), EVERYTHING_ON)
        self.assertEqual("", different(ours.assets, real.assets))
        self.assertEqual(ours.statistics, real.statistics)
        return capture

    def test_anyHeaders(self) -> None:
        """Thousands of headers by chance, many of them malformed, of five seeds."""
        for seed in range(5):
            dice = random.Random(seed)
            self.compare([anySegment(dice) for _ in range(3000)])

    def test_everyLine(self) -> None:
        """Packets made for each line of the five tables find it, if there are such, or one that stands before it."""
        signatures, starts = rules().signatures.systems
        segments, meant = [], []
        for check in Check:
            for signature in signatures[starts[check, 0] : starts[check, -1]]:
                made = segmentsFor(signature, check)
                segments += made
                meant += [(check, int(signature["line"]), isMakeable(signature))] * len(made)
        capture = self.compare(segments)
        hit, hidden = set(), set()
        for number, found in self.found(capture):
            aim = meant[number - 1][:2]
            hit.add(found)
            if found[0] == aim[0] and found[1] < aim[1]:
                hidden.add(aim)
        missed = {each[:2] for each in meant if each[2]} - hit - hidden
        self.assertEqual(set(), missed)
        self.assertGreater(len(hit), 0.85 * len(signatures))
        self.assertEqual(set(Check), {check for check, _ in hit})

    def found(self, capture: Path) -> list[tuple[int, tuple[int, int]]]:
        """The number of each host in a capture, with the table and the line that it was found in."""
        middlebox = makePrads(None, EVERYTHING_ON)
        for packets in decodeCapture(capture):
            self.assertEqual((), middlebox.process(packets, None).failed)
        hosts = middlebox._own.hosts
        numbers = hosts.table.keys[:, 1] & np.uint64(0xFFFFFF)
        return [
            (int(numbers[slot]), system)
            for slot, host in hosts.known.items()
            for system in host.systems
            if system[1] >= 0
        ]
