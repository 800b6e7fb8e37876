"""Payloads that are worst for the codec: what repeats itself, collides, or lies at an edge."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder as PacketDecoder
from openmb.packets.headers import Kind
from openmb.plugins.smartre import decoding, encoding
from openmb.plugins.smartre.decoding import Decoder, Outcome
from openmb.plugins.smartre.encoding import Encoder
from openmb.plugins.smartre.markers import MARKERS
from openmb.plugins.smartre.store import IDS, PacketStore, State
from openmb.testing.smartre.oracle import Body, OracleStore, fingerprintOf, markersOf
from tests.plugins.smartre.pairs import Pair, Settings, bodiesOf, decodeAll, runs
from tests.shared import needSharedFolder

_K, _ALL = 0x9E3779B97F4A7C15, (1 << 64) - 1


def webPayloads(name: str) -> Iterator[bytes]:
    """TCP payloads of a capture of a web server."""
    for batch in openCapture(needSharedFolder() / "traces" / "web" / name).batches(256):
        headers = PacketDecoder().decode(batch).headers
        for place in np.flatnonzero((headers["kind"] == Kind.TCP) & (headers["captured"] > 0)):
            header = headers[place]
            yield batch.packet(int(place))[int(header["payload"]) :][: int(header["captured"])]


def step(value: int, word: int) -> int:
    """The hash's, in the open."""
    value = (value ^ word) * _K & _ALL
    return value ^ (value >> 32)


def collide(window: bytes, third: int) -> bytes:
    """Another window with the same first half, the given third word, and the same fingerprint."""
    words = [int.from_bytes(window[place : place + 8], "little") for place in range(0, 32, 8)]
    before = step(step(0, words[0]), words[1])
    # a step is injective in value ^ word
    words[3] ^= step(before, words[2]) ^ step(before, third)
    words[2] = third
    return b"".join(word.to_bytes(8, "little") for word in words)


def aMarker(dice: random.Random) -> bytes:
    """A window that is a marker."""
    data = dice.randbytes(3000)
    position = next(iter(markersOf(data)))
    return data[position : position + 32]


