"""
Encoders and decoders that are configured while they run, between two batches (docs/smartre.md, 8 and 9).
"""

from __future__ import annotations

import numpy as np

from openmb.errors import OperationError, Refusal
from openmb.plugins.smartre.announcing import Why
from openmb.plugins.smartre.caches import EncodingCache, makeEncodingCache, parseFlows
from openmb.plugins.smartre.configuration import governingOf, schemaOf, settingsAfter, treeOf
from openmb.plugins.smartre.encoder import FLOWS, EncoderEnd
from openmb.plugins.smartre.format import nextEpoch
from openmb.plugins.smartre.framing import PENDING
from openmb.plugins.smartre.planning import FLOW
from openmb.plugins.smartre.secondstage import SecondStage, dictionaryOf
from openmb.plugins.smartre.settings import SmartreSettings
from openmb.plugins.smartre.sharing import SharedDecoder
from openmb.plugins.smartre.store import PacketStore, State
from openmb.state.configuration import Configuration, Tree


class ConfiguredEncoder(EncoderEnd):
    """Provides C{IConfigurable}."""

    def __init__(self, settings: SmartreSettings) -> None:
        super().__init__(settings)
        self._dictionary = dictionaryOf(settings)
        self._ended: dict[int, int] = {}
        self.configuration = Configuration(schemaOf(settings.role), treeOf(settings, self._dictionary))
        self.governing = governingOf(settings, self._dictionary)

    def configure(self, tree: Tree) -> None:
        """See C{IConfigurable}: everything from the next packet on."""
        before, after = self.settings, settingsAfter(self.settings, tree)
        rules = parseFlows(after.cacheFlows)
        isShaped = (after.slots, after.slotBytes) == (before.slots, before.slotBytes)
        if not isShaped:
            _refuseUnlessEmpty([cache.encoder.store for cache in self.caches])
        waiting, states = self._pending.copy(), [cache.encoder.store.states.copy() for cache in self.caches]
        if after.cacheFlows != before.cacheFlows or after.caches > len(self.caches) or after.mtu < before.mtu:
            self._forgetPending()
        try:
            caches = self._cachesAfter(after) if isShaped else self._emptyCaches(after)
            tables = [np.zeros(after.entries, np.uint64) for _ in caches] if after.entries != before.entries else []
        except MemoryError as error:
            self._pending = waiting
            for cache, former in zip(self.caches, states, strict=True):
                cache.encoder.store.states[:] = former
            raise OperationError(Refusal.BUFFER_FULL, "there is no memory for these caches") from error
        self._replaceCaches(caches)
        self.settings, self._rules, self.configuration.tree = after, rules, tree
        self.governing = governingOf(after, self._dictionary)
        self.announcer.interval = after.savingInterval
        self._retune(before, after)
        for cache, table in zip(caches, tables, strict=False):
            cache.encoder.table = table
            cache.encoder.rebuild()

    def _retune(self, before: SmartreSettings, after: SmartreSettings) -> None:
        """What does not concern which caches there are."""
        for cache in self.caches:
            encoder, fork = cache.encoder, cache.fork
            if after.gated and not encoder.gated and fork is not None and not fork.isConfirmed:
                fork.suspend(encoder.store)
            encoder.gated, encoder.keepOldest, encoder.sampling = after.gated, after.keepOldest, after.sampling
        if after.bypass != before.bypass:
            self._flows = np.zeros(FLOWS if after.bypass else 1, FLOW)
        if after.secondStage != before.secondStage:
            self._stage = SecondStage(self._dictionary) if after.secondStage else None

    def _forgetPending(self) -> None:
        """Nobody knows which way announcements will go: what waits for one is not referred to."""
        for cache, pending in zip(self.caches, self._pending, strict=False):
            cache.encoder.mark(pending["ids"][: int(pending["count"])].copy(), State.LOST)
        self._pending = np.zeros(len(self._pending), PENDING)

    def _emptyCaches(self, after: SmartreSettings) -> list[EncodingCache]:
        """Caches of another shape, of epochs that follow those before."""
        return [self._makeCache(number, [], after) for number in range(after.caches)]

    def _cachesAfter(self, after: SmartreSettings) -> list[EncodingCache]:
        """The caches that stay, and new ones."""
        caches = self.caches[: after.caches]
        for number in range(len(caches), after.caches):
            caches.append(self._makeCache(number, caches, after))
        return caches

    def _makeCache(self, number: int, others: list[EncodingCache], after: SmartreSettings) -> EncodingCache:
        """
        A duplicate of one of the others, or an empty one.

        Of ids that need more than 32 bits a decoder without the origin would know the lower half only: begin anew then.
        """
        epoch = nextEpoch(self._epochOf(number) or after.epoch)
        origin = after.forkOf[number] if number < len(after.forkOf) else 0
        if origin is not None and others and not others[origin].encoder.store.next >> 32:
            return others[origin].duplicate(origin, epoch)
        cache = makeEncodingCache(after)
        cache.epoch = epoch
        return cache

    def _epochOf(self, number: int) -> int:
        """The last one that this number had; 0: none."""
        return self.caches[number].epoch if number < len(self.caches) else self._ended.get(number, 0)

    def _replaceCaches(self, caches: list[EncodingCache]) -> None:
        """Others take over; those that go answer for a while."""
        for number in range(max(len(caches), len(self.caches))):
            old = self.caches[number] if number < len(self.caches) else None
            new = caches[number] if number < len(caches) else None
            if old is new:
                continue
            before = self._epochOf(number)
            if old is not None:
                self._ended[number], self._pending[number] = old.epoch, np.zeros((), PENDING)
                if self._answering is not None:
                    self._answering.retire(number, self.now)
            self.statistics[0]["forks"] += new is not None and new.fork is not None
            why = Why.DROPPED if new is None else Why.FIRST if new.fork is None else Why.FORKED
            self.announcer.epoch(self.now, number, 0 if new is None else new.epoch, before, why)
        self.caches[:] = caches


class ConfiguredDecoder(SharedDecoder):
    """Provides C{IConfigurable}."""

    def __init__(self, settings: SmartreSettings) -> None:
        super().__init__(settings)
        self._dictionary = dictionaryOf(settings)
        self.configuration = Configuration(schemaOf(settings.role), treeOf(settings, self._dictionary))
        self.governing = governingOf(settings, self._dictionary)

    def configure(self, tree: Tree) -> None:
        """See C{IConfigurable}: everything from the next packet on."""
        before, after = self.settings, settingsAfter(self.settings, tree)
        if (after.slots, after.slotBytes) != (before.slots, before.slotBytes):
            _refuseUnlessEmpty([cache.decoder.store for cache in self.caches.values()])
            self.caches.clear()
        self.settings, self.configuration.tree = after, tree
        self.governing = governingOf(after, self._dictionary)
        self.announcer.interval = after.savingInterval
        self.keep(after.keeps)


def _refuseUnlessEmpty(stores: list[PacketStore]) -> None:
    """@raise OperationError: C{WRONG_STATE}, there are packets."""
    if any(store.ids.any() for store in stores):
        reason = "Cache/Slots and Cache/SlotBytes cannot change while caches hold packets: only of a fresh middlebox"
        raise OperationError(Refusal.WRONG_STATE, reason)
