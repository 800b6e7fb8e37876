"""
The second stage: what is left of a packet, its literals, as one zstd frame (docs/smartre.md, 1).

Frames have neither magic nor content size, checksum nor dictionary id: the shim says all that is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import zstandard
from numba import njit
from numpy.typing import NDArray

from openmb.errors import ConfigurationError
from openmb.packets.loads import plain, sourceOf
from openmb.plugins.smartre.encoding import Bodies
from openmb.plugins.smartre.format import Flag
from openmb.plugins.smartre.settings import SmartreSettings
from openmb.plugins.smartre.unframing import ITEM
from openmb.plugins.smartre.words import copyBytes, load64

#: Literals shorter than this are not compressed; bytes of a word.
SHORTEST, _WORD = 24, 8
#: Of zstd, and bytes of a dictionary, chosen by what they save (docs/performance.md).
LEVEL, DICTIONARY = 3, 256 << 10
_SECOND_STAGE = int(Flag.SECOND_STAGE)


@njit(cache=True)
def _splice(
    data: Any, starts: Any, sizes: Any, kept: Any, tails: Any, tailStarts: Any, tailSizes: Any, out: Any, offsets: Any
) -> None:
    """Write each body: whole where C{tailStarts} is negative, else its first C{kept} bytes and its tail."""
    source, other, target = sourceOf(data), sourceOf(tails), sourceOf(out)
    at = 0
    for place in range(len(starts)):
        offsets[place] = at
        if tailStarts[place] < 0:
            copyBytes(target, at, source, starts[place], sizes[place])
            at += sizes[place]
        else:
            copyBytes(target, at, source, starts[place], kept[place])
            copyBytes(target, at + kept[place], other, tailStarts[place], tailSizes[place])
            at += kept[place] + tailSizes[place]


@njit(cache=True)
def _literalSizes(data: Any, starts: Any, sizes: Any, matches: Any, lengths: Any, literals: Any) -> None:
    """How many literals each body has by its words; -1: the words are cut off, or it cannot be."""
    source = sourceOf(data)
    for place in range(len(starts)):
        count, left = np.int64(matches[place]), np.int64(lengths[place])
        if 8 * count > sizes[place]:
            literals[place] = -1
            continue
        for match in range(count):
            word = load64(source, starts[place] + 8 * match)
            left -= np.int64((word >> np.uint64(22)) & np.uint64(2047)) + 1
        literals[place] = max(left, -1)


class SecondStage:
    """
    Compresses and restores literals, packet by packet: no packet needs another one for it.

    Calls of zstandard's for many packets at once are not used: they save less than a tenth of the time.

    @param dictionary: what L{train} made, the same at both ends; empty: none.
    """

    def __init__(self, dictionary: bytes = b"", level: int = LEVEL) -> None:
        known = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        form = zstandard.FORMAT_ZSTD1_MAGICLESS
        less = {"write_content_size": 0, "write_checksum": 0, "write_dict_id": 0}
        chosen = zstandard.ZstdCompressionParameters.from_level(level, format=form, **less)
        self._compressor = zstandard.ZstdCompressor(dict_data=known, compression_params=chosen)
        self._decompressor = zstandard.ZstdDecompressor(dict_data=known, format=form)

    def squeeze(self, bodies: Bodies) -> tuple[Bodies, NDArray[np.uint8]]:
        """C{bodies}, their literals compressed where that makes them shorter; and the C{Flag}s of each."""
        kept = bodies.matches.astype(np.int64) * _WORD
        view, compress = bodies.data.data, self._compressor.compress
        tails: dict[int, bytes] = {}
        starts, ends = (bodies.offsets + kept).tolist(), (bodies.offsets + bodies.lengths).tolist()
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if end - start >= SHORTEST:
                tail = compress(view[start:end])
                if len(tail) < end - start:
                    tails[place] = tail
        data, offsets, lengths = _spliced(bodies.data, bodies.offsets, bodies.lengths, kept, tails)
        flags = np.zeros(len(kept), np.uint8)
        flags[list(tails)] = _SECOND_STAGE
        return replace(bodies, data=data, offsets=offsets, lengths=lengths), flags

    def expand(self, items: NDArray[Any], bodies: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """
        The bodies of C{items}, their literals as they were; C{start} and C{size} in C{items} follow.

        What cannot be restored stays as it is, and makes no body.
        """
        which = np.flatnonzero(items["flags"] & _SECOND_STAGE)
        if not len(which):
            return bodies
        some = items[which]
        literals = np.empty(len(which), np.int64)
        _literalSizes(plain(bodies), some["start"], some["size"], some["matches"], some["length"], literals)
        tails: dict[int, bytes] = {}
        view = bodies.data
        starts = (some["start"] + some["matches"].astype(np.int64) * _WORD).tolist()
        ends = (some["start"] + some["size"]).tolist()
        for place, start, end, size in zip(which.tolist(), starts, ends, literals.tolist(), strict=True):
            if size > 0:
                try:
                    tails[place] = self._decompressor.decompress(view[start:end], max_output_size=size)
                except zstandard.ZstdError:
                    continue  # the codec finds that there are too many or too few literals
        kept = items["matches"].astype(np.int64) * _WORD
        out, items["start"], items["size"] = _spliced(bodies, items["start"], items["size"], kept, tails)
        return out


def _spliced(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    kept: NDArray[np.int64],
    tails: dict[int, bytes],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Bodies, some with other tails, by place: the bytes, where each begins, how long each is."""
    where = np.fromiter(tails, np.int64, len(tails))
    tailSizes, tailStarts = np.zeros(len(starts), np.int64), np.full(len(starts), -1, np.int64)
    tailSizes[where] = np.fromiter(map(len, tails.values()), np.int64, len(tails))
    tailStarts[where] = np.cumsum(tailSizes[where]) - tailSizes[where]
    after = np.where(tailStarts < 0, sizes, kept + tailSizes)
    out, offsets = np.empty(int(after.sum()), np.uint8), np.empty(len(starts), np.int64)
    joined = np.frombuffer(b"".join(tails.values()), np.uint8)
    arrays = [plain(array) for array in (data, starts, sizes, kept, joined, tailStarts, tailSizes)]
    _splice(arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], arrays[5], arrays[6], out, offsets)
    return out, offsets, after


def dictionaryOf(settings: SmartreSettings) -> bytes:
    """
    The dictionary that the settings name; empty: none.

    @raise ConfigurationError: it cannot be read.
    """
    if settings.dictionary is None:
        return b""
    try:
        return settings.dictionary.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {settings.dictionary}: {error.strerror}") from error


def train(payloads: Sequence[bytes], size: int = DICTIONARY) -> bytes:
    """
    A dictionary for traffic like C{payloads}.

    @raise ValueError: they are too few, or too much alike, to learn from.
    """
    try:
        return bytes(zstandard.train_dictionary(size, list(payloads)).as_bytes())
    except zstandard.ZstdError as error:
        raise ValueError(f"no dictionary comes of {len(payloads)} payloads: {error}") from error


def warmUp() -> None:
    """Compile what splices."""
    stage = SecondStage()
    data, zero, size = np.zeros(100, np.uint8), np.zeros(1, np.int64), np.array([100], np.int64)
    some = Bodies(np.ones(1, np.uint64), np.zeros(1, np.uint8), np.zeros(1, np.uint32), data, zero, size)
    squeezed, flags = stage.squeeze(some)
    items = np.zeros(1, ITEM)
    items["flags"], items["size"], items["length"] = flags, squeezed.lengths, size
    stage.expand(items, squeezed.data)
