"""
Clones and merges of a decoder's caches, and merges of counters.

A clone follows by packets: one that was decoded says, with the cache alone, what is stored.  An announcement does not,
since the plain packets that came before are not part of the state, nor does an answer, since what waits for it is not;
so of a batch in which there was one of these, all that was stored is told as records, in order.  Forks go as packets
always: they copy what is there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import CellUsage, Processed
from openmb.packets.headers import Decoded
from openmb.plugins.smartre.announcing import Why
from openmb.plugins.smartre.caches import DecodingCache
from openmb.plugins.smartre.decoder import DecoderEnd, absolute
from openmb.plugins.smartre.decoding import Outcome
from openmb.plugins.smartre.packs import (
    Pack,
    countersBatch,
    packBatch,
    packCount,
    packsOf,
    parseCounters,
    parsePacks,
    unpack,
)
from openmb.plugins.smartre.records import COUNTERS, COUNTS, PACK, SHARED
from openmb.plugins.smartre.settings import MOST_CACHES
from openmb.plugins.smartre.store import PacketStore
from openmb.state.headers import HeaderFieldList
from openmb.state.origins import Tallies, originOf
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell


@dataclass
class Coming:
    """
    Provisional shared state.

    @ivar end: a decoder of its own, whose output goes nowhere.
    """

    end: DecoderEnd
    tallies: Tallies = field(default_factory=lambda: Tallies(COUNTS))


@dataclass
class Taken:
    """What a merge has taken."""

    caches: dict[int, DecodingCache]
    tallies: Tallies


class SharedDecoder(DecoderEnd):
    """A decoder whose caches can be cloned and merged; provides C{ISharedState}."""

    layouts = tuple(layout.names for layout in SHARED)

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._me, self._times = originOf("offline", bytes(16)), 0
        self._others = Tallies(COUNTS)
        self._watches: dict[int, list[tuple[int, NDArray[np.uint64]]]] = {}
        self._taken: dict[int, Taken] = {}
        self._coming: dict[int, Coming] = {}

    def identify(self, name: str, incarnation: bytes) -> None:
        """See C{ISharedState}."""
        self._me = originOf(name, incarnation)

    # -- packets

    def process(self, packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """See C{IEngine}."""
        processed = super().process(packets, births)
        if not self._watches or self.worked is None:
            return processed
        items, restored = self.worked
        stored = items[restored.outcomes == Outcome.DECODED]
        completed = [] if self.asking is None else self.asking.completed
        changed = np.zeros(len(packets), np.bool_)
        changed[[fork.packet for fork in self.forks if fork.newest is not None]] = True
        if not (stored["announced"].any() or completed):
            changed[stored["packet"]] = True
        else:
            self._noteStored(stored, completed)
        return replace(processed, shared=changed)

    def _noteStored(self, stored: NDArray[Any], completed: list[tuple[int, int]]) -> None:
        """All of this goes as records: what a fork of the same batch copied of it, too."""
        for number in np.unique(stored["cache"]):
            ids = absolute(stored["id"][stored["cache"] == number], self.caches[int(number)].decoder.store.next)
            for cache in (int(number), *self._heirs(int(number))):
                self._note(cache, ids)
        for number, id in completed:
            self._note(number, np.array([id], np.uint64))

    def _heirs(self, number: int) -> list[int]:
        """
        The caches that this batch's forks have made of a cache.

        Their own packets have other ids, or are told of anyway.
        """
        return [fork.message.cache for fork in self.forks if fork.message.origin == number and fork.newest is not None]

    def _note(self, number: int, ids: NDArray[np.uint64]) -> None:
        for watch in self._watches.values():
            watch.append((number, ids))

    def reprocess(self, operation: int, packets: Decoded) -> None:
        """See C{IEngine}: decoded into the provisional caches, sent nowhere."""
        self._comingOf(operation).end.forwarded(packets)

    # -- the source

    def getShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        self._watches[operation] = []
        cut = {number: (cache.epoch, cache.decoder.store.copy()) for number, cache in self.caches.items()}
        yield from _steps(cut, limit)

    def sharedChanges(self, operation: int) -> tuple[RecordBatch, ...]:
        """See C{ISharedState}."""
        told = self._watches.get(operation)
        if not told:
            return ()
        self._watches[operation] = []
        batches = []
        for number, ids in told:
            cache = self.caches.get(number)
            if cache is not None:
                store = cache.decoder.store
                batches += [packBatch([pack], store) for pack in packsOf(number, cache.epoch, store, ids)]
        return tuple(batches)

    def takeShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        taken = self._taken[operation] = Taken({}, Tallies(COUNTS))
        if Cell.SUPPORTING_SHARED in cells:
            taken.caches = dict(self.caches)
            self.caches.clear()
        if Cell.REPORTING_SHARED in cells:
            taken.tallies.fold(self.tallies.counts.items())
            self.announcer.settle(self.now)
            self._others, self._times = Tallies(COUNTS), self._times + 1
            self.statistics[:] = np.zeros(1, self.statistics.dtype)
            self.announcer.restart()
        yield from _steps({number: (each.epoch, each.decoder.store) for number, each in taken.caches.items()}, limit)
        if len(taken.tallies):
            yield (countersBatch(taken.tallies),)

    def delShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        self._watches.pop(operation, None)
        taken = self._taken.pop(operation, None)
        return 0 if taken is None else sum(_packs(each) for each in taken.caches.values()) + len(taken.tallies)

    def unmark(self, operation: int) -> None:
        """See C{IStateAdapter}."""
        self._watches.pop(operation, None)
        if (taken := self._taken.pop(operation, None)) is not None:
            self._fold(taken.caches, taken.tallies)

    # -- the destination

    def prepareShared(self, operation: int, cells: Sequence[Cell]) -> None:
        """See C{ISharedState}."""
        if operation not in self._coming:
            # whatever the source keeps: it may be what another cache comes of
            plain = replace(self.settings, out=None, feedback=False, keeps=(), mostCaches=MOST_CACHES)
            self._coming[operation] = Coming(DecoderEnd(plain))

    def putShared(self, operation: int, batch: RecordBatch) -> None:
        """See C{ISharedState}."""
        coming = self._comingOf(operation)
        names = batch.cell, batch.layout, batch.version
        if names == PACK.names:
            shape = PacketStore(1, self.settings.slotBytes)
            shape.slots = self.settings.slots
            for pack in parsePacks(batch, shape):
                unpack(pack, coming.end.cacheOf(pack.cache))
        elif names == COUNTERS.names:
            tallies = parseCounters(batch)
            if tallies.claims(self._me, self._times):
                reason = "not shared records of SmartRE: counters of this instance's own"
                raise OperationError(Refusal.BAD_REQUEST, reason)
            coming.tallies.fold(tallies.counts.items())
        else:
            raise OperationError(Refusal.INCOMPATIBLE_RECORDS, f"no shared layout {batch.layout} in {batch.cell!r}")

    def commitShared(self, operation: int) -> int:
        """See C{ISharedState}: side by side, cache by cache."""
        coming = self._comingOf(operation)
        del self._coming[operation]
        return self._fold(coming.end.caches, coming.tallies)

    def discard(self, operation: int) -> None:
        """See C{IStateAdapter}."""
        self._coming.pop(operation, None)

    def _comingOf(self, operation: int) -> Coming:
        if operation not in self._coming:
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {operation:016x} was not prepared")
        return self._coming[operation]

    def _fold(self, caches: dict[int, DecodingCache], tallies: Tallies) -> int:
        records = len(tallies)
        for number, cache in caches.items():
            records += _packs(cache)
            before = self.caches[number].epoch if number in self.caches else 0
            own = self.caches.setdefault(number, cache)
            if own is not cache:
                for pack in packsOf(number, cache.epoch, cache.decoder.store):
                    unpack(pack, own)
            if own.epoch != before:
                self.announcer.epoch(self.now, number, own.epoch, before, Why.MERGED)
            self._note(number, own.decoder.store.held())
        self._others.fold(tallies.counts.items())
        return records

    # -- how much there is

    @property
    def tallies(self) -> Tallies:
        """What is known to have been counted, by whom."""
        found = Tallies(COUNTS)
        found.fold(self._others.counts.items())
        if self.statistics.view(np.uint64).any():
            found.fold([((self._me, self._times), self.statistics.view(np.int64).reshape(-1))])
        return found

    def usage(self, flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """See C{IMiddlebox}: caches as they are in memory, in packs as they would travel."""
        own, taken = (
            list(self.caches.values()),
            [each for some in self._taken.values() for each in some.caches.values()],
        )
        away = sum(map(_packs, taken))
        watched = sum(map(_packs, own)) if self._watches else 0
        counted, counters = len(self.tallies), sum(len(each.tallies) for each in self._taken.values())
        return (
            CellUsage(
                Cell.SUPPORTING_SHARED, sum(map(_packs, own)) + away, sum(map(_bytes, own + taken)), away + watched
            ),
            CellUsage(Cell.REPORTING_SHARED, counted + counters, (counted + counters) * COUNTERS.size, counters),
        )


def _steps(caches: dict[int, tuple[int, PacketStore]], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
    """The records of caches, C{limit} at a time."""
    for number, (epoch, store) in caches.items():
        some: list[Pack] = []
        for pack in packsOf(number, epoch, store):
            some.append(pack)
            if len(some) >= max(limit, 1):
                yield (packBatch(some, store),)
                some = []
        if some:
            yield (packBatch(some, store),)


def _packs(cache: DecodingCache) -> int:
    """How many records a cache makes."""
    return packCount(cache.decoder.store)


def _bytes(cache: DecodingCache) -> int:
    """Payload in a cache, with what stands beside it."""
    store = cache.decoder.store
    held = store.ids != 0
    return int(store.lengths[held].sum(dtype=np.int64)) + 10 * int(held.sum())
