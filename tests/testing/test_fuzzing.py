"""The fuzzers: short runs of each, and that each of their alarms rings."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.journal import SQLiteJournal
from openmb.errors import ConfigurationError, OperationError, ProtocolError
from openmb.operations.journal import Entry, Step
from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded, Kind
from openmb.plugins.registry import findPlugin
from openmb.testing.fuzzing import campaign as fuzzing
from openmb.testing.fuzzing import packets
from openmb.testing.fuzzing.campaign import (
    KEPT,
    Finding,
    Hang,
    Tally,
    campaign,
    makeTargets,
    runChunk,
    runTarget,
    targetNames,
)
from openmb.testing.fuzzing.mutate import LONGEST, Mutator
from openmb.testing.fuzzing.packets import PacketFuzzer
from openmb.testing.fuzzing.target import Target
from openmb.wire.messages import Peer

#: Bytes for each target; `openmb fuzz` takes more.
SHARE = 60_000


class CampaignTests(SynchronousTestCase):
    """Every target, briefly."""

    def test_nothingIsFound(self) -> None:
        """Other inputs than the long runs had, the same each time."""
        tallies = campaign(SHARE * len(targetNames()), first=1_000_000)
        self.assertEqual([], [finding for tally in tallies.values() for finding in tally.findings])
        for name, tally in tallies.items():
            self.assertGreaterEqual(tally.inputs, 50, name)

    def test_bothWays(self) -> None:
        """Of each target's inputs some are accepted and some refused: it reaches beyond the first check."""
        with tempfile.TemporaryDirectory() as folder:
            for name, target in makeTargets(Path(folder)).items():
                outcomes: Counter[str] = Counter()
                for seed in target.seeds[:5]:
                    outcomes["good"] += self.accepts(target, seed)
                self.assertGreater(outcomes["good"], 0, name)
                if target.allowed:
                    self.assertFalse(self.accepts(target, b"\x00nonsense\xff" * 9), name)

    def accepts(self, target: Target, data: bytes) -> bool:
        try:
            target.run(data)
        except target.allowed:
            return False
        return True


class AlarmTests(SynchronousTestCase):
    """What is no answer is found."""

    def test_otherErrors(self) -> None:
        """An error that is none of the allowed ones, with the input and what leads back to it."""

        def run(data: bytes) -> None:
            if b"x" in data:
                raise KeyError("made up")
            raise ProtocolError("no")

        target, tally = Target("made up", run, (ProtocolError,), [b"abc"], [b"x"]), Tally()
        runChunk(target, 7, tally)
        self.assertGreater(tally.found, 0)
        finding = tally.findings[0]
        self.assertIn(b"x", finding.data)
        self.assertEqual(("made up", 7), (finding.target, finding.seed))
        self.assertIn("KeyError", finding.reason)
        again = Tally()
        runChunk(target, 7, again)
        self.assertEqual(tally.findings, again.findings)

    def test_hang(self) -> None:
        """An input that takes for ever, even if the code catches every Exception."""
        self.patch(fuzzing, "DEADLINE", 1)

        def run(data: bytes) -> None:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001 - what code under test may do
                return

        tally = Tally()
        runChunk(Target("slow", run, (), [b"abc"]), 0, tally, limit=1)
        self.assertIn(Hang.__name__, tally.findings[0].reason)

    def test_growth(self) -> None:
        """Memory that is kept shows."""
        kept: list[bytes] = []
        target, tally = Target("greedy", lambda data: kept.append(b"x" * (1 << 20)), (), [b"abc" * 100]), Tally()
        runTarget(target, 60_000, 0, tally)
        self.assertGreater(tally.grown, 10 << 10)

    def test_kinds(self) -> None:
        """Of findings of one kind one is kept, and all are counted; kinds differ in error or place, not in words."""
        tally = Tally()
        for number in range(2 * KEPT):
            tally.keep(Finding("made up", number, b"", f"KeyError: {number} (a.py:1 f < b.py:2 g)"))
        tally.keep(Finding("made up", 0, b"", "KeyError: 1 (a.py:2 f < b.py:2 g)"))
        tally.keep(Finding("made up", 0, b"", "ValueError: 1 (a.py:1 f < b.py:2 g)"))
        self.assertEqual((3, 2 * KEPT + 2), (len(tally.findings), tally.found))

    def test_mutants(self) -> None:
        """Inputs differ, and stay within bounds."""
        mutator = Mutator(random.Random(1), [b"hello, world" * 20, b"other"], [b"word"])
        made = [mutator.make() for _ in range(2000)]
        self.assertGreater(len(set(made)), 1500)
        self.assertLessEqual(max(map(len, made)), LONGEST)


