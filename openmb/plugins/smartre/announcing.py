"""
The introspection events of this kind: what could not be decoded at once, epochs, and what is saved.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.interfaces import Announce
from openmb.plugins.smartre.statistics import STATISTICS, undecodable
from openmb.state.announcements import Announced, Announcement, Datum, Field, FieldType, Subject

_T, _W, _R = FieldType.TEXT, FieldType.WHOLE, FieldType.REAL
_CACHE = Field("cache", _W, "number of the cache")


class Why(enum.Enum):
    """Why an epoch begins."""

    FIRST = "first"
    NEWER = "newer"
    FORKED = "forked"
    MERGED = "merged"
    REFUSED = "refused"
    DECODER_AHEAD = "decoder-ahead"
    DROPPED = "dropped"


CACHE_MISSED = Announcement(
    "cache-missed",
    Subject.MIDDLEBOX,
    "A decoder does not hold a packet to which another one refers; that one waits for an answer, or is dropped.",
    (
        _CACHE,
        Field("epoch", _W, "of the cache"),
        Field("id", _W, "low half of the id of the packet that cannot be decoded"),
        Field("missing", _W, "the same of the first packet that is not held"),
    ),
)
EPOCH_CHANGED = Announcement(
    "epoch-changed",
    Subject.MIDDLEBOX,
    "An epoch of a cache begins, or its last one ends.",
    (
        _CACHE,
        Field("epoch", _W, "the one that begins; 0: none, the cache is dropped"),
        Field("before", _W, "the one that is over; 0: none was known"),
        Field(
            *("reason", _T),
            "decoder: first, newer (a packet of it came), forked, merged; encoder: refused (too much was), "
            "decoder-ahead, forked, dropped",
        ),
    ),
)
SAVING_MEASURED = Announcement(
    "saving-measured",
    Subject.MIDDLEBOX,
    "An interval of packet time (`SavingInterval`) in which packets came is over, or the input.",
    (
        Field("seconds", _R, "of packet time since the last one"),
        Field("packets", _W, "that came in"),
        Field("plain", _W, "bytes of payload as hosts send and get them"),
        Field("carried", _W, "bytes of payload between encoder and decoder, messages on the way there included"),
        Field("hits", _W, "references"),
        Field("undecodable", _W, "packets that were dropped for it"),
    ),
)
ANNOUNCEMENTS = (CACHE_MISSED, EPOCH_CHANGED, SAVING_MEASURED)
_SECOND = 1_000_000_000


class Announcer:
    """
    Tells who listens.

    @param statistics: C{STATISTICS[1]}, of the end, which goes on counting there.
    @ivar interval: nanoseconds of packet time.
    """

    def __init__(self, statistics: NDArray[Any], interval: int) -> None:
        self.wanted: frozenset[str] = frozenset()
        self.interval = interval
        self._announce: Announce | None = None
        self._statistics, self._known = statistics, np.zeros(1, STATISTICS)
        self._since: int | None = None

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        """See C{IAnnouncer}: what was counted before somebody wanted it is no part of an interval."""
        if SAVING_MEASURED.name not in self.wanted & wanted:
            self._since = None
        self.wanted, self._announce = wanted, announce

    def _tell(self, event: Announcement, stamp: int, *values: Datum) -> None:
        if event.name in self.wanted and self._announce is not None:
            self._announce([Announced(event.name, stamp, b"", values)])

    def epoch(self, stamp: int, cache: int, epoch: int, before: int, why: Why) -> None:
        """An epoch has begun."""
        self._tell(EPOCH_CHANGED, stamp, cache, epoch, before, why.value)

    def missed(self, stamps: NDArray[np.int64], items: NDArray[Any], missing: NDArray[np.uint64]) -> None:
        """Sources are missing of these items; C{stamps} of their packets."""
        for stamp, item, source in zip(stamps.tolist(), items, missing.tolist(), strict=True):
            self._tell(
                CACHE_MISSED, stamp, int(item["cache"]), int(item["epoch"]), int(item["id"]), source & 0xFFFFFFFF
            )

    @property
    def wantsMissed(self) -> bool:
        """Does somebody want to hear of missing sources?"""
        return CACHE_MISSED.name in self.wanted

    def coming(self, now: int) -> None:
        """Packets come that are not counted yet."""
        if self._since is None and SAVING_MEASURED.name in self.wanted:
            self._since, self._known = now, self._statistics.copy()

    def passed(self, now: int) -> None:
        """Packet time has reached C{now}, and everything up to then is counted."""
        if self._since is not None and now - self._since >= self.interval:
            self.settle(now)

    def settle(self, now: int) -> None:
        """The interval ends here: the input does, or counting begins anew."""
        if self._since is None:
            return
        after, before = self._statistics[0], self._known[0]
        if after["packets_in"] != before["packets_in"]:
            counts = [int(after[name] - before[name]) for name in ("packets_in", "payload_in", "payload_out", "hits")]
            lost = undecodable(after) - undecodable(before)
            self._tell(SAVING_MEASURED, now, (now - self._since) / _SECOND, *counts, lost)
        self._since, self._known = now, self._statistics.copy()

    def restart(self) -> None:
        """Counting begins at zero again."""
        self._known = self._statistics.copy()
