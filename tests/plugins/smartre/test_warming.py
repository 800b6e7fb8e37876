"""
What is compiled beforehand is all that is needed later.

Run as C{python -m tests.plugins.smartre.test_warming} to look at it in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from numba.core.registry import CPUDispatcher
from twisted.trial.unittest import SynchronousTestCase

from openmb.plugins.smartre.warming import warmUp
from openmb.testing.smartre.fabric import PREFIXES, SILENT, TALKING, Fabric
from tests.plugins.smartre.forking.traffic import traffic


def compiled() -> dict[str, int]:
    """Versions of every kernel of this kind that are there."""
    modules = [module for name, module in sys.modules.items() if name.startswith("openmb.plugins.smartre.")]
    kernels = [each for module in modules for each in vars(module).values() if isinstance(each, CPUDispatcher)]
    return {f"{each.py_func.__module__}.{each.py_func.__name__}": len(each.signatures) for each in kernels}


def work() -> None:
    """All that the two ends do."""
    packets = traffic(1, 600)
    for settings in (TALKING, SILENT, replace(SILENT, secondStage=True)):
        fabric = Fabric(settings)
        fabric.send(packets[:300])
        fabric.beginClone()
        fabric.send(packets[300:350])
        fabric.configure(NumCaches=[2], CacheFlows=PREFIXES, **{"Cache/Entries": ["64"]})
        fabric.send(packets[350:450])
        fabric.finishClone()
        fabric.behind[2] = 1
        fabric.send(packets[450:])
        fabric.mergeBack()


def main() -> None:
    """Print what was compiled only by work."""
    warmUp()
    before = compiled()
    work()
    after = compiled()
    print(len(after), sorted(name for name in after if after[name] != before.get(name)))


class WarmingTests(SynchronousTestCase):
    """In a process of its own: others compile, too."""

    def test_nothingLater(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tests.plugins.smartre.test_warming"],
            cwd=Path(__file__).parents[3],
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        count, _, later = done.stdout.strip().partition(" ")
        self.assertGreater(int(count), 10)
        self.assertEqual("[]", later)


if __name__ == "__main__":
    main()