class PacketTests(SynchronousTestCase):
    """Mutated packets."""

    def elsewhere(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "openmb.testing.fuzzing.packets", *words)

    def python(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def test_atTheEdge(self) -> None:
        """In a process of its own, beside the protected page."""
        ran = self.elsewhere("--packets", "60000", "--seed", "12345")
        self.assertEqual((0, ""), (ran.returncode, ran.stderr))

    def test_theEdgeIsThere(self) -> None:
        """A read beyond the memory ends the process."""
        self.assertLess(self.elsewhere("--beyond").returncode, 0)

    def test_canary(self) -> None:
        """Without index checks a run that needs them refuses to begin."""
        self.assertEqual(2, self.elsewhere("--packets", "1", "--checked").returncode)

    def test_canaryRaises(self) -> None:
        """With index checks, in a cache of their own, the same kernel notices that it reads beyond its array."""
        program = "from openmb.testing.fuzzing.canary import canaryRaises; print(canaryRaises())"
        for checked in ("1", "0"):
            with tempfile.TemporaryDirectory() as cache:
                ran = self.python(
                    "-c", program, NUMBA_BOUNDSCHECK=checked, NUMBA_CACHE_DIR=cache, NUMBA_DISABLE_JIT="0"
                )
            self.assertEqual((f"{checked == '1'}\n", ""), (ran.stdout, ran.stderr))

    def test_alone(self) -> None:
        """What is said of a packet must not depend on its neighbours."""

        class Peeking(Decoder):
            """Looks into the next packet."""

            def decode(self, batch: PacketBatch) -> Decoded:
                """One more than is there."""
                decoded = super().decode(batch)
                decoded.headers["total"][:-1] ^= decoded.headers["total"][1:]
                return decoded

        PacketFuzzer(5).step()
        self.patch(packets, "Decoder", Peeking)
        error = self.assertRaises(AssertionError, PacketFuzzer(5).step)
        self.assertIn("among others", str(error))

    def test_varied(self) -> None:
        """Every kind of packet comes out of decoding, so that every branch behind it is tried."""
        fuzzer = PacketFuzzer(3)
        for _ in range(12):
            fuzzer.step()
        for kind in (Kind.TCP, Kind.UDP, Kind.ICMP, Kind.IGNORED, Kind.MALFORMED):
            self.assertGreater(fuzzer.kinds[kind], 100, kind)


class FoundTests(SynchronousTestCase):
    """What the fuzzers found, kept from coming back."""

    def test_damagedJournal(self) -> None:
        """Values of the wrong kind in a journal are errors in words."""
        path = Path(self.mktemp())
        journal = SQLiteJournal(path)
        journal.write(Entry(1, Step.OPEN, Peer("a", bytes(16)), Peer("b", bytes(16)), "tcp", bytes(16)))
        journal._database.execute("UPDATE operation SET step = 'nonsense'")
        self.assertRaises(OperationError, journal.unfinished)
        journal._database.execute("UPDATE operation SET step = 'open', source = x'00'")
        self.assertRaises(OperationError, journal.unfinished)
        journal._database.execute("UPDATE controller SET epoch = 'nonsense'")
        journal.close()
        self.assertRaises(ConfigurationError, SQLiteJournal, path)

    def test_endlessGrace(self) -> None:
        plugin = findPlugin("bro")
        for grace in ("inf", "nan", "-1", "1e400"):
            options = plugin.makeOptions()
            options.parseOptions([f"--grace={grace}"])
            self.assertRaises(ConfigurationError, plugin.makeMiddlebox, options)
