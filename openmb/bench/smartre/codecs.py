"""
Codecs that can be measured side by side: payloads in, something shorter between, the same payloads out.

Each has its state for itself, and packets can be sent one by one: a stream is flushed after each.  Only the work itself
is timed.  A box that has run for a while has touched its whole store, and hands on what it makes batch by batch; so
stores are touched before, and what was made is copied aside between two batches, for its memory to be used again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import zstandard
from numpy.typing import NDArray

from openmb.bench.smartre.sets import AT_ONCE
from openmb.plugins.smartre.decoding import Decoder, Outcome
from openmb.plugins.smartre.encoding import Bodies, Encoder
from openmb.plugins.smartre.format import SHIM_LENGTH
from openmb.plugins.smartre.store import PacketStore

#: Bytes of an announcement for a packet that travels as it is.
ANNOUNCED = 14
#: Of zstd's stream: 2 to this many bytes may be referred to.
_WINDOW = 27
_EPOCH = 1


class Stopwatch:
    """
    CPU time of this process, while it runs.

    @ivar seconds: so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = time.process_time()

    def __exit__(self, *error: object) -> None:
        self.seconds += time.process_time() - self._begun


class Codec(Protocol):
    """One codec, fresh."""

    @property
    def carried(self) -> int:
        """Bytes that would travel, known once L{decoded} was asked for."""

    def prepare(self, payloads: Sequence[bytes]) -> None:
        """What does not count: bring payloads into the shape in which they come."""

    def encode(self, watch: Stopwatch) -> None:
        """Encode all of them."""

    def decode(self, watch: Stopwatch) -> None:
        """Decode all that was encoded."""

    def decoded(self) -> list[bytes]:
        """What came of it; does not count either."""


#: Makes a fresh one.
Make = Callable[[], Codec]


class Ours:
    """
    SmartRE's codec over batches, checksums included.  What does not get shorter by more than a shim travels as it is,
    and is announced.
    """

    def __init__(self, slots: int = 1 << 16, sampling: int = 32) -> None:
        self._encoder = Encoder(PacketStore(slots), gated=False, sampling=sampling)
        self._decoder = Decoder(PacketStore(slots))
        self._batches: list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]] = []
        self._bodies: list[Bodies] = []
        self._found: list[Any] = []
        self._carried = 0

    @property
    def carried(self) -> int:
        """See L{Codec}."""
        return self._carried

    def prepare(self, payloads: Sequence[bytes]) -> None:
        """See L{Codec}."""
        for store in (self._encoder.store, self._decoder.store):
            store.payloads.fill(0)
        for place in range(0, len(payloads), AT_ONCE):
            some = payloads[place : place + AT_ONCE]
            lengths = np.fromiter(map(len, some), np.int64, len(some))
            self._batches.append((np.frombuffer(b"".join(some), np.uint8), np.cumsum(lengths) - lengths, lengths))

    def encode(self, watch: Stopwatch) -> None:
        """See L{Codec}."""
        for batch in self._batches:
            with watch:
                bodies = self._encoder.encode(*batch, _EPOCH)
            self._bodies.append(replace(bodies, data=bodies.data.copy()))

    def decode(self, watch: Stopwatch) -> None:
        """See L{Codec}."""
        for (_, _, lengths), one in zip(self._batches, self._bodies, strict=True):
            sizes = lengths.astype(np.uint16)
            with watch:
                body = one.data, one.offsets, one.lengths, one.ids, one.matches
                found = self._decoder.decode(*body, sizes, one.checksums, _EPOCH)
            self._found.append(replace(found, data=found.data.copy()))

    def decoded(self) -> list[bytes]:
        """See L{Codec}; what was not decoded is empty."""
        out = []
        for (_, _, lengths), one, found in zip(self._batches, self._bodies, self._found, strict=True):
            encoded = one.lengths + SHIM_LENGTH
            self._carried += int(np.where(encoded < lengths, encoded, lengths + ANNOUNCED).sum())
            for start, length, outcome in zip(found.offsets.tolist(), lengths.tolist(), found.outcomes, strict=True):
                out.append(found.data[start : start + length].tobytes() if outcome == Outcome.DECODED else b"")
        return out


class Single:
    """A codec of Python calls for each packet."""

    def __init__(self, compress: Callable[[bytes], bytes], restore: Callable[[bytes], bytes]) -> None:
        self._compress, self._restore = compress, restore
        self._payloads: Sequence[bytes] = ()
        self._encoded: list[bytes] = []
        self._out: list[bytes] = []

    @property
    def carried(self) -> int:
        """See L{Codec}: what does not get shorter travels as it is."""
        return sum(min(len(one), len(other)) for one, other in zip(self._payloads, self._encoded, strict=True))

    def prepare(self, payloads: Sequence[bytes]) -> None:
        """See L{Codec}."""
        self._payloads = payloads

    def encode(self, watch: Stopwatch) -> None:
        """See L{Codec}."""
        with watch:
            self._encoded = [self._compress(payload) for payload in self._payloads]

    def decode(self, watch: Stopwatch) -> None:
        """See L{Codec}."""
        with watch:
            self._out = [self._restore(one) for one in self._encoded]

    def decoded(self) -> list[bytes]:
        """See L{Codec}."""
        return self._out


class Stream(Single):
    """zstd with long-distance matching: one stream, flushed after each packet; none may be lost."""

    def __init__(self, level: int) -> None:
        wide = {"window_log": _WINDOW, "enable_ldm": True}
        chosen = zstandard.ZstdCompressionParameters.from_level(level, **wide)
        stream = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
        flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        other = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW).decompressobj()
        super().__init__(lambda payload: stream.compress(payload) + stream.flush(flush), other.decompress)

    @property
    def carried(self) -> int:
        """See L{Codec}: of a stream everything travels."""
        return sum(map(len, self._encoded))


def zstdEach(level: int, dictionary: bytes) -> Single:
    """zstd, each packet by itself, with a trained dictionary."""
    known = zstandard.ZstdCompressionDict(dictionary)
    compressor = zstandard.ZstdCompressor(level=level, dict_data=known)
    return Single(compressor.compress, zstandard.ZstdDecompressor(dict_data=known).decompress)


def lz4Module() -> ModuleType | None:
    """C{lz4.block}, or None where it is not installed."""
    try:
        return import_module("lz4.block")
    except ImportError:
        return None


def lz4Each(module: Any) -> Single:
    """lz4, each packet by itself."""
    return Single(module.compress, module.decompress)
