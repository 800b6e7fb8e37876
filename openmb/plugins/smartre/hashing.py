"""
The hash of payloads and messages (docs/smartre.md, section 2), in kernels and for Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from openmb.packets.loads import Source, load8, plain, sourceOf
from openmb.plugins.smartre.words import Number, load64, times

#: 2**64 divided by the golden ratio, made odd (Knuth, The Art of Computer Programming, volume 3, 6.4).
K = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def mix(value: Number, word: Number) -> Number:
    """One step."""
    value = times(value ^ word, K)
    return value ^ (value >> np.uint64(32))


@njit(cache=True)
def _lastWord(source: Source, at: Number, rest: Number) -> Number:
    """The 1 to 7 bytes from C{at} on, padded with zeros."""
    word = np.uint64(0)
    for place in range(rest):
        word |= np.uint64(load8(source, at + place)) << np.uint64(8 * place)
    return word


@njit(cache=True)
def hashBytes(source: Source, start: Number, length: Number, seed: Number) -> Number:
    """C{H} of C{length} bytes from C{start} on; the caller has made sure that they are there."""
    start, length = np.int64(start), np.int64(length)
    value = seed ^ times(np.uint64(length), K)
    one, two = mix(value, np.uint64(1)), mix(value, np.uint64(2))
    three, four = mix(value, np.uint64(3)), mix(value, np.uint64(4))
    at, end = start, start + length
    while at + 32 <= end:
        one, two = mix(one, load64(source, at)), mix(two, load64(source, at + 8))
        three, four = mix(three, load64(source, at + 16)), mix(four, load64(source, at + 24))
        at += 32
    value = mix(mix(mix(one, two), three), four)
    while at + 8 <= end:
        value = mix(value, load64(source, at))
        at += 8
    if at < end:
        value = mix(value, _lastWord(source, at, end - at))
    value = times(value ^ (value >> np.uint64(29)), K)
    return value ^ (value >> np.uint64(32))


@njit(cache=True)
def _hashAll(data: Any, offsets: Any, lengths: Any, seeds: Any, hashes: Any) -> None:
    source = sourceOf(data)
    for place in range(len(hashes)):
        hashes[place] = hashBytes(source, offsets[place], lengths[place], seeds[place])


def hashAll(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64], seeds: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """
    C{H} of each run of bytes in C{data} under its seed.

    @raise ValueError: the arrays differ in length, or a run is not inside C{data}.
    """
    offsets, lengths, count = checkRuns(data, offsets, lengths)
    if seeds.dtype != np.uint64 or len(seeds) != count:
        raise ValueError(f"{len(seeds)} seeds of {seeds.dtype} for {count} runs")
    hashes = np.empty(count, np.uint64)
    _hashAll(plain(data), offsets, lengths, plain(seeds), hashes)
    return hashes


def hashOf(data: bytes, seed: int = 0) -> int:
    """C{H} of one string of bytes."""
    some = np.frombuffer(data, np.uint8)
    zero, length = np.zeros(1, np.int64), np.array([len(data)], np.int64)
    return int(hashAll(some, zero, length, np.array([seed], np.uint64))[0])


def checkRuns(
    data: NDArray[np.uint8], offsets: NDArray[Any], lengths: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """
    Offsets and lengths as kernels take them, and how many.

    @raise ValueError: they are not as many, or do not all lie inside C{data}.
    """
    offsets, lengths = plain(np.asarray(offsets, np.int64)), plain(np.asarray(lengths, np.int64))
    if data.dtype != np.uint8 or data.ndim != 1:
        raise ValueError(f"data of {data.dtype} in {data.ndim} dimensions")
    if offsets.shape != lengths.shape or offsets.ndim != 1:
        raise ValueError(f"offsets of shape {offsets.shape}, lengths of shape {lengths.shape}")
    if len(offsets) and (
        lengths.min() < 0 or lengths.max() > len(data) or offsets.min() < 0 or (offsets > len(data) - lengths).any()
    ):
        raise ValueError(f"not all inside {len(data)} bytes")
    return offsets, lengths, len(offsets)


def warmUp() -> None:
    """Compile the hash."""
    hashOf(b"some")
