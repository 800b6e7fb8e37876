"""Traffic that follows no protocol: nothing is read out of bounds, and neither moves nor batches show in the logs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.decode import Decoder
from openmb.packets.headers import HEADERS, Decoded
from openmb.state.headers import HeaderFieldList
from tests.plugins.bro.random_traffic import hostileTraffic
from tests.plugins.bro.running import EVERYTHING, makeBro, runDecoded, sortedRows
from tests.plugins.bro.test_split import moveAt

_PROGRAM = """
import sys
from pathlib import Path
from openmb.packets.decode import Decoder
from tests.plugins.bro.random_traffic import hostileTraffic
from tests.plugins.bro.running import runDecoded
for seed in range(4):
    runDecoded(Path(sys.argv[1]) / str(seed), [Decoder().decode(hostileTraffic(seed, 500))])
"""


class HostileTests(SynchronousTestCase):
    """Random traffic."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def _moved(self, packets: Decoded, flows: HeaderFieldList, cut: int, events: int, name: str) -> list[Path]:
        """The logs' folders of a move after C{cut} packets; matching ones of the next C{events} are events."""
        folders = [self.folder / f"{name}a", self.folder / f"{name}b"]
        a, b = (makeBro(folder) for folder in folders)
        moveAt(a, b, packets, flows, cut, events, 2)
        return folders

    def test_moves(self) -> None:
        for seed in range(40):
            packets = Decoder().decode(hostileTraffic(seed, 400))
            runDecoded(self.folder / f"{seed}", [packets])
            wanted = sortedRows(self.folder / f"{seed}")
            self.assertTrue(wanted["conn.log"])
            flows = HeaderFieldList.parse("tcp,tp_dst=80") if seed % 3 == 0 else EVERYTHING
            for cut in (37 + seed, 200, 300 - seed):
                folders = self._moved(packets, flows, cut, 20 + seed, f"{seed}-{cut}")
                self.assertEqual(sortedRows(*folders), wanted, f"seed {seed}, moved after {cut}")

    def test_batches(self) -> None:
        for seed in range(20):
            packets = Decoder().decode(hostileTraffic(seed, 300))
            runDecoded(self.folder / f"{seed}", [packets])
            parts = [packets.select(slice(start, start + 1)) for start in range(len(packets))]
            runDecoded(self.folder / f"{seed}single", parts)
            self.assertEqual(sortedRows(self.folder / f"{seed}single"), sortedRows(self.folder / f"{seed}"), seed)

    def test_plain(self) -> None:
        """Plain Python checks every index, and gives the same logs."""
        root = Path(__file__).resolve().parent.parent.parent.parent
        environment = dict(os.environ, NUMBA_DISABLE_JIT="1", PYTHONPATH=str(root))
        plain = self.folder / "plain"
        ran = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(plain)], env=environment, capture_output=True, text=True
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        for seed in range(4):
            runDecoded(self.folder / str(seed), [Decoder().decode(hostileTraffic(seed, 500))])
            self.assertEqual(sortedRows(plain / str(seed)), sortedRows(self.folder / str(seed)))

    def test_impossibleHeaders(self) -> None:
        """Headers that no decoder makes do no harm either."""
        dice = np.random.default_rng(1)
        whole = Decoder().decode(hostileTraffic(1, 200))
        octets = dice.integers(0, 256, (200, HEADERS.itemsize), np.uint8)
        headers = octets.view(HEADERS).reshape(200)
        headers["kind"] = dice.integers(0, 9, 200)
        headers["stamp"] = whole.headers["stamp"]
        headers["source_high"] = headers["destination_high"] = 0
        for name in ("network", "transport", "payload"):
            headers[name] = dice.integers(0, 60, 200)
        folder = self.folder / "impossible"
        runDecoded(folder, [Decoded(whole.packets, headers)])
        self.assertTrue(sortedRows(folder)["conn.log"])
