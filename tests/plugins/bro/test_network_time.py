"""A capture whose clock jumps back: rows depend neither on batches nor on moves, and network time never goes back."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import PacketBatch
from openmb.packets.decode import Decoder
from openmb.packets.headers import Decoded
from openmb.state.headers import HeaderFieldList
from tests.plugins.bro.random_traffic import hostileTraffic
from tests.plugins.bro.running import makeBro, runBatch, runDecoded, sortedRows
from tests.plugins.bro.test_split import moveAt
from tests.plugins.bro.wire import CLIENT, SERVER, Script, udp

_SECOND = 1_000_000_000
_JUMPS = (-4000, -400, -61, -7, 7, 61, 400, 4000)


def jumpy(batch: PacketBatch, seed: int) -> PacketBatch:
    """The same packets, by a clock that jumps at one packet of twenty: forth or back, from seconds to an hour."""
    dice = random.Random(seed)
    offset, stamps = 0, batch.stamps.copy()
    for place in range(len(stamps)):
        if dice.random() < 0.05:
            offset += dice.choice(_JUMPS) * _SECOND
        stamps[place] += offset
    return replace(batch, stamps=stamps)


class DecoderTests(SynchronousTestCase):
    """Network time as the decoder tells it."""

    def test_neverBack(self) -> None:
        """The latest stamp so far, earlier batches included."""
        decoder = Decoder(ordered=False)
        clocks = [
            decoder.decode(replace(Script().add(b"x").add(b"x").add(b"x").batch, stamps=np.array(stamps, np.int64)))
            .headers["clock"]
            .tolist()
            for stamps in ([5, 9, 7], [8, 8, 10])
        ]
        self.assertEqual([[5, 9, 9], [9, 9, 10]], clocks)

    def test_ordered(self) -> None:
        """A switch's stamps never go back: each is the clock, whatever this decoder has met before."""
        decoder = Decoder()
        for stamp in (9, 5):
            batch = replace(Script().add(b"x").batch, stamps=np.array([stamp], np.int64))
            self.assertEqual(stamp, decoder.decode(batch).headers["clock"][0])


class JumpTests(SynchronousTestCase):
    """Rows of conn.log, http.log and dns.log."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.count = 0

    def fresh(self) -> Path:
        """A folder that does not exist yet."""
        self.count += 1
        return self.folder / str(self.count)

    def test_expiredByAnother(self) -> None:
        """Another flow's packet from the future ends an idle record, for good; the next packet begins anew."""
        script = Script()
        for client, at in ((CLIENT, 0.0), ("10.0.0.9", 1000.0), (CLIENT, 0.1)):
            script.add(udp(client, 5000, SERVER, 6000, b"x"), at)
        rows = runBatch(self.fresh(), script.batch)
        self.assertEqual([CLIENT, CLIENT, "10.0.0.9"], sorted(row["id.orig_h"] for row in rows))
        self.assertEqual(["1"] * 3, [row["orig_pkts"] for row in rows])
        begins = [float(row["ts"]) for row in rows if row["id.orig_h"] == CLIENT]
        self.assertAlmostEqual(0.1, max(begins) - min(begins), 5)

    def whole(self, packets: Decoded, size: int) -> dict[str, list[tuple[str, ...]]]:
        """The rows of one middlebox, in batches of C{size}."""
        folder = self.fresh()
        runDecoded(folder, [packets.select(slice(at, at + size)) for at in range(0, len(packets), size)])
        return sortedRows(folder)

    def test_batchesAndMoves(self) -> None:
        """Hostile traffic, ten clocks: in batches of 1, 3 and all, and moved at three places, whole and in part."""
        for seed in range(10):
            packets = Decoder(checksums=False, ordered=False).decode(jumpy(hostileTraffic(seed, 300), seed))
            wanted = self.whole(packets, 300)
            self.assertGreater(len(wanted["conn.log"]), 20)
            for size in (1, 3):
                self.assertEqual(wanted, self.whole(packets, size), f"seed {seed}, batches of {size}")
            for cut, flows in ((60, "*"), (150, "tcp"), (240, "udp")):
                first, second = self.fresh(), self.fresh()
                moveAt(makeBro(first), makeBro(second), packets, HeaderFieldList.parse(flows), cut, 20, 64)
                self.assertEqual(wanted, sortedRows(first, second), f"seed {seed}, moved at {cut}")
