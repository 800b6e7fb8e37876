"""The codec: vectors, and kernels against the oracle, compiled, bounds-checked and in plain Python."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.smartre.hashing import hashAll, hashOf
from openmb.testing.smartre import oracle
from tests.plugins.smartre.pairs import Pair, Settings, compare, runs

VECTORS = (
    (b"", 0, 0x73695E0709DCD80E),
    (b"hello world", 1, 0x23C89DC7F88C93F8),
    (bytes(range(100)), 7, 0x60B4CEC5771F2CB5),
)


class HashTests(SynchronousTestCase):
    """C{H}."""

    def test_vectors(self) -> None:
        """The numbers of docs/smartre.md."""
        for data, seed, expected in VECTORS:
            self.assertEqual((hashOf(data, seed), oracle.hashOf(data, seed)), (expected, expected))

    def test_lengths(self) -> None:
        """Kernel and oracle agree on every length around blocks and words."""
        dice = random.Random(1)
        data = [dice.randbytes(length) for length in range(140)]
        seeds = np.array([dice.getrandbits(64) for _ in data], np.uint64)
        expected = [oracle.hashOf(each, int(seed)) for each, seed in zip(data, seeds, strict=True)]
        self.assertEqual(hashAll(*runs(data), seeds).tolist(), expected)

    def test_outside(self) -> None:
        """What is not inside the data is refused."""
        data, zero, one = np.zeros(4, np.uint8), np.zeros(1, np.int64), np.ones(1, np.int64)
        huge = np.array([(1 << 63) - 1], np.int64)
        for offsets, lengths in ((zero, one * 5), (-one, one), (zero, -one), (huge, huge), (one * 4, one), (huge, one)):
            self.assertRaises(ValueError, hashAll, data, offsets, lengths, np.zeros(1, np.uint64))


class EqualityTests(SynchronousTestCase):
    """Kernels and oracle."""

    def test_byChance(self) -> None:
        """Payloads that repeat themselves and each other, under all settings."""
        self.assertGreater(compare(1), 200)

    def test_golden(self) -> None:
        """One body as it travels."""
        payload = bytes(range(200))
        first, second = Pair(Settings(sampling=8)).send([payload, b"x" + payload[10:190] + b"y"])
        self.assertEqual((first.data, first.matches, second.matches), (payload, 0, 1))
        # one literal byte, offset 10, 180 bytes, the packet just before
        self.assertEqual(second.data, (1 | 10 << 11 | 179 << 22 | 1 << 33).to_bytes(8, "little") + b"xy")
        self.assertEqual(second.checksum, oracle.checksumOf(b"x" + payload[10:190] + b"y", 1, 2))


class ElsewhereTests(SynchronousTestCase):
    """The same in processes of their own."""

    def run_(self, **environment: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.plugins.smartre.pairs", "1", "2"],
            cwd=Path(__file__).parents[3],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_plain(self) -> None:
        """Without the compiler."""
        matches = compare(1, 4) + compare(2, 4)
        self.assertEqual(self.run_(NUMBA_DISABLE_JIT="1"), [str(matches), "True"])

    def test_checked(self) -> None:
        """With every index checked."""
        matches = compare(1, 4) + compare(2, 4)
        checked = self.run_(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=os.path.abspath(self.mktemp()))
        self.assertEqual(checked, [str(matches), "True"])
