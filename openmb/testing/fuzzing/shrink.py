"""
Makes an input that shows something smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: How often a smaller input is tried.
TRIES = 600


@dataclass
class _Trial:
    """Whether parts, put together, still show it; C{left}: how often that may be asked."""

    shows: Callable[[bytes], bool]
    left: int

    def passes(self, parts: Sequence[bytes]) -> bool:
        self.left -= 1
        return self.shows(b"".join(parts))


def shrink(data: bytes, shows: Callable[[bytes], bool], tries: int = TRIES) -> bytes:
    """
    C{data} without lines, and then without bytes, that are not needed.

    @param shows: does an input still show what was found?
    """
    trial = _Trial(shows, tries)
    data = b"".join(_needed(data.splitlines(keepends=True), trial))
    return b"".join(_needed([data[place : place + 1] for place in range(len(data))], trial))


def _needed(parts: list[bytes], trial: _Trial) -> list[bytes]:
    """The parts that are needed; many at once are left out first, then fewer."""
    size = len(parts)
    while size and trial.left > 0:
        place, before = 0, len(parts)
        while place < len(parts) and trial.left > 0:
            fewer = parts[:place] + parts[place + size :]
            if trial.passes(fewer):
                parts = fewer
            else:
                place += size
        if len(parts) == before or size > len(parts):
            size //= 2
    return parts
