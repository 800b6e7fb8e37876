"""What went into an encoder comes out of the decoder, packet by packet, byte by byte, stamps too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.batch import LinkType, PacketBatch, packetBatch
from openmb.packets.capture import openCapture
from openmb.plugins.smartre.decoder import DecoderEnd
from openmb.plugins.smartre.encoder import EncoderEnd
from openmb.plugins.smartre.settings import SmartreSettings
from openmb.plugins.smartre.statistics import undecodable
from tests.plugins.smartre.ends import SETTINGS, contents, makeEnds, pieces, through
from tests.plugins.smartre.frames import ethernet, four, generate, six, tcp, udp
from tests.shared import sharedCaptures

_TEXT = b"".join(b"line %d of a text that comes again and again; " % number for number in range(40))[:1400]


class CaptureTests(SynchronousTestCase):
    """Captures, whole."""

    def passThrough(
        self, batches: list[PacketBatch], chosen: SmartreSettings = SETTINGS
    ) -> tuple[EncoderEnd, DecoderEnd]:
        """Send C{batches} through both ends."""
        encoder, decoder = makeEnds(chosen)
        encoded = list(through(encoder, batches))
        back = list(through(decoder, (batch.compact() for batch in encoded)))
        self.assertEqual(contents(back), contents(batches))
        self.assertEqual(undecodable(decoder.statistics[0]), 0)
        return encoder, decoder

    def test_shared(self) -> None:
        for path in sharedCaptures():
            self.passThrough(list(openCapture(path).batches()))

    def test_generated(self) -> None:
        """Both ends count the same, and a quarter of these bytes at least were saved."""
        encoder, decoder = self.passThrough([generate(1, packets=4000)])
        mine, other = encoder.statistics[0], decoder.statistics[0]
        for name in ("payload_in", "payload_out", "encoded", "hits", "announcements"):
            self.assertEqual(mine[name], other[name], name)
        self.assertLess(4 * mine["payload_out"], 3 * mine["payload_in"])

    def test_batchesOfAnySize(self) -> None:
        """Where a stream is cut into batches does not matter at the decoder."""
        traffic = generate(2, packets=1000)
        encoder, _ = makeEnds()
        encoded = next(through(encoder, [traffic])).compact()
        for size in (1, 7, 100):
            _, decoder = makeEnds()
            self.assertEqual(contents(through(decoder, pieces(encoded, size))), contents([traffic]))
        self.passThrough(list(pieces(traffic, 3)))

    def test_smallCaches(self) -> None:
        """The ring goes round many times."""
        self.passThrough([generate(3, packets=3000)], replace(SETTINGS, slots=64))

    def test_everyKindOfFrame(self) -> None:
        """VLANs, raw IP, cooked captures, the null link; IPv4 with options, IPv6; TCP and UDP: each is encoded."""
        inner = (
            four(udp(_TEXT)),
            four(tcp(_TEXT)),
            four(tcp(_TEXT), options=bytes(8)),
            six(udp(_TEXT)),
            six(tcp(_TEXT)),
        )
        for packet in inner:
            kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\0"
            family = b"\x1e\0\0\0" if packet[0] >> 4 == 6 else b"\2\0\0\0"
            for link, head in (
                (LinkType.ETHERNET, bytes(12) + kind),
                (LinkType.ETHERNET, bytes(12) + b"\x81\0\0\1" + kind),
                (LinkType.ETHERNET, bytes(12) + b"\x88\xa8\0\1\x81\0\0\2" + kind),
                (LinkType.RAW, b""),
                (LinkType.LINUX_SLL, bytes(14) + kind),
                (LinkType.LINUX_SLL2, kind + bytes(18)),
                (LinkType.NULL, family),
            ):
                batch = packetBatch([head + packet] * 2, [1, 2], link)
                encoder, _ = self.passThrough([batch])
                self.assertEqual(encoder.statistics[0]["encoded"], 1, (link, head))

    def test_passed(self) -> None:
        """What cannot be put back byte for byte, or is not worth it, is not touched."""
        good = ethernet(four(udp(_TEXT)))
        for bad in (
            good + b"\0",  # bytes behind
            good[:24] + b"\0\0" + good[26:],  # header checksum
            ethernet(four(udp(_TEXT), fragment=0x2000)),
            ethernet(four(udp(_TEXT), fragment=1)),
            ethernet(four(tcp(_TEXT, flags=0x11))),
            ethernet(four(tcp(_TEXT, flags=2))),
            ethernet(four(udp(_TEXT[:63]))),
            ethernet(four(udp(bytes(2049)))),
            ethernet(four(_TEXT, protocol=47)),
            ethernet(four(four(udp(_TEXT)), protocol=4)),
            bytes(12) + b"\x88\x64" + bytes(6) + b"\0\x21" + four(udp(_TEXT)),  # PPPoE has a length of its own
            good[:60],
        ):
            encoder, _ = self.passThrough([packetBatch([bad] * 3, [1, 2, 3])])
            self.assertEqual(encoder.statistics[0]["encoded"], 0, bad[:60].hex())
            self.assertEqual(encoder.statistics[0]["announcements"], 0)

    def test_ours(self) -> None:
        """Packets of our protocol that are not ours come back too, whatever they say."""
        encoder, _ = makeEnds()
        plain = packetBatch([ethernet(four(udp(_TEXT)))] * 3, [1, 2, 3])
        encoded = next(through(encoder, [plain]))
        again = packetBatch([encoded.packet(place) for place in range(len(encoded))], range(len(encoded)))
        others = [four(body, protocol=253) for body in (b"", b"R", b"ER", b"RE", b"RE\1", b"RE\1" + bytes(60), _TEXT)]
        others += [six(b"RE\1\2", protocol=253), four(b"RE\1", protocol=253, fragment=0x2000)]
        batch = packetBatch([ethernet(other) for other in others], range(len(others)))
        encoder, decoder = self.passThrough([again, batch, plain])
        self.assertGreater(encoder.statistics[0]["escaped"], 4)
        self.assertEqual(encoder.statistics[0]["escaped"], decoder.statistics[0]["escaped"])

    def test_neverLongerThanTheLink(self) -> None:
        """What does not fit with a shim is dropped and counted; all others are never longer than they were."""
        chosen = replace(SETTINGS, mtu=1500)
        whole = ethernet(four(b"RE\1" + bytes(1477), protocol=253))
        encoder, _ = makeEnds(chosen)
        sent = next(through(encoder, [packetBatch([whole, ethernet(four(udp(bytes(1472))))], [0, 0])]))
        self.assertEqual((len(sent), int(encoder.statistics[0]["too_long"])), (1, 1))
        self.assertEqual(int(sent.lengths.max()), 1514)

    def test_bypass(self) -> None:
        """A flow of noise is passed after a while, and not for ever."""
        noise = np.random.default_rng(5)
        packets = [ethernet(four(udp(noise.bytes(200)))) for _ in range(3000)]
        encoder, _ = self.passThrough(list(pieces(packetBatch(packets, range(3000)), 1)))
        looked = encoder.statistics[0]["misses"]
        self.assertGreaterEqual(looked, 8 + 2 * 6)
        self.assertLess(looked, 40)
        encoder, _ = self.passThrough([packetBatch(packets, range(3000))], replace(SETTINGS, bypass=False))
        self.assertEqual(encoder.statistics[0]["misses"], 3000)

    def test_textIsNotBypassed(self) -> None:
        """New text is no reason: it may come again."""
        words = [b"%d %x %o\n" % (number, number * 7919, number * 104729) for number in range(100000, 160000)]
        packets = [ethernet(four(tcp(b"".join(words[begin : begin + 30])))) for begin in range(0, 60000, 600)]
        encoder, _ = self.passThrough(list(pieces(packetBatch(packets, range(100)), 1)))
        self.assertEqual(int(encoder.statistics[0]["passed"][0]), 100)

    def test_severalCaches(self) -> None:
        """By destination, and by shares of what goes there."""
        flows = "10.0.0.0/8 0-0.25", "10.0.0.0/8 0.25-1", "::/0"
        chosen = replace(SETTINGS, caches=3, cacheFlows=flows)
        traffic = generate(4, packets=3000)
        encoder, decoder = self.passThrough([traffic], chosen)
        held = [int((cache.encoder.store.ids != 0).sum()) for cache in encoder.caches]
        self.assertEqual(held, [int((decoder.caches[each].decoder.store.ids != 0).sum()) for each in range(3)])
        self.assertTrue(all(held), held)
        self.assertLess(2 * held[0], held[1])

    def test_foreignCaches(self) -> None:
        """A decoder leaves alone what is of caches that it does not keep; one behind it puts it back."""
        chosen = replace(SETTINGS, caches=2, cacheFlows=("::/0 0-0.5", "::/0 0.5-1"))
        traffic = generate(5, packets=2000)
        encoder, _ = makeEnds(chosen)
        first, second = DecoderEnd(replace(chosen, keeps=(0,))), DecoderEnd(replace(chosen, keeps=(1,)))
        between = list(through(first, through(encoder, [traffic])))
        self.assertEqual(contents(through(second, between)), contents([traffic]))
        self.assertGreater(first.statistics[0]["foreign"], 0)
        self.assertEqual(sum(undecodable(each.statistics[0]) for each in (first, second)), 0)

    def test_newEpoch(self) -> None:
        """A newer epoch empties the cache; what is of an older one then is stale."""
        traffic = packetBatch([ethernet(four(udp(_TEXT)))] * 4, range(4))
        encoders = [makeEnds()[0] for _ in range(2)]
        encoders[1].caches[0].epoch = 2
        _, decoder = makeEnds()
        old, new = ([next(through(encoder, [traffic]))] for encoder in encoders)
        for _ in range(2):
            self.assertEqual(contents(through(decoder, new)), contents([traffic]))
        self.assertEqual(len(contents(through(decoder, old))), 1)
        self.assertEqual(int(decoder.statistics[0]["stale_epoch"]), 3)


class HostileTests(SynchronousTestCase):
    """Nothing that comes ends a decoder, or an encoder."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=120), max_size=8), st.sampled_from([0, 1, 101, 113, 276, 12]))
    def test_junk(self, packets: list[bytes], link: int) -> None:
        batch = packetBatch(packets, range(len(packets)), link)
        encoder, decoder = makeEnds(replace(SETTINGS, slots=64, entries=64))
        self.assertEqual(contents(through(decoder, through(encoder, [batch]))), contents([batch]))

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_damaged(self, data: st.DataObject) -> None:
        """Whatever is changed in what is under way: what is decoded has a payload that was sent."""
        sent = [_TEXT[begin : begin + 300] for begin in range(0, 1200, 40)]
        encoder, decoder = makeEnds(replace(SETTINGS, slots=64, entries=1024))
        encoded = next(through(encoder, [packetBatch([ethernet(four(udp(each))) for each in sent], range(len(sent)))]))
        packets = [encoded.packet(place) for place in range(len(encoded))]
        for _ in range(data.draw(st.integers(1, 4))):
            which = data.draw(st.integers(0, len(packets) - 1))
            if len(packets[which]) > 34 and packets[which][23] == 253:
                place = data.draw(st.integers(34, len(packets[which]) - 1))
                changed = bytes([data.draw(st.integers(0, 255))])
                packets[which] = packets[which][:place] + changed + packets[which][place + 1 :]
        back = next(through(decoder, [packetBatch(packets, range(len(packets)))]))
        for place in range(len(back)):
            packet = back.packet(place)
            if packet[23] == 17:
                self.assertIn(packet[42:], sent)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=80), min_size=1, max_size=8))
    def test_madeUp(self, bodies: list[bytes]) -> None:
        """Shims of random bytes."""
        packets = [ethernet(four(b"RE\1" + body, protocol=253)) for body in bodies]
        _, decoder = makeEnds(replace(SETTINGS, slots=64))
        back = next(through(decoder, [packetBatch(packets, range(len(packets)))]))
        self.assertEqual(len(back) + undecodable(decoder.statistics[0]), len(packets))
