"""The kernels without the compiler: the same results, and every index checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from openmb.state.flowkey import flowKeys
from openmb.state.headers import EVERYTHING, HeaderFieldList
from openmb.state.slots import hashKey
from openmb.state.table import FlowTable, warmUp
from tests.state.flows import UNIVERSE

_LISTS = (
    "*",
    "tcp,tp_dst=80",
    "ip,nw_src=10.0.0.1",
    "icmp,icmp_type=8",
    "icmp,icmp_code=1",
    "ipv6,dl_vlan=5",
    "tp_src=80",
)


def results() -> str:
    """What the kernels find in the universe, as text."""
    keys, forward = flowKeys(UNIVERSE)
    table = FlowTable(np.dtype([("number", "<u8")]), capacity=1)
    slots = table.insert(keys)
    table.remove(slots[::3])
    table.insert(keys[::2])
    found = [HeaderFieldList.parse(text).matchHeaders(UNIVERSE).sum() for text in _LISTS]
    found += [len(table), len(table.select(EVERYTHING)), table.find(keys).sum(), forward.sum()]
    hashes = [hashKey(key, np.arange(5, dtype=np.uint64) * np.uint64(0x123456789ABCDEF)) for key in table.keys[:50]]
    return " ".join(str(int(number)) for number in (*found, *hashes))


class PlainTests(SynchronousTestCase):
    """C{NUMBA_DISABLE_JIT=1}."""

    def test_same(self) -> None:
        """The kernels as plain Python, warnings as errors, give what the compiled ones give."""
        if os.environ.get("NUMBA_DISABLE_JIT") == "1":
            raise SkipTest("this run is itself without the compiler")
        code = "from tests.state.test_plain import results; print(results())"
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "error::RuntimeWarning"}
        run = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual(run.stdout.split(), results().split())

    def test_warmUp(self) -> None:
        """The warm-up runs."""
        warmUp()
