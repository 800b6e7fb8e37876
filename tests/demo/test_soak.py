"""The soak: traffic without an end, verdicts over long logs, trends of memory, and a short one as a whole."""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from openmb.demo.digest import LongVerdict, compareLong
from openmb.demo.endless import ROUNDS, Endless
from openmb.demo.memory import MemoryWatch, residentOf
from openmb.demo.runner import ownCapture
from openmb.packets.batch import PacketBatch
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind, Status

_HEADER = "#fields\tts\tuid\turi\n"
_ROWS = ("1.0\tCa\t/1", "2.0\tCb\t/2", "3.0\tCa\t/3", "4.0\tCa\t/4")


class EndlessTests(SynchronousTestCase):
    """Rounds of the demonstration's capture."""

    def setUp(self) -> None:
        """The capture."""
        self.endless = Endless(openCapture(ownCapture()))

    def decoded(self, number: int) -> tuple[np.ndarray, int]:
        """The headers of a round, and how many checksums are wrong."""
        decoder = Decoder(checksums=True, reassemble=True)
        decoded = decoder.decode(self.endless.round(number))
        wrong = int(np.count_nonzero(decoded.headers["status"] & Status.BAD_CHECKSUM))
        return decoded.headers, wrong + decoder.counts.malformed + decoder.counts.badHeaderChecksums

    def test_checksums(self) -> None:
        """Every round's checksums are right, those of IP headers and those over reassembled datagrams too."""
        for number in (0, 1, 119, 120, ROUNDS - 1):
            headers, wrong = self.decoded(number)
            self.assertEqual((len(headers) > 30_000, wrong), (True, 0), number)

    def test_others(self) -> None:
        """Two rounds share no client of a TCP connection over IPv4; servers, ports and sizes are the same."""
        first, second = (self.decoded(number)[0] for number in (5, 125))
        ours, theirs = (headers[headers["kind"] == Kind.TCP] for headers in (first, second))
        fourth = ours["status"] & Status.IPV6 == 0
        ours, theirs = ours[fourth], theirs[fourth]
        known = {int(host) for host in ours["source_low"]} & {int(host) for host in theirs["source_low"]}
        self.assertEqual({host & 0xFFFFFFFF for host in known}, {0x0A09000A, 0x0A090014})
        for name in ("source_port", "destination_port", "sequence", "length"):
            self.assertTrue((ours[name] == theirs[name]).all(), name)

    def test_stamps(self) -> None:
        """Each round begins after the one before has ended."""
        stamps = [self.endless.round(number).stamps for number in range(3)]
        for earlier, later in pairwise(stamps):
            self.assertLess(earlier.max(), later.min())

    def test_stopping(self) -> None:
        """The round under way is the last, and whole."""
        batches: list[PacketBatch] = []
        for batch in self.endless.batches(1000):
            batches.append(batch)
            self.endless.stopping = len(batches) > 40
        self.assertEqual(sum(map(len, batches)), 2 * 31532)


