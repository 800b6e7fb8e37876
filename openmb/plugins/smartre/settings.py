"""
How an encoder or a decoder runs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

#: Caches of one encoder at most.
MOST_CACHES = 16
#: Caches of one decoder, unless it is said otherwise.
DEFAULT_CACHES = 8


class Role(enum.Enum):
    """Which of the two ends."""

    ENCODER = "encoder"
    DECODER = "decoder"


@dataclass(frozen=True, slots=True)
class SmartreSettings:
    """
    How an encoder or a decoder runs.

    @ivar caches: how many there are.
    @ivar cacheFlows: which packets go to each: see C{caches.parseFlows}; none: all to the first.
    @ivar forkOf: for each cache, from 0 on, of which one it is a duplicate when it is made while the encoder runs;
        None: of none; where nothing is said, of cache 0.
    @ivar keeps: the caches of a decoder; none: all.
    @ivar mostCaches: that a decoder makes for packets and forks; what comes of others then is not kept.
    @ivar slots: packets in a cache, a power of two; at a decoder at least as many as at the encoder.
    @ivar slotBytes: the longest payload.
    @ivar entries: of a fingerprint table, a power of two.
    @ivar sampling: one place in so many is a marker, a power of two.
    @ivar keepOldest: an equal entry of the fingerprint table is not replaced by a newer one.
    @ivar gated: refer only to packets that the decoder has acknowledged.
    @ivar feedback: decoder and encoder tell each other what is held and what is missing.
    @ivar epoch: of all caches at first, 1 to 65,535.
    @ivar bypass: pass flows that do not pay without looking at them.
    @ivar mtu: bytes of the longest IP packet on the path.
    @ivar secondStage: compress what is left.
    @ivar dictionary: of the second stage; None: none.
    @ivar savingInterval: nanoseconds of packet time after which it is announced what was saved.
    @ivar out: a capture to be written; None: packets are only handed on.
    """

    role: Role
    caches: int = 1
    cacheFlows: tuple[str, ...] = ()
    forkOf: tuple[int | None, ...] = ()
    keeps: tuple[int, ...] = ()
    mostCaches: int = DEFAULT_CACHES
    slots: int = 1 << 16
    slotBytes: int = 1536
    entries: int = 1 << 20
    sampling: int = 32
    keepOldest: bool = True
    gated: bool = True
    feedback: bool = False
    epoch: int = 1
    bypass: bool = True
    mtu: int = 1500
    secondStage: bool = False
    dictionary: Path | None = None
    savingInterval: int = 10_000_000_000
    out: Path | None = None

    @property
    def offline(self) -> bool:
        """Over captures, alone: nobody acknowledges anything."""
        return self.out is not None
