"""What the demonstration on SmartRE sends, and how it counts what came."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.demo.smartre.scenario import Outcome, disordered, routesBy
from openmb.demo.smartre.traffic import MOVING, SERVER, frames
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.state.headers import HeaderFieldList


class TrafficTests(SynchronousTestCase):
    """Packets."""

    def test_frames(self) -> None:
        """All different, the same again from the same seed, with right IP headers, half of them for those who move."""
        made = frames(1, 3000)
        self.assertEqual((made, 3000), (frames(1, 3000), len(set(made))))
        decoded = Decoder(checksums=True).decode(packetBatch(made, list(range(3000))))
        self.assertEqual(3000, len(decoded))
        moving = HeaderFieldList.parse(f"tcp,nw_src={SERVER},nw_dst={MOVING}").matchHeaders(decoded.headers, True)
        self.assertTrue(1000 < moving.sum() < 2000)

    def test_redundant(self) -> None:
        """Most payloads come again."""
        payloads = Counter(frame[54:] for frame in frames(1, 6000))
        self.assertGreater(sum(count for count in payloads.values() if count > 1), 3000)


class CountingTests(SynchronousTestCase):
    """Verdicts."""

    def test_disordered(self) -> None:
        """By receiver; what nobody sent is behind everything."""
        one, two = (bytes(30) + bytes((10, 2, 0, each)) for each in (1, 2))
        sent = [one + b"1", one + b"2", two + b"1", one + b"3"]
        self.assertEqual(0, disordered(sent, [sent[2], *sent[:2], sent[3]]))
        self.assertEqual(1, disordered(sent, [sent[1], sent[0], *sent[2:]]))
        self.assertEqual(1, disordered(sent, [sent[0], one + b"?"]))

    def test_good(self) -> None:
        """Nothing may be missing, too many or undecodable, and something must be saved."""
        good = Outcome(payload=10, carried=9, second=1)
        self.assertTrue(good.good)
        for bad in (replace(good, missing=1), replace(good, surplus=1), replace(good, undecodable=1)):
            self.assertFalse(bad.good)
        self.assertFalse(replace(good, carried=10).good or replace(good, second=0).good)

    def test_routes(self) -> None:
        """There and back, through the same three in the opposite order."""
        there, back = routesBy("decoder2", MOVING, 20)
        self.assertEqual(there["path"], back["path"][::-1])
        self.assertEqual(("receivers", "server"), (there["egress"], back["egress"]))