class LongVerdictTests(SynchronousTestCase):
    """What counts as equal, by digests."""

    def compared(self, first: tuple[str, ...], second: tuple[str, ...]) -> LongVerdict:
        """Two instances' rows against the reference's."""
        root = self.root = Path(self.mktemp())
        for name, rows in (("one", first), ("two", second), ("reference", _ROWS)):
            (root / name).mkdir(parents=True)
            text = _HEADER + "".join(f"{row}\n" for row in rows) + f"#close\t{name}\n"
            (root / name / "http.log").write_text(text)
        return compareLong([root / "one", root / "two"], root / "reference")

    def test_split(self) -> None:
        """Any split is equal, whatever the order of different flows, there and back as often as one likes."""
        verdict = self.compared((_ROWS[1], _ROWS[0], _ROWS[3]), _ROWS[2:3])
        self.assertTrue(verdict.equal, verdict)
        self.assertEqual(verdict.rows, {"http": (4, 3, 1)})

    def test_missing(self) -> None:
        """A row that nobody wrote is named."""
        verdict = self.compared(_ROWS[:2], _ROWS[3:])
        self.assertEqual((verdict.equal, verdict.missing, verdict.surplus), (False, 1, 0))
        self.assertIn(_ROWS[2], verdict.examples[0])

    def test_changed(self) -> None:
        """A changed row is one missing and one too many."""
        verdict = self.compared((*_ROWS[:3], "4.0\tCa\t/5"), ())
        self.assertEqual((verdict.equal, verdict.missing, verdict.surplus, verdict.repeated), (False, 1, 1, 0))

    def test_repeated(self) -> None:
        """A row that both wrote."""
        verdict = self.compared(_ROWS, _ROWS[1:2])
        self.assertEqual((verdict.equal, verdict.missing, verdict.surplus, verdict.repeated), (False, 0, 1, 1))

    def test_disordered(self) -> None:
        """A flow's rows in another order."""
        verdict = self.compared((_ROWS[0], _ROWS[3], _ROWS[2]), _ROWS[1:2])
        self.assertEqual((verdict.equal, verdict.disordered), (False, 1))

    def test_everyLog(self) -> None:
        """A log that nobody has heard of, other columns, uids in another place, and rows of no flow."""
        self.assertTrue(self.compared(_ROWS[:2], _ROWS[2:]).equal)
        folders, root = [self.root / name for name in ("one", "two")], self.root

        def judged(**texts: str) -> LongVerdict:
            for name, text in texts.items():
                (root / name / "unheard.log").write_text(text)
            return compareLong(folders, root / "reference")

        self.assertEqual((judged(reference="#fields\tn\tuid\n1\tCa\n2\tCa\n").missing), 2)
        self.assertTrue(judged(one="#fields\tn\tuid\n1\tCa\n2\tCa\n").equal)
        self.assertEqual((judged(one="#fields\tn\tuid\n2\tCa\n1\tCa\n").disordered), 1)
        self.assertEqual((judged(one="#fields\tm\tuid\n1\tCa\n2\tCa\n").unlike), ("unheard",))
        self.assertTrue(judged(reference="#fields\tn\n1\n2\n", one="#fields\tn\n2\n", two="#fields\tn\n1\n").equal)
        self.assertFalse(judged(two="#fields\tn\n3\n").equal)

    def test_empty(self) -> None:
        """Nothing is not equal to nothing."""
        self.assertFalse(compareLong([Path(self.mktemp())], Path(self.mktemp())).equal)


class MemoryTests(SynchronousTestCase):
    """Trends."""

    def test_own(self) -> None:
        """A process that runs has memory; one that does not has none."""
        self.assertGreater(residentOf(os.getpid()) or 0, 1000)
        self.assertIsNone(residentOf(1 << 30))

    def test_trends(self) -> None:
        """A step during the warm-up is forgotten; what grows steadily is not flat."""
        watch = MemoryWatch()
        watch.samples = {
            "flat": [(float(at), 1000 if at < 60 else 50_000) for at in range(600)],
            "growing": [(float(at), 50_000 + 10 * at) for at in range(600)],
        }
        trends = watch.trends(60.0)
        self.assertEqual((trends["flat"].flat, trends["flat"].start, trends["flat"].end), (True, 50_000, 50_000))
        self.assertFalse(trends["growing"].flat)
        self.assertAlmostEqual(trends["growing"].slope, 600.0, places=3)


class SoakTests(TestCase):
    """C{openmb soak}, as short as it can be."""

    timeout = 180

    async def test_short(self) -> None:
        """There and back a few times; logs equal, nothing lost, every process sampled."""
        results = Path(self.mktemp())
        arguments = ["-m", "openmb.northbound.cli", "soak", "--minutes", "0.1", "--every", "0.5", "--speed", "8"]
        out, error, _ = await getProcessOutputAndValue(
            sys.executable, [*arguments, "--results", str(results)], env=dict(os.environ)
        )
        told = (out + error).decode(errors="replace")
        self.assertTrue((results / "soak.json").exists(), told)
        document = json.loads((results / "soak.json").read_text())
        self.assertTrue(document["equal"], told)
        rows = document["verdict"]["rows"]
        self.assertLessEqual({"conn", "dns", "http"}, rows.keys())
        self.assertGreater(min(wanted for wanted, *_ in rows.values()), 0)
        self.assertEqual((document["counts"]["lost"], document["packets"] % 31532), (0, 0))
        self.assertGreater(document["moves"], 0)  # how many depends on the machine, and what they meet
        for name in ("deleted", "records"):
            self.assertGreater(document["counts"][name], 0, name)
        sampled = {line.split("\t")[0] for line in (results / "memory.tsv").read_text().splitlines()[1:]}
        self.assertEqual(sampled, {"driver", "switch", "controller", "bro1", "bro2", "bro-reference"})
