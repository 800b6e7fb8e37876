"""The fast path finds what the analysers find, wherever connections come upon it, leave it, or move."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.plugins.bro.fastpath import pool
from openmb.plugins.bro.fastpath.lanes import ANALYZERS, KEPT, USED_LANES, Lanes
from openmb.plugins.bro.tracking import talks
from openmb.state.headers import HeaderFieldList
from openmb.testing.simulation.traffic import ACK, Endpoints, address
from tests.plugins.bro.fastpath.random_http import randomHTTP
from tests.plugins.bro.running import EVERYTHING, end, makeBro, readLog, runDecoded, sortedRows
from tests.plugins.bro.test_faults import conversation
from tests.plugins.bro.test_faults import decoded as decodedFrames
from tests.plugins.bro.test_split import moveAt
from tests.plugins.bro.wire import BEGIN, SECOND


def leaveAll(lanes: Lanes, pieces: Any, first: int, count: int, *rest: Any) -> int:
    """In place of the kernel: every piece is for the analysers."""
    lanes.kept[: count - first] = np.arange(first, count)
    lanes.left[: count - first] = ANALYZERS
    pieces["place"][first:count] = np.arange(first, count)
    lanes.cursors[KEPT] = count - first
    return count


def decoded(seed: int, connections: int, odd: float = 0.08) -> Decoded:
    return Decoder(checksums=False).decode(randomHTTP(seed, connections, odd))


class EqualTests(SynchronousTestCase):
    """Random connections."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.patch(talks, "FAST_PATH", True)

    def test_analysers(self) -> None:
        """All logs are those of the analysers alone."""
        requests = 0
        for seed in range(60):
            packets = decoded(seed, 12, 0.02 if seed % 2 else 0.15)
            runDecoded(self.folder / f"{seed}", [packets])
            with patch.object(talks, "readPieces", leaveAll), patch.object(talks, "enter", lambda *_: False):
                runDecoded(self.folder / f"{seed}slow", [packets])
            wanted = sortedRows(self.folder / f"{seed}slow")
            self.assertEqual(sortedRows(self.folder / f"{seed}"), wanted, f"seed {seed}")
            requests += len(wanted["http.log"])
        self.assertGreater(requests, 1000)

    def test_batches(self) -> None:
        """Nor does it matter how many packets come at once."""
        for seed in range(100, 110):
            packets = decoded(seed, 10)
            runDecoded(self.folder / f"{seed}", [packets])
            for size in (1, 7):
                parts = [packets.select(slice(start, start + size)) for start in range(0, len(packets), size)]
                runDecoded(self.folder / f"{seed}-{size}", parts)
                self.assertEqual(sortedRows(self.folder / f"{seed}-{size}"), sortedRows(self.folder / f"{seed}"), seed)

    def test_moves(self) -> None:
        """Connections on the fast path move, in any state."""
        dice = random.Random(5)
        for seed in range(200, 216):
            packets = decoded(seed, 10)
            runDecoded(self.folder / f"{seed}", [packets])
            wanted = sortedRows(self.folder / f"{seed}")
            for _ in range(4):
                flows = EVERYTHING if dice.random() < 0.5 else HeaderFieldList.parse("tcp,tp_dst=80")
                cut, events = dice.randrange(len(packets)), dice.randrange(30)
                folders = self._moved(packets, flows, cut, events, f"{seed}-{cut}-{events}")
                self.assertEqual(sortedRows(*folders), wanted, f"seed {seed}, moved after {cut}, {events} events")

    def _moved(self, packets: Decoded, flows: HeaderFieldList, cut: int, events: int, name: str) -> list[Path]:
        folders = [self.folder / f"{name}a", self.folder / f"{name}b"]
        a, b = (makeBro(folder) for folder in folders)
        moveAt(a, b, packets, flows, cut, events, 8)
        return folders

    def test_used(self) -> None:
        """Requests of ordinary connections are read there, all of them, and nothing is left behind."""
        read: list[int] = []

        def freeRows(lanes: Lanes, count: int) -> None:
            read.append(count)
            pool.freeRows(lanes, count)

        middlebox = makeBro(self.folder / "used")
        with patch.object(talks, "freeRows", freeRows):
            middlebox.process(decodedFrames([each for port in range(1, 21) for each in conversation(port, b"/")]), None)
            self.assertEqual(20, sum(read))
            middlebox.process(decoded(1, 40), None)
            end(middlebox)
        self.assertEqual(0, int(middlebox._own.lanes.cursors[USED_LANES]))

    def test_slotsUsedAgain(self) -> None:
        """What a connection's successor in the table is, its lane does not touch, wherever the arrays were full."""
        ends = [Endpoints(address("10.0.0.1"), port, address("10.0.0.2"), 80) for port in range(1, 301)]
        frames, stamps = [], []
        for number, port in enumerate(range(1, 301)):
            ended = conversation(port, b"/")
            frames += [*ended, ends[number].segment(True, ACK, 500, 500)]
            stamps += [BEGIN] * len(ended) + [BEGIN + 700 * SECOND]
        order = sorted(range(len(frames)), key=lambda place: stamps[place])
        batch = packetBatch([frames[i] for i in order], [stamps[i] for i in order], LinkType.ETHERNET)
        runDecoded(self.folder / "again", [Decoder(checksums=False).decode(batch)])
        rows = readLog(self.folder / "again" / "conn.log")
        self.assertEqual(600, len(rows))
        found = {(row["service"], row["history"]) for row in rows}
        self.assertEqual({("http", "ShDd"), ("-", "A"), ("-", "^a")}, found)

    def test_largeGap(self) -> None:
        """However much is missing, no room is made for it."""
        frames = conversation(1, b"/")
        ends = Endpoints(address("10.0.0.1"), 1, address("10.0.0.2"), 80)
        far = 2 + 0x60000000
        frames += [ends.segment(False, ACK, 50, far), ends.segment(True, ACK, far, 50, b"GET / HTTP/1.1\r\n\r\n")]
        middlebox = makeBro(self.folder / "gap")
        middlebox.process(decodedFrames(frames), None)
        self.assertLess(len(middlebox._own.lanes.heap), 1 << 20)
        end(middlebox)
        missed = readLog(self.folder / "gap" / "conn.log")[0]["missed_bytes"]
        self.assertGreater(int(missed), 1 << 30)
