"""The kernels of packets with every index checked, and without the compiler: the same comes out, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.plugins.smartre.packetlevel import digest


class ElsewhereTests(SynchronousTestCase):
    """In processes of their own."""

    def run_(self, *seeds: int, **environment: str) -> list[str]:
        """What such a process prints."""
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "error::RuntimeWarning",
                "-m",
                "tests.plugins.smartre.packetlevel",
                *map(str, seeds),
            ],
            cwd=Path(__file__).parents[3],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return done.stdout.split()

    def test_plain(self) -> None:
        """Without the compiler."""
        self.assertEqual([digest(1), "True"], self.run_(1, NUMBA_DISABLE_JIT="1"))

    def test_checked(self) -> None:
        """With every index checked."""
        seeds = range(1, 9)
        checked = self.run_(*seeds, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=os.path.abspath(self.mktemp()))
        self.assertEqual([*map(digest, seeds), "True"], checked)
