"""
Hostile packets: nothing raises, nothing is read outside the data, and all ways of running the kernels agree.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Kind
from tests.packets.mutants import fingerprint, mutants, seeds

MUTANTS = 1500
ROOT = Path(__file__).resolve().parent.parent.parent


class HostileTests(SynchronousTestCase):
    """The decoder takes whatever comes."""

    def fingerprintElsewhere(self, *more: str, **environment: str) -> str:
        """The fingerprint as another process finds it, in which every warning is an error."""
        command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.packets.mutants", str(MUTANTS), *more]
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        return ran.stdout

    def test_plainPython(self) -> None:
        """Without the compiler the kernels say the same, and index nothing that is not there."""
        found = self.fingerprintElsewhere("checked", NUMBA_DISABLE_JIT="1")
        self.assertEqual(found, f"checked {fingerprint(MUTANTS)}")

    def test_boundsChecked(self) -> None:
        """Compiled with bounds checks (in a cache of their own; a canary proves that they are on) they agree too."""
        found = self.fingerprintElsewhere(
            "checked", NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=os.path.abspath(self.mktemp())
        )
        self.assertEqual(found, f"checked {fingerprint(MUTANTS)}")

    def test_mutantsAreVaried(self) -> None:
        """The mutants reach every kind of outcome, or the comparisons would show little."""
        kinds = set()
        for link in LinkType:
            packets = [packet for packet, itsLink, _ in mutants(MUTANTS) if itsLink == link]
            kinds |= set(Decoder().decode(packetBatch(packets, [0] * len(packets), link)).headers["kind"].tolist())
        self.assertEqual(kinds, {int(kind) for kind in Kind})

    @settings(max_examples=300, deadline=None)
    @given(some.data())
    def test_invariants(self, data: some.DataObject) -> None:
        """Of whatever packet, what decoding says lies within the packet, alone as among others."""
        packet = bytearray(data.draw(some.sampled_from(seeds())))
        for _ in range(data.draw(some.integers(0, 4))):
            packet[data.draw(some.integers(0, len(packet) - 1))] = data.draw(some.integers(0, 255))
        packet = packet[: data.draw(some.integers(0, len(packet)))]
        link = data.draw(some.sampled_from([*LinkType, 104]))
        batch = packetBatch([bytes(packet), b"\xff" * 80], [0, 1], link)
        for checksums in (False, True):
            row, _ = Decoder(checksums, reassemble=False).decode(batch).headers
            self.checkRow(row, len(packet))
            single = Decoder(checksums, reassemble=False).decode(packetBatch([bytes(packet)], [0], link))
            self.assertEqual(single.headers[0].tobytes(), row.tobytes())

    def checkRow(self, row: np.void, length: int) -> None:
        kind = Kind(int(row["kind"]))
        if kind in (Kind.IGNORED, Kind.MARKER, Kind.MALFORMED):
            self.assertEqual((row["transport"], row["captured"]), (0, 0))
            return
        self.assertTrue(row["network"] + 20 <= row["transport"] <= length)
        self.assertLessEqual(row["transport"], row["payload"])
        self.assertLessEqual(row["captured"], row["length"])
        if row["captured"]:
            self.assertLessEqual(row["payload"] + row["captured"], length)
        self.assertEqual(row["network"] + row["total"], row["payload"] + row["length"])
