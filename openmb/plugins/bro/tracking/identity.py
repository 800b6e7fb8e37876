"""
Which connection something is about, and its two ends.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

#: A native key's five words as its 40 bytes.
WORDS = struct.Struct("<5Q")

#: One end of a connection: the words of its address, and its port.
End = tuple[int, int, int]


def endpoints(words: Sequence[int], swapped: bool | int) -> tuple[End, End]:
    """Originator and responder, from the five words of a native key; C{swapped}: the originator is its endpoint b."""
    first = (words[0], words[1], words[4] & 0xFFFF)
    second = (words[2], words[3], (words[4] >> 16) & 0xFFFF)
    return (second, first) if swapped else (first, second)


def portsOf(words: Sequence[int], swapped: bool | int) -> tuple[int, int]:
    """Only the ports of L{endpoints}."""
    first, second = words[4] & 0xFFFF, (words[4] >> 16) & 0xFFFF
    return (second, first) if swapped else (first, second)


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Which connection a row of an application log is about.

    @ivar words: its native key.
    @ivar start: when it began, microseconds.
    @ivar swapped: the originator is endpoint b of the key.
    """

    words: Sequence[int]
    start: int
    swapped: bool

    @property
    def key(self) -> bytes:
        """The native key's 40 bytes."""
        return WORDS.pack(*self.words)
