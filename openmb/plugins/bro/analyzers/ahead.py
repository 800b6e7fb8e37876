"""
Bytes that came ahead of a hole, until it is filled.
"""

from __future__ import annotations

from collections.abc import Iterator

#: Bytes that may wait for holes to be filled, both directions together, and what each packet of them costs besides.
#: More are treated as lost. With what analysers keep at most, a record always fits into one frame.
MOST_HELD, EACH_HELD = 384 << 10, 12


class Ahead:
    """
    Both directions of one connection.

    @ivar held: for each endpoint of the native key, (relative sequence number, bytes), in order of arrival.
    """

    __slots__ = ("_waiting", "held")

    def __init__(self, held: list[list[tuple[int, bytes]]] | None = None) -> None:
        self.held = [[], []] if held is None else held
        self._weigh()

    def _weigh(self) -> None:
        self._waiting = sum(len(data) + EACH_HELD for end in self.held for _, data in end)

    @property
    def isWaiting(self) -> bool:
        """Is anything held?"""
        return self._waiting > 0

    def hold(self, end: int, sequence: int, data: bytes) -> None:
        """Keep bytes, unless too much waits."""
        cost = len(data) + EACH_HELD
        if self._waiting + cost <= MOST_HELD:
            self.held[end].append((sequence, data))
            self._waiting += cost

    def clear(self, end: int) -> None:
        """Keep nothing of this end."""
        self.held[end].clear()
        self._weigh()

    def release(self, end: int, position: int, until: int) -> Iterator[bytes | int]:
        """
        What is there from C{position} to C{until}, in order: bytes, or how many were not kept. Of bytes that came twice
        the first copy counts. Afterwards they are forgotten.
        """
        while position < until:
            data = self._at(end, position)[: until - position]
            if data:
                yield data
                position += len(data)
            else:
                later = min((start for start, _ in self.held[end] if start > position), default=until)
                missing = min(later, until) - position
                yield missing
                position += missing
        self.held[end] = [one for one in self.held[end] if one[0] + len(one[1]) > until]
        self._weigh()

    def _at(self, end: int, position: int) -> bytes:
        """Bytes from C{position} on, up to where an earlier copy begins."""
        for place, (start, data) in enumerate(self.held[end]):
            if start <= position < start + len(data):
                earlier = [one for one, _ in self.held[end][:place] if one > position]
                return data[position - start : min(earlier, default=start + len(data)) - start]
        return b""
