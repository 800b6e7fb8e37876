"""Codecs that are measured: what comes back is what went in, and the bench would see it if it were not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from openmb.bench.smartre.codecs import Codec, Ours, Single, Stopwatch, Stream, lz4Each, lz4Module, zstdEach
from openmb.bench.smartre.measure import runTurn
from openmb.bench.smartre.path import InLine
from openmb.bench.smartre.sets import SIZE, frameOf, ofCapture, synthetic
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.packets.stream import writeCapture
from openmb.plugins.smartre.secondstage import train

DATA, TRAINING = synthetic(300), synthetic(300, 2)


class SetTests(SynchronousTestCase):
    """Payloads."""

    def test_synthetic(self) -> None:
        """The same from the same seed, nearly half of it there before; frames whose checksums are right."""
        self.assertEqual(DATA.payloads, synthetic(300).payloads)
        self.assertNotEqual(DATA.payloads, TRAINING.payloads)
        self.assertEqual({SIZE}, {len(payload) for payload in DATA.payloads})
        codec = Ours(slots=1024)
        runTurn(codec, DATA)
        self.assertTrue(0.3 < 1 - codec.carried / DATA.size < 0.5)
        decoded = Decoder(checksums=True).decode(packetBatch([frameOf(7, b"some")], [0]))
        self.assertEqual(1, len(decoded))

    def test_capture(self) -> None:
        """Payloads of a capture are those of its packets; batches are its packets."""
        place = Path(self.mktemp())
        writeCapture(place, DATA.batches)
        self.assertEqual(DATA.payloads, ofCapture(place).payloads)


class CodecTests(SynchronousTestCase):
    """One after the other."""

    def check(self, make: Callable[[], Codec]) -> float:
        """It gives back everything; the share that it saves."""
        codec = make()
        turn = runTurn(codec, DATA)
        self.assertTrue(turn.isRight)
        self.assertGreater(turn.encode, 0)
        self.assertGreater(turn.decode, 0)
        return 1 - turn.carried / DATA.size

    def test_ours(self) -> None:
        codec, line = self.check(lambda: Ours(1024)), self.check(lambda: InLine(DATA.batches))
        self.assertGreater(codec, 0.3)
        # the codec counts shims and announcements as the path really has them, but for heads of announcements
        self.assertAlmostEqual(codec, line, 2)

    def test_stage(self) -> None:
        """With the second stage, whose dictionary both ends read."""
        place = Path(self.mktemp())
        place.write_bytes(train(TRAINING.payloads, 4096))
        self.assertGreater(self.check(lambda: InLine(DATA.batches, place)), 0.3)

    def test_streams(self) -> None:
        for level in (1, 3):
            self.assertGreater(self.check(lambda level=level: Stream(level)), 0.3)  # type: ignore[misc]

    def test_dictionary(self) -> None:
        dictionary = train(TRAINING.payloads, 4096)
        self.assertGreaterEqual(self.check(lambda: zstdEach(1, dictionary)), 0)

    def test_lz4(self) -> None:
        module = lz4Module()
        if module is None:
            raise SkipTest("lz4 is not installed: it is a rival in the bench alone")
        self.assertGreaterEqual(self.check(lambda: lz4Each(module)), 0)

    def test_wrong(self) -> None:
        """What gives back something else is not right."""
        wrong = Single(lambda payload: payload[:10], lambda encoded: encoded)
        self.assertFalse(runTurn(wrong, DATA).isRight)
        line = InLine(DATA.batches)
        line.prepare(DATA.payloads)
        line.encode(Stopwatch())
        line._between[0].data[60] ^= 1
        line.decode(Stopwatch())
        self.assertNotEqual(list(DATA.payloads), line.decoded())
