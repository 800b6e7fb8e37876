"""Lengths of unpacked streams, against zlib."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import zlib

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError
from openmb.plugins.bro.analyzers.http.inflate import INFLATER, RECORD, Inflater

#: Window bits: zlib, gzip, none, and zlib with the smallest window.
WRAPPERS = (15, 31, -15, 9)
STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED)


def packed(data: bytes, level: int = 6, wrapper: int = -15, strategy: int = 0) -> bytes:
    """A stream of two parts, flushed between."""
    packer = zlib.compressobj(level, zlib.DEFLATED, wrapper, 8, strategy)
    half = len(data) // 2
    parts = (packer.compress(data[:half]), packer.flush(zlib.Z_SYNC_FLUSH), packer.compress(data[half:]))
    return b"".join(parts) + packer.flush()


def counted(data: bytes, step: int = 1 << 30, moving: bool = False) -> tuple[int, bool]:
    """How long it is unpacked, taken in pieces, and whether it was over."""
    stream, total = Inflater(), 0
    for at in range(0, len(data), step):
        total += stream.feed(data[at : at + step])
        if moving:
            stream = Inflater.load(stream.dump())
    return total, stream.isOver


def texts() -> list[bytes]:
    """Of every kind: nothing, all the same, words, all bytes, noise."""
    source = random.Random(5)
    words = b" ".join(source.choice((b"here", b"there", b"%d" % source.randrange(9999))) for _ in range(4000))
    return [
        b"",
        b"a",
        bytes(70_000),
        words,
        bytes(range(256)) * 99,
        source.randbytes(70_000),
        words + bytes(40_000) + words,
    ]


class LengthTests(SynchronousTestCase):
    """Whole streams."""

    def test_everything(self) -> None:
        """Every wrapper, level and strategy; what follows does not count."""
        for data in texts():
            for wrapper in WRAPPERS:
                for level, strategy in [*((level, 0) for level in (0, 1, 6, 9)), *((6, each) for each in STRATEGIES)]:
                    stream = packed(data, level, wrapper, strategy)
                    self.assertEqual(counted(stream), (len(data), True), (len(data), wrapper, level, strategy))
                    self.assertEqual(counted(stream + stream), (len(data), True))

    def test_header(self) -> None:
        """Every optional field of a gzip header."""
        body = packed(b"some text")
        for flags in range(32):
            header = b"\x1f\x8b\x08" + bytes((flags,)) + bytes(6)
            header += b"\5\0extra" if flags & 4 else b""
            header += b"a name\0" if flags & 8 else b""
            header += b"a comment\0" if flags & 16 else b""
            header += b"\1\2" if flags & 2 else b""
            for step in (1, 1 << 30):
                self.assertEqual(counted(header + body, step, True), (9, True), flags)

    def test_notUnpacked(self) -> None:
        """Other methods, reserved flags, and dictionaries that nobody has."""
        body = packed(b"some text")
        self.assertEqual(counted(b"\x1f\x8b\x07" + bytes(7) + body), (0, True))
        self.assertEqual(counted(b"\x1f\x8b\x08\x20" + bytes(6) + body), (0, True))
        self.assertEqual(counted(b"\x78\x20" + bytes(4) + body), (0, True))

    def test_cut(self) -> None:
        """As much as zlib gives of the bytes so far, after each of them."""
        for data in (b"some text, some text, some more text" * 9, bytes(range(256)) * 3):
            for strategy in STRATEGIES:
                stream, ours, theirs = packed(data, 6, -15, strategy), Inflater(), zlib.decompressobj(-15)
                for byte in stream:
                    octet = bytes((byte,))
                    self.assertEqual(ours.feed(octet), len(theirs.decompress(octet)))


class SegmentationTests(SynchronousTestCase):
    """It does not matter how the bytes come, nor where the stream moves."""

    def test_steps(self) -> None:
        data = texts()[6]
        for wrapper in WRAPPERS:
            stream = packed(data, 9, wrapper)
            for step in (1, 2, 3, 5, 7, 8, 9, 64, 1460):
                self.assertEqual(counted(stream, step, True), (len(data), True), step)

    @settings(max_examples=60, deadline=None)
    @given(some.randoms(use_true_random=False), some.integers(1, 40))
    def test_damaged(self, source: random.Random, step: int) -> None:
        """Damage ends the count at the same place, however the bytes come, and where zlib finds it."""
        stream = bytearray(packed(source.choice(texts())[:6000], 6, -15, source.choice(STRATEGIES)))
        for _ in range(source.randrange(1, 4)):
            stream[source.randrange(len(stream))] = source.randrange(256)
        ours = counted(bytes(stream))
        self.assertEqual(counted(bytes(stream), step, True), ours)
        theirs, total = zlib.decompressobj(-15), 0
        try:
            for byte in stream:
                total += len(theirs.decompress(bytes((byte,))))
        except zlib.error:
            self.assertTrue(ours[1])
            self.assertLessEqual(abs(ours[0] - total), 600)
        else:
            self.assertEqual(ours, (total, theirs.eof))

    @settings(max_examples=100, deadline=None)
    @given(some.binary(max_size=300))
    def test_junk(self, data: bytes) -> None:
        self.assertEqual(counted(data, 1, True), counted(data))


class DumpTests(SynchronousTestCase):
    """The state on its way."""

    def busy(self) -> bytes:
        stream = Inflater()
        stream.feed(packed(texts()[3], 9, 31)[:2000])
        return stream.dump()

    def test_declared(self) -> None:
        """A dump is what L{INFLATER} declares."""
        dump = self.busy()
        self.assertEqual(INFLATER.build(INFLATER.parse(dump)), dump)
        self.assertLess(len(dump), 400)
        self.assertEqual(Inflater.load(dump).dump(), dump)

    def test_golden(self) -> None:
        stream = Inflater()
        stream.feed(b"\x1f\x8b\x08\x08" + bytes(6) + b"n")
        self.assertEqual(stream.dump(), bytes((4, 0, 8)) + bytes(RECORD.itemsize - 3))

    def test_cut(self) -> None:
        dump = self.busy()
        for length in range(len(dump)):
            self.assertRaises(OperationError, Inflater.load, dump[:length])
        self.assertRaises(OperationError, Inflater.load, dump + b"\0")

    def test_eachByteChanged(self) -> None:
        """Refused, or a stream that takes anything."""
        dump, junk = self.busy(), os.urandom(50) + gzip.compress(b"text" * 99)
        for place in range(len(dump)):
            for value in (0, 1, 14, 15, 16, 63, 255):
                changed = dump[:place] + bytes((value,)) + dump[place + 1 :]
                try:
                    stream = Inflater.load(changed)
                except OperationError:
                    continue
                stream.feed(junk)
                Inflater.load(stream.dump()).feed(junk)

    def test_eachStage(self) -> None:
        """Any stage with the numbers of another."""
        dump = self.busy()
        for stage in range(15):
            for count, bits in ((0, 0), (62, (1 << 62) - 1), (13, 5000)):
                changed = bytes((stage,)) + dump[1:3] + bytes((count,)) + bits.to_bytes(8, "little") + dump[12:]
                if stage == 11:  # of these lengths there are fewer than are known here
                    self.assertRaises(OperationError, Inflater.load, changed)
                    continue
                stream = Inflater.load(changed)
                stream.feed(bytes(range(256)) * 9)
                Inflater.load(stream.dump())


class PlainTests(SynchronousTestCase):
    """The kernels as plain Python, and as compiled code that checks its indices."""

    PROGRAM = (
        "import random, zlib; from openmb.plugins.bro.analyzers.http.inflate import Inflater\n"
        "source = random.Random(3)\n"
        "for strategy in range(5):\n"
        "    data = b''.join(b'%d word ' % source.randrange(99) for _ in range(300))\n"
        "    packer = zlib.compressobj(6, zlib.DEFLATED, 31, 8, strategy)\n"
        "    stream = packer.compress(data) + packer.flush()\n"
        "    one = Inflater(); assert one.feed(stream) == len(data) and one.isOver\n"
        "    for _ in range(40):\n"
        "        bad = bytearray(stream); bad[source.randrange(12, len(bad))] = source.randrange(256)\n"
        "        Inflater().feed(bytes(bad)); Inflater().feed(source.randbytes(60))\n"
    )

    def run_(self, **environment: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", self.PROGRAM],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_plain(self) -> None:
        self.run_(NUMBA_DISABLE_JIT="1")

    def test_checked(self) -> None:
        self.run_(NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=self.mktemp())