class PayloadTests(SynchronousTestCase):
    """Payloads of one kind, through kernels and oracle."""

    def send(self, payloads: Sequence[bytes], settings: Settings | None = None) -> list[Body]:
        """Kernels and oracle agree, and all comes out again."""
        return Pair(settings or Settings(slotBytes=2048)).send(payloads)

    def test_constant(self) -> None:
        """All zeros, and all of another byte: one match for the whole, as few markers as is bounded."""
        for byte in (b"\0", b"\x01", b"\xff"):
            bodies = self.send([byte * 2048, byte * 2048, byte * 1000], Settings(slotBytes=2048, sampling=8))
            for body in bodies[1:]:
                self.assertIn(body.matches, (0, 1))
        self.assertEqual(self.send([bytes(2048)] * 2)[1].matches, 1)
        self.assertLessEqual(len(markersOf(bytes(2048))), MARKERS)

    def test_lengths(self) -> None:
        """Every length around words and windows, the longest and none at all, twice."""
        dice = random.Random(2)
        text = dice.randbytes(2048)
        payloads = [text[:length] for length in (*range(70), 255, 256, 1023, 2047, 2048)]
        self.send([*payloads, *payloads], Settings(slots=256, slotBytes=2048, sampling=8))

    def test_wholeLongest(self) -> None:
        """The longest payload is one match of the longest length."""
        text = random.Random(3).randbytes(2048)
        body = self.send([text, text])[1]
        self.assertEqual((body.matches, body.data), (1, (2047 << 22 | 1 << 33).to_bytes(8, "little")))

    def test_periodic(self) -> None:
        """Every period up to beyond a window."""
        dice = random.Random(4)
        for period in (*range(1, 20), 31, 32, 33, 40, 64, 100):
            part = dice.randbytes(period) * (1500 // period)
            self.send([part, part[1:], dice.randbytes(9) + part, part[: len(part) // 2]], Settings(sampling=8))

    def test_selfSimilar(self) -> None:
        """What repeats within a packet is no reference: only packets before count."""
        part = random.Random(5).randbytes(300)
        first, second = self.send([part * 5, part * 5])
        self.assertEqual((first.matches, second.matches), (0, 1))

    def test_manyMatches(self) -> None:
        """As many matches as fit: 32 bytes each, with one byte between."""
        dice = random.Random(6)
        parts = [aMarker(dice) for _ in range(60)]
        sources = [b"".join(parts[place::2]) for place in (0, 1)]
        body = self.send([*sources, b"".join(part + b"%c" % place for place, part in enumerate(parts))])[-1]
        self.assertGreater(body.matches, 40)

    def test_collisions(self) -> None:
        """Windows with the same fingerprint are told apart by their bytes; the entry goes to the newer one."""
        dice = random.Random(7)
        window = aMarker(dice)
        other = collide(window, 12345)
        self.assertEqual((fingerprintOf(window), window[:16]), (fingerprintOf(other), other[:16]))
        self.assertNotEqual(window, other)
        bodies = self.send([window, other, other, window, dice.randbytes(50) + other + window])
        self.assertEqual([body.matches for body in bodies[:4]], [0, 0, 1, 0])

    def test_web(self) -> None:
        """Payloads of a web server, with and without the gate."""
        payloads = list(islice(webPayloads("zipf.pcap"), 400))
        for gated in (False, True):
            pair, sent, made = Pair(Settings(slots=256, entries=1 << 14, gated=gated)), 0, 0
            for start in range(0, len(payloads), 50):
                bodies = pair.send(payloads[start : start + 50])
                made += sum(len(body.data) for body in bodies)
                sent += sum(map(len, payloads[start : start + 50]))
                pair.mark([body.id for body in bodies], State.USABLE)
            self.assertLess(made, sent * 0.9)


class RingTests(SynchronousTestCase):
    """Where slots and ids begin again."""

    def test_lastMoment(self) -> None:
        """A packet may refer to the one that it takes the slot of, and not to what is gone."""
        dice = random.Random(8)
        text = dice.randbytes(1000)
        for slots, between, matches in ((4, 3, 1), (4, 4, 0), (1, 0, 1), (1, 1, 0)):
            others = [dice.randbytes(500) for _ in range(between)]
            bodies = Pair(Settings(slots=slots)).send([text, *others, text])
            self.assertEqual(bodies[-1].matches, matches, (slots, between))

    def test_idsBeginAgain(self) -> None:
        """References reach across 2**32 and 2**64; the last id of all is never held."""
        dice = random.Random(9)
        texts = [dice.randbytes(400) for _ in range(8)]
        for border in (1 << 32, IDS):
            bodies = Pair(Settings(first=border - 4)).send([*texts, *texts])
            self.assertEqual([body.id for body in bodies[:6]], [(border - 4 + place) % IDS for place in range(6)])
            # the fourth packet has the last id below the border
            fourth = int(border != IDS)
            self.assertEqual([body.matches for body in bodies[8:]], [1, 1, 1, fourth, 1, 1, 1, 1])

    def test_tooFar(self) -> None:
        """A packet more than 2**31 - 1 ids back cannot be named."""
        text = random.Random(10).randbytes(500)
        for gap, matches in (((1 << 31) - 1, 1), (1 << 31, 0), (1 << 32, 0)):
            pair = Pair(Settings(slots=1 << 3))
            pair.send([text])
            pair.encoder.store.next = pair.plainEncoder.store.next = 1 + gap
            # the slot of the new packet must not matter
            self.assertEqual(pair.encode([text])[0].matches, matches, gap)

    def test_batches(self) -> None:
        """Bodies do not depend on how packets are cut into batches."""
        dice = random.Random(11)
        texts = [dice.randbytes(300) * 4 for _ in range(5)]
        payloads = [dice.choice(texts)[dice.randrange(500) :] for _ in range(60)]
        found = []
        for size in (1, 2, 3, 7, 60):
            encoder = Encoder(PacketStore(16), 1 << 10, gated=False)
            batches = [payloads[start : start + size] for start in range(0, len(payloads), size)]
            found.append([body for batch in batches for body in bodiesOf(encoder.encode(*runs(batch), 1))])
        for other in found[1:]:
            self.assertEqual(found[0], other)


class StoreTests(SynchronousTestCase):
    """L{PacketStore} by itself."""

    def test_sameAsOracle(self) -> None:
        """Ids in any order: the newer one stays, whichever comes last."""
        for first in (1, IDS - 20, (1 << 63) - 5):
            dice, store, plain = random.Random(first), PacketStore(8, 100, first), OracleStore(8, 100, first)
            for _ in range(200):
                number, payload = (first + dice.randrange(40)) % IDS, dice.randbytes(dice.randrange(101))
                held = store.insert(number, payload)
                plain.insert(number, payload)
                self.assertEqual(held, plain.find(number) is not None)
                self.assertEqual(store.payload(number), plain.payload(number))
                self.assertEqual(store.next, plain.next)

    def test_copyAndClear(self) -> None:
        """A copy goes its own way; a cleared store holds nothing."""
        store = PacketStore(4)
        store.insert(1, b"one")
        other = store.copy()
        other.insert(5, b"five")
        self.assertEqual(
            (store.payload(1), store.holds(5), other.holds(1), other.payload(5)), (b"one", False, False, b"five")
        )
        store.clear()
        self.assertEqual((store.payload(1), store.next, len(store.held())), (None, 2, 0))
        store.clear(9)
        self.assertEqual(store.next, 9)

    def test_refused(self) -> None:
        """Sizes that cannot be, and payloads that do not fit: nothing of their batch is stored."""
        for slots, size in ((3, 100), (0, 100), (4, 0), (4, 2049), (1 << 31, 1)):
            self.assertRaises(ValueError, PacketStore, slots, size)
        store = PacketStore(4, 10)
        ids = np.array([1, 2], np.uint64)
        self.assertRaises(ValueError, store.insertAll, ids, *runs([b"fits", b"does not fit"]))
        self.assertRaises(ValueError, store.insertAll, ids, *runs([b"one"]))
        self.assertEqual(len(store.held()), 0)

    def test_encoderRefuses(self) -> None:
        """Settings that cannot be, and payloads that are not there or too long: nothing is done then."""
        store = PacketStore(4, 100)
        for entries, sampling in ((3, 32), (0, 32), (4, 4), (4, 2048), (4, 33)):
            self.assertRaises(ValueError, Encoder, store, entries, True, True, sampling)
        encoder, data, one = Encoder(store, 16), np.zeros(200, np.uint8), np.ones(1, np.int64)
        huge = one * ((1 << 63) - 1)
        for offsets, lengths in ((one * 0, one * 101), (one * 101, one * 100), (-one, one), (one, -one), (huge, huge)):
            self.assertRaises(ValueError, encoder.encode, data, offsets, lengths, 1)
        self.assertRaises(ValueError, encoder.encode, data, one, np.ones(2, np.int64), 1)
        self.assertEqual((store.next, len(store.held())), (1, 0))


class TypeTests(SynchronousTestCase):
    """What is compiled beforehand is all that is ever compiled."""

    def test_oneVersion(self) -> None:
        """Arrays that may be written or not, strided, of other types."""
        encoder, decoder = Encoder(PacketStore(8), 16), Decoder(PacketStore(8))
        data = np.arange(256, dtype=np.uint8)
        for given in (data, np.frombuffer(bytes(data), np.uint8), np.repeat(data, 2)[::2]):
            several: tuple[Any, ...] = (
                np.array([0, 100]),
                np.array([0, 100], np.uint32),
                np.array([0, 5, 100, 5])[::2],
            )
            for offsets in several:
                bodies = encoder.encode(given, offsets, np.array([100, 100], np.uint32), 1)
                found = decodeAll(decoder, bodiesOf(bodies), [100, 100], 1)
                self.assertEqual([each.outcome for each in found], [Outcome.DECODED] * 2)
        for kernel in (encoding._encode, decoding._decode):
            self.assertLessEqual(len(getattr(kernel, "signatures", ())), 1)
