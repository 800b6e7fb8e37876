"""
The bytes to search: of tunnelled packets the real program reads more than there are, what longer packets left behind.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

#: No packet that is read leaves more.
_LONGEST = 1 << 18


class Payloads:
    """
    The bytes of packets, batch by batch, as they lie in a buffer that is never cleared.
    """

    def __init__(self) -> None:
        self._before = np.zeros(0, np.uint8)
        self._begin(np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def _begin(self, data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self._data, self._offsets, self._lengths = data, offsets, lengths
        self._octets = data.data

    def begin(self, data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        """A batch: what the one before has left behind stays in the buffer."""
        before = len(self._lengths)
        self._before = self._behind(before, 0, int(self._lengths.max(initial=len(self._before))))
        self._begin(data, offsets, lengths)

    def _behind(self, packet: int, start: int, stop: int) -> NDArray[np.uint8]:
        """What is in the buffer, from C{start} to C{stop}, before a packet of this batch is read."""
        stop = min(stop, _LONGEST)
        left = np.zeros(stop - start, np.uint8)
        covered = start
        longer = np.flatnonzero(self._lengths[:packet] > start)
        for each in longer[::-1].tolist():
            end = min(int(self._lengths[each]), stop)
            if end > covered:
                offset = int(self._offsets[each])
                left[covered - start : end - start] = self._data[offset + covered : offset + end]
                covered = end
                if covered == stop:
                    return left
        rest = self._before[covered:stop]
        left[covered - start : covered - start + len(rest)] = rest
        return left

    def texts(self, packets: Iterable[int], starts: Iterable[int], sizes: Iterable[int]) -> list[bytes]:
        """So many bytes from each start, a place in the batch's bytes, of the packet that it lies in."""
        found = []
        for packet, start, size in zip(packets, starts, sizes, strict=True):
            stop = int(self._offsets[packet]) + int(self._lengths[packet])
            text = self._octets[start : min(start + size, stop)].tobytes() if start < stop else b""
            if start + size > stop:
                origin = int(self._offsets[packet])
                text += self._behind(packet, max(start, stop) - origin, start + size - origin).tobytes()
            found.append(text)
        return found
