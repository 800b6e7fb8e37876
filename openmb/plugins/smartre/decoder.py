"""
The decoder's engine: batches of packets in, batches of packets out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.packets.loads import plain, plainArrays
from openmb.plugins.smartre.announcing import Why
from openmb.plugins.smartre.caches import DecodingCache, makeDecodingCache
from openmb.plugins.smartre.decoding import Outcome
from openmb.plugins.smartre.encoder import sentBatch
from openmb.plugins.smartre.end import End
from openmb.plugins.smartre.feedback.asking import STALE, Asking
from openmb.plugins.smartre.forks import Told, forkId, forksIn, joinFork
from openmb.plugins.smartre.format import SHIM_LENGTH, isNewer
from openmb.plugins.smartre.hashing import hashAll
from openmb.plugins.smartre.planning import PLAN
from openmb.plugins.smartre.restoring import restorePackets
from openmb.plugins.smartre.secondstage import SecondStage, dictionaryOf
from openmb.plugins.smartre.settings import MOST_CACHES, SmartreSettings
from openmb.plugins.smartre.statistics import decoderText
from openmb.plugins.smartre.unframing import FOUND, ITEM, Found, Memory, findPackets

_NAMES = {Outcome.MISSING: "missing", Outcome.BAD_CHECKSUM: "bad_checksum", Outcome.MALFORMED: "malformed"}
_REASONS = {**{int(outcome): name for outcome, name in _NAMES.items()}, STALE: "stale_epoch"}


@dataclass(frozen=True, slots=True)
class Restored:
    """
    What became of the items of a batch.

    @ivar outcomes: C{uint8[items]}, C{Outcome} or L{STALE}.
    @ivar missing: C{uint64[items]}, the first source that is not held, where that is the outcome.
    @ivar data: C{uint8}, the payloads.
    @ivar starts: C{int64[items]}, where each begins there.
    """

    outcomes: NDArray[np.uint8]
    missing: NDArray[np.uint64]
    data: NDArray[np.uint8]
    starts: NDArray[np.int64]


class DecoderEnd(End):
    """
    Provides C{IEngine} for the role of the decoder.

    @ivar caches: by number, made when the first packet of each comes.
    @ivar worked: the items of the last batch, and what became of them.
    @ivar forks: the forks of the last batch.
    """

    def __init__(self, settings: SmartreSettings) -> None:
        super().__init__(settings)
        self.caches: dict[int, DecodingCache] = {}
        self._wanted, self._kept = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
        self.keep(settings.keeps)
        self._stage = SecondStage(dictionaryOf(settings))
        self._memory = Memory.empty()
        self.asking = Asking(self.caches, self._kept, self.statistics) if settings.feedback else None
        self.worked: tuple[NDArray[Any], Restored] | None = None
        self.forks: list[Told] = []

    def keep(self, numbers: Sequence[int]) -> None:
        """Keep the caches of these numbers from now on; of none: all."""
        self._wanted[:] = False
        self._wanted[list(numbers) or slice(MOST_CACHES)] = True
        self._bound()

    def _bound(self) -> None:
        """Keep no other caches than there are once there are as many as there may be."""
        self._kept[:] = self._wanted
        if len(self.caches) >= self.settings.mostCaches:
            have = np.zeros(len(self._kept), np.bool_)
            have[list(self.caches)] = True
            self._kept &= have

    def forwarded(self, packets: Decoded) -> PacketBatch:
        """Decode a batch: what is sent on."""
        self._bound()
        batch = packets.packets
        data, offsets, lengths, wire, _ = plainArrays(batch)
        found, items, bodies = self._find(packets)
        self.forks = forksIn(batch, found, self._kept)
        answers = [] if self.asking is None else self.asking.listen(batch, found)
        restored = self._decode(items, bodies)
        self._announceMissed(batch, items, restored)
        self.worked = items, restored
        isDecoded = restored.outcomes == Outcome.DECODED
        total = int(lengths.sum(dtype=np.int64)) + int(items["length"][isDecoded].sum(dtype=np.int64))
        out, sent = np.empty(total, np.uint8), np.empty((len(batch) + 1, 4), np.int64)
        count, _ = restorePackets(
            data, offsets, lengths, wire, found, items, isDecoded, restored.data, restored.starts, out, sent
        )
        isHeld = np.zeros(len(items), np.bool_)
        if self.asking is not None:
            isHeld = self.asking.hold(batch, found, items, restored.outcomes, restored.missing)
            self.asking.noteStored(batch, found, items, isDecoded)
            self.asking.remind(items, restored.outcomes)
        announcing = int(lengths[found["found"] == Found.ANNOUNCEMENT].sum(dtype=np.int64))
        announcing += sum(int(lengths[fork.packet]) for fork in self.forks)
        self._count(found, items, restored, isHeld, announcing)
        forward = sentBatch(batch, out, sent[:count])
        return forward if self.asking is None else self.asking.speak(forward, answers)

    def _announceMissed(self, batch: PacketBatch, items: NDArray[Any], restored: Restored) -> None:
        if self.announcer.wantsMissed:
            isMissing = restored.outcomes == Outcome.MISSING
            stamps = batch.stamps[items["packet"][isMissing]]
            self.announcer.missed(stamps, items[isMissing], restored.missing[isMissing])

    def _find(self, packets: Decoded) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint8]]:
        """What the packets are; the items among them; the bodies of these."""
        batch = packets.packets
        data, offsets, lengths, wire, _ = plainArrays(batch)
        memory = self._memory
        total = int(lengths.sum(dtype=np.int64))
        found = np.zeros(len(batch), FOUND)
        items = np.zeros(len(batch) + total // 14, ITEM)
        bodies = np.empty(2 * total + len(self._memory.payloads), np.uint8)
        tally = np.zeros(2, np.int64)
        count, size = findPackets(
            data,
            offsets,
            lengths,
            wire,
            int(batch.link),
            plain(packets.headers),
            self._kept,
            np.zeros(1, PLAN),
            memory.payloads,
            memory.hashes,
            memory.lengths,
            memory.newest,
            found,
            items,
            bodies,
            tally,
        )
        row = self.statistics[0]
        row["announced"] += int(tally[0])
        row["unremembered"] += int(tally[1])
        return found, items[:count], self._stage.expand(items[:count], bodies[:size])

    def _decode(self, items: NDArray[Any], bodies: NDArray[np.uint8]) -> Restored:
        """Hand the items to their caches, and take the forks where they come among them."""
        restored = Restored(
            np.full(len(items), STALE, np.uint8),
            np.zeros(len(items), np.uint64),
            np.empty(int(items["length"].sum(dtype=np.int64)), np.uint8),
            np.zeros(len(items), np.int64),
        )
        end = begin = 0
        for fork in self.forks:
            until = int(np.searchsorted(items["packet"], fork.packet))
            end = self._decodeSome(items, begin, until, bodies, restored, end)
            self._join(fork)
            begin = until
        self._decodeSome(items, begin, len(items), bodies, restored, end)
        return restored

    def _decodeSome(
        self,
        items: NDArray[Any],
        begin: int,
        until: int,
        bodies: NDArray[np.uint8],
        restored: Restored,
        end: int,
    ) -> int:
        """The items from C{begin} to before C{until}, those of one cache and epoch together."""
        numbers = items["cache"][begin:until]
        for number in np.unique(numbers):
            which = np.flatnonzero(numbers == number) + begin
            cache = self.roomFor(int(number))
            if cache is None:
                continue
            changes = np.flatnonzero(np.diff(items["epoch"][which].astype(np.int64))) + 1
            for run in np.split(which, changes):
                if self._isCurrent(int(number), cache, int(items["epoch"][run[0]]), int(items["id"][run[0]])):
                    end = self._decodeRun(cache, items, run, bodies, restored, end)
        return end

    def _join(self, fork: Told) -> None:
        """Take a fork, and say so."""
        message = fork.message
        cache, origin = self.roomFor(message.cache), self.caches.get(message.origin)
        if cache is None:
            return
        id = forkId(message, origin)
        isCurrent = self._isCurrent(message.cache, cache, message.epoch, id, Why.FORKED)
        isNew = isCurrent and cache.forked is None
        newest = fork.newest = joinFork(message, cache, origin, id) if isCurrent else None
        self.statistics[0]["forks"] += isNew and cache.forked is not None
        if self.asking is not None:
            self.asking.noteFork(fork.envelope, message, newest)

    def roomFor(self, number: int) -> DecodingCache | None:
        """The cache of this number, a new one perhaps; None: there are as many others as there may be."""
        if number not in self.caches and len(self.caches) >= self.settings.mostCaches:
            return None
        return self.cacheOf(number)

    def cacheOf(self, number: int) -> DecodingCache:
        """The cache of this number, a new one perhaps."""
        if number not in self.caches:
            self.caches[number] = makeDecodingCache(self.settings)
        return self.caches[number]

    def _isCurrent(self, number: int, cache: DecodingCache, epoch: int, id: int, why: Why = Why.NEWER) -> bool:
        """Is C{epoch} not over?  A newer one empties the cache, which begins anew with C{id}."""
        if cache.epoch == epoch:
            return True
        if cache.epoch and not isNewer(epoch, cache.epoch):
            return False
        if not cache.epoch and why is Why.NEWER:
            why = Why.FIRST
        self.announcer.epoch(self.now, number, epoch, cache.epoch, why)
        cache.begin(epoch, id)
        return True

    def _decodeRun(
        self,
        cache: DecodingCache,
        items: NDArray[Any],
        run: NDArray[np.intp],
        bodies: NDArray[np.uint8],
        restored: Restored,
        end: int,
    ) -> int:
        """Decode items of one cache and epoch; where in C{restored.data} the payloads end."""
        some = items[run]
        ids = absolute(some["id"], cache.decoder.store.next)
        checksums = some["checksum"]
        announced = np.flatnonzero(some["announced"])
        if len(announced):
            seeds = np.uint64(cache.epoch << 48) ^ ids[announced]
            hashes = hashAll(bodies, some["start"][announced], some["size"][announced], seeds)
            checksums[announced] = (hashes & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        payloads = cache.decoder.decode(
            bodies, some["start"], some["size"], ids, some["matches"], some["length"], checksums, cache.epoch
        )
        restored.outcomes[run], restored.missing[run] = payloads.outcomes, payloads.missing
        restored.starts[run] = payloads.offsets + end
        restored.data[end : end + len(payloads.data)] = payloads.data
        return end + len(payloads.data)

    def advance(self, now: int) -> None:
        """See C{IEngine}: what has waited too long for an answer is given up."""
        if self.asking is not None:
            self.asking.expire(now)
        super().advance(now)

    def finish(self) -> None:
        """See C{IEngine}."""
        if self.asking is not None:
            self.asking.finish()
        super().finish()

    def _count(
        self,
        found: NDArray[Any],
        items: NDArray[Any],
        restored: Restored,
        isHeld: NDArray[np.bool_],
        announcing: int,
    ) -> None:
        row, what = self.statistics[0], np.bincount(found["found"], minlength=len(Found))
        isEncoded = items["announced"] == 0
        row["encoded"] += int(isEncoded.sum())
        row["malformed"] += int(what[Found.MALFORMED])
        for name, kind in _COUNTED.items():
            row[name] += int(what[kind])
        for outcome, name in _REASONS.items():
            which = isEncoded & ~isHeld & (restored.outcomes == outcome)
            row[name] += int(which.sum())
            row["undecodable_bytes"] += int(items["length"][which].sum(dtype=np.int64))
        decoded = items[isEncoded & (restored.outcomes == Outcome.DECODED)]
        row["decoded"] += len(decoded)
        row["hits"] += int(decoded["matches"].sum(dtype=np.int64))
        plainly = int(found["length"][found["found"] == Found.PLAIN].sum(dtype=np.int64))
        row["payload_in"] += plainly + int(decoded["length"].sum(dtype=np.int64))
        escaping = int(what[Found.ESCAPED]) * SHIM_LENGTH
        carried = int(items["size"][isEncoded].sum(dtype=np.int64)) + SHIM_LENGTH * int(isEncoded.sum())
        row["payload_out"] += plainly + carried + announcing + escaping

    def describe(self) -> str:
        """See L{End}."""
        return decoderText(self.statistics)


_COUNTED = {
    "announcements": Found.ANNOUNCEMENT,
    "escaped": Found.ESCAPED,
    "foreign": Found.FOREIGN,
    "messages": Found.MESSAGE,
}


def absolute(low: NDArray[np.uint32], newest: int) -> NDArray[np.uint64]:
    """C{uint64[n]}, the absolute ids nearest to C{newest} of which these are the low halves."""
    ahead = (low - np.uint32(newest & 0xFFFFFFFF)).astype(np.int32).astype(np.int64)
    return np.uint64(newest) + ahead.astype(np.uint64)
