"""What bounds the ends: the path's MTU, and memory of caches that were dropped."""

from __future__ import annotations

import random
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.smartre.format import Fork, buildMessage
from openmb.plugins.smartre.plugin import SmartreEncoder
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.testing.smartre.fabric import SILENT, Fabric, write
from tests.plugins.smartre.forking.traffic import traffic
from tests.plugins.smartre.frames import ethernet, four, udp

_SETTINGS = SmartreSettings(Role.ENCODER, slots=1024, entries=1 << 12, gated=False, bypass=False, mtu=576)


def chance(count: int) -> list[bytes]:
    """Packets of which nothing was there before: they travel as they are, and are announced."""
    source = random.Random(1)
    return [ethernet(four(udp(source.randbytes(300)), number=number)) for number in range(count)]


def sent(encoder: SmartreEncoder, packets: list[bytes], now: int) -> list[int]:
    """Bytes of the IP packets that come of these."""
    decoded = Decoder(checksums=False, reassemble=False).decode(packetBatch(packets, [now] * len(packets)))
    forward = encoder.process(decoded, None).forward
    assert forward is not None
    return [int(length) - 14 for length in forward.lengths]


class MTUTests(SynchronousTestCase):
    """No packet is longer than the path takes, announcements neither."""

    def test_announcements(self) -> None:
        lengths = sent(SmartreEncoder(_SETTINGS), chance(200), 1)
        self.assertGreater(len(lengths), 204)
        self.assertLessEqual(max(lengths), 576)

    def test_lowered(self) -> None:
        """While packets wait for their announcement."""
        encoder = SmartreEncoder(replace(_SETTINGS, mtu=1500))
        packets = chance(120)
        sent(encoder, packets[:60], 1)
        write(encoder, {"MTU": [576]})
        lengths = sent(encoder, packets[60:], 1) + sent(encoder, packets[:1], 10**9)
        self.assertLessEqual(max(lengths), 576)


class MemoryTests(SynchronousTestCase):
    """Caches that were dropped."""

    def test_freedWithoutTraffic(self) -> None:
        """They answer for a while, and are gone when that is over, whether packets come or not."""
        fabric = Fabric(replace(SILENT, feedback=True))
        fabric.send(traffic(1, 100))
        now = fabric.encoder.now
        fabric.configure(NumCaches=[4])
        fabric.configure(NumCaches=[1])
        answering = fabric.encoder._answering
        assert answering is not None
        self.assertEqual(3, len(answering._retired))
        fabric.encoder.advance(now + 60 * 10**9)
        self.assertEqual(0, len(answering._retired))


class CacheBoundTests(SynchronousTestCase):
    """A decoder makes no more caches than it may, whoever names them."""

    def setUp(self) -> None:
        self.fabric = Fabric()
        self.decoder = self.fabric.decoders[0]
        self.decoder.configure(self.decoder.configuration.changed({"MaxCaches": ("3",)}))

    def forge(self, *messages: Fork) -> None:
        """Forks that somebody on the path has made, in one batch."""
        packets = [ethernet(four(buildMessage(message), protocol=253)) for message in messages]
        decoded = Decoder(checksums=False, reassemble=False).decode(
            packetBatch(packets, [self.fabric.encoder.now] * len(packets))
        )
        self.decoder.process(decoded, None)

    def test_forks(self) -> None:
        """45 of them, in one batch and one by one."""
        self.fabric.send(traffic(1, 100))
        forks = [Fork(1 + place % 15, 1 + place, 0, self.decoder.caches[0].epoch, 50) for place in range(45)]
        self.forge(*forks)
        for fork in forks:
            self.forge(fork)
        self.assertEqual([0, 1, 2], sorted(self.decoder.caches))
        self.assertEqual(39, self.fabric.count("foreign", 0))

    def test_served(self) -> None:
        """The cache that was there first decodes as ever."""
        packets = traffic(1, 600)
        self.fabric.send(packets[:300])
        self.forge(*(Fork(number, 7, 0, self.decoder.caches[0].epoch, 50) for number in range(1, 16)))
        self.fabric.send(packets[300:])
        self.fabric.wait(10**10)
        self.assertEqual(600, self.fabric.came.total())
        self.assertEqual(0, self.fabric.count("undecodable_bytes"))

    def test_others(self) -> None:
        """Packets of caches for which there is no room pass, until there is."""
        self.forge(*(Fork(number, 7, 0, 1, 50) for number in (4, 5, 6)))
        self.fabric.send(traffic(1, 100))
        self.assertEqual([4, 5, 6], sorted(self.decoder.caches))
        self.assertGreater(self.fabric.count("foreign", 0), 0)
        write(self.decoder, {"MaxCaches": [4]})
        self.fabric.send(traffic(1, 100))
        self.assertIn(0, self.decoder.caches)


class IdTests(SynchronousTestCase):
    """Ids that need more than 32 bits."""

    def test_fork(self) -> None:
        """A decoder without the origin knows lower halves only: the new cache begins empty, and nothing is lost."""
        for first in (5, (1 << 32) + 5):
            fabric = Fabric()
            origin, followed = fabric.encoder.caches[0], fabric.decoders[0].cacheOf(0)
            origin.encoder.store.next = origin.first = followed.decoder.store.next = first
            followed.epoch = 1
            packets = traffic(1, 600)
            fabric.send(packets[:300])
            fabric.configure(NumCaches=[2], CacheFlows=["10.0.1.0/24", "10.0.2.0/24"])
            fabric.route(2, 1)
            fabric.send(packets[300:])
            fabric.wait(10**10)
            self.assertEqual(0, fabric.count("undecodable_bytes"), first)
            self.assertEqual(600, fabric.came.total(), first)
