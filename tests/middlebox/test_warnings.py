"""What a middlebox tells its operator: that nearly all checksums are wrong."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import PacketBatch, packetBatch
from openmb.wire import messages as m
from tests.middlebox.rig import End
from tests.packets.build import ethernet, ip4, tcp


def packets(count: int, wrong: bool) -> PacketBatch:
    """So many segments, with right checksums or with wrong ones."""
    one = ethernet(ip4(tcp(b"x", spoil=int(wrong))))
    return packetBatch([one] * count, list(range(1, count + 1)))


class ChecksumTests(SynchronousTestCase):
    """Said once to the log and to the controller, and again to one that comes later."""

    def test_asSoonAs(self) -> None:
        """90 % of at least 100 packets; then never again."""
        end = End("a")
        end.feed(packets(99, True))
        self.assertEqual([], end.take(m.Warnings))
        end.feed(packets(1, True))
        ((text,),) = [each.texts for each in end.take(m.Warnings)]
        self.assertIn("--no-checksums", text)
        end.feed(packets(500, True))
        self.assertEqual([], end.take(m.Warnings))
        self.assertEqual(0, end.host.setAside.faults)
        end.host.connectionMade(2)
        self.assertEqual([m.Warnings((text,))], end.take(m.Warnings))

    def test_mostAreRight(self) -> None:
        end = End("a")
        end.feed(packets(20, False))
        end.feed(packets(150, True))
        self.assertEqual([], end.take(m.Warnings))
        end.host.connectionMade(2)
        self.assertEqual([], end.take(m.Warnings))
