"""
The bytes to search: of tunnelled packets the real program reads more than there are, what longer packets left behind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: No packet that is read leaves more.
_LONGEST = 1 << 18


@njit(cache=True)
def leaveBytes(buffer: Any, data: Any, offsets: Any, lengths: Any, count: Any) -> None:
    """The first C{count} packets were read into C{buffer}, one after the other."""
    covered = 0
    for i in range(count - 1, -1, -1):
        length: Any = min(np.int64(lengths[i]), len(buffer))
        for place in range(covered, length):
            buffer[place] = data[offsets[i] + place]
        covered = max(covered, length)


_leave: Any = leaveBytes


class Payloads:
    """
    The bytes of packets, batch by batch, as they lie in a buffer that is never cleared.
    """

    def __init__(self) -> None:
        self._buffer = np.zeros(0, np.uint8)
        self._batch: tuple[Any, Any, Any] = (np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.uint32))

    def begin(self, data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.uint32]) -> None:
        """A batch: what the one before has left behind stays in the buffer."""
        _leave(self._buffer, *self._batch, len(self._batch[2]))
        longest = min(int(lengths.max(initial=0)), _LONGEST)
        if longest > len(self._buffer):
            self._buffer = np.concatenate([self._buffer, np.zeros(longest - len(self._buffer), np.uint8)])
        self._batch = data, offsets, lengths

    def texts(
        self, packets: NDArray[np.integer[Any]], starts: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> list[memoryview | bytes]:
        """So many bytes from each start, a place in the batch's bytes, of the packet that it lies in."""
        data, offsets, lengths = self._batch
        stops = offsets[packets] + lengths[packets]
        ends = starts + sizes
        octets = data.data
        found: list[memoryview | bytes] = [
            octets[start:end] for start, end in zip(starts.tolist(), np.minimum(ends, stops).tolist(), strict=True)
        ]
        for place in np.flatnonzero(ends > stops).tolist():
            found[place] = self._longer(int(packets[place]), int(starts[place]), int(sizes[place]))
        return found

    def _longer(self, packet: int, start: int, size: int) -> bytes:
        """Bytes that go beyond their packet, as far as a longer one was there before."""
        data, offsets, lengths = self._batch
        buffer = self._buffer.copy()
        _leave(buffer, data, offsets, lengths, packet + 1)
        begin = start - int(offsets[packet])
        return buffer[begin : begin + size].tobytes().ljust(size, b"\0")
