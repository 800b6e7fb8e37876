"""
The decoder's half: it acknowledges what it holds, asks for what it cannot decode, and takes the answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch
from openmb.plugins.smartre.caches import DecodingCache
from openmb.plugins.smartre.decoding import Outcome
from openmb.plugins.smartre.envelope import Envelope
from openmb.plugins.smartre.feedback.acknowledging import Acknowledging
from openmb.plugins.smartre.feedback.holding import Held, Holding
from openmb.plugins.smartre.feedback.packing import appended, envelopeOf, messageAt
from openmb.plugins.smartre.format import (
    SHIM_LENGTH,
    Answer,
    Fork,
    Forked,
    Message,
    Reason,
    Refuse,
    buildMessage,
    nearest,
)
from openmb.plugins.smartre.hashing import hashOf
from openmb.plugins.smartre.unframing import Found

#: The outcome of a packet of an epoch that is over.
STALE = len(Outcome)
_REASONS = {
    int(Outcome.MISSING): Reason.MISSING,
    int(Outcome.BAD_CHECKSUM): Reason.BAD_CHECKSUM,
    STALE: Reason.STALE_EPOCH,
}
_NAMES = {Reason.MISSING: "missing", Reason.BAD_CHECKSUM: "bad_checksum", Reason.STALE_EPOCH: "stale_epoch"}


class Asking:
    """
    @ivar holding: the packets that wait for an answer.
    @ivar completed: cache and absolute id of each packet that an answer of the last batch brought into a cache.
    """

    def __init__(self, caches: dict[int, DecodingCache], kept: NDArray[np.bool_], statistics: NDArray[Any]) -> None:
        """@param caches: of the decoder, which goes on filling it; C{kept}: C{bool[256]}, those that are its own."""
        self._caches, self._kept, self._row = caches, kept, statistics[0]
        self._acknowledging: dict[int, Acknowledging] = {}
        self._envelopes: dict[int, Envelope] = {}
        self._forked: list[Forked] = []
        self._now = 0
        self.holding = Holding()
        self.completed: list[tuple[int, int]] = []

    def listen(self, batch: PacketBatch, found: NDArray[Any]) -> list[Answer]:
        """The answers in a batch; messages that are for somebody else are to be forwarded as they are."""
        answers, self.completed = [], []
        for index in np.flatnonzero(found["found"] == Found.MESSAGE):
            message = messageAt(batch, int(found["start"][index]), int(found["length"][index]))
            if isinstance(message, Answer) and self._kept[message.cache]:
                answers.append(message)
            elif not (isinstance(message, Fork) and self._kept[message.cache]):
                found["found"][index] = Found.FOREIGN
        return answers

    def hold(
        self,
        batch: PacketBatch,
        found: NDArray[Any],
        items: NDArray[Any],
        outcomes: NDArray[Any],
        missing: NDArray[Any],
    ) -> NDArray[np.bool_]:
        """Hold what cannot be decoded: C{bool[items]}, which."""
        isHeld: NDArray[np.bool_] = (items["announced"] == 0) & np.isin(outcomes, list(_REASONS))
        for place in np.flatnonzero(isHeld):
            item = items[place]
            index = int(item["packet"])
            row = found[index]
            begin = int(row["start"])
            transport = int(batch.data[begin + 5])
            reason = _REASONS[int(outcomes[place])]
            source = int(missing[place]) & 0xFFFFFFFF if reason is Reason.MISSING else int(item["id"])
            self.holding.hold(
                Held(
                    envelopeOf(batch, index, int(row["network"]), int(row["header"])),
                    int(batch.data[begin + 4]),
                    batch.data[begin + SHIM_LENGTH : begin + SHIM_LENGTH + transport].tobytes(),
                    Refuse(int(item["cache"]), int(item["epoch"]), reason, int(item["id"]), source),
                    int(item["length"]),
                    int(item["checksum"]),
                    int(batch.stamps[index]),
                )
            )
        return isHeld

    def noteStored(self, batch: PacketBatch, found: NDArray[Any], items: NDArray[Any], isStored: Any) -> None:
        """Note what came into the caches, and by which way."""
        if len(batch):
            self._now = max(self._now, int(batch.stamps.max()))
        ours = np.isin(found["found"], (Found.ENCODED, Found.ANNOUNCEMENT))
        for cache in np.unique(found["cache"][ours]):
            index = int(np.flatnonzero(ours & (found["cache"] == cache))[-1])
            row = found[index]
            self._envelopes[int(cache)] = envelopeOf(batch, index, int(row["network"]), int(row["header"]))
            count = int((isStored & (items["cache"] == cache)).sum())
            self._acknowledging.setdefault(int(cache), Acknowledging()).noteStored(count, self._now)

    def remind(self, items: NDArray[Any], outcomes: NDArray[np.uint8]) -> None:
        """Announcements of epochs that are over: the encoder hears which one it is here."""
        for cache in np.unique(items["cache"][(items["announced"] == 1) & (outcomes == STALE)]):
            self._acknowledging[int(cache)].remind()

    def noteFork(self, envelope: Envelope, fork: Fork, newest: int | None) -> None:
        """
        A fork has come in C{envelope}.

        @param newest: absolute, how far its origin had come; None: the cache has a newer epoch.
        """
        self._envelopes[fork.cache] = envelope
        acknowledging = self._acknowledging.setdefault(fork.cache, Acknowledging())
        if newest is None:
            acknowledging.remind()
            return
        self._forked.append(Forked(fork.cache, fork.epoch, fork.origin, fork.id, newest & 0xFFFFFFFF))
        acknowledging.retell(fork.epoch, self._caches[fork.cache].decoder.store)

    def speak(self, sent: PacketBatch, answers: list[Answer]) -> PacketBatch:
        """What is sent on, with the packets that C{answers} complete, and with messages to the encoder."""
        if not self._envelopes:
            return sent
        packets = [packet for answer in answers for packet in self._complete(answer)]
        packets += [self._message(self._envelopes[forked.cache], forked) for forked in self._forked]
        self._forked = []
        self._expire(self._now)
        for held in self.holding.due(self._now):
            packets.append(self._message(held.envelope, held.refusal))
            self._row["refused"] += 1
        for number, acknowledging in self._acknowledging.items():
            cache = self._caches.get(number)
            if cache is None or not cache.epoch:
                continue
            for message in acknowledging.due(number, cache.epoch, cache.decoder.store, self._now):
                packets.append(self._message(self._envelopes[number], message))
                self._row["acknowledgements"] += 1
        return appended(sent, packets, self._now)

    def expire(self, now: int) -> None:
        """Packet time has reached C{now}."""
        self._now = max(self._now, now)
        self._expire(self._now)

    def finish(self) -> None:
        """No more packets come."""
        self.holding.finish()
        self._countDropped()

    def _expire(self, now: int) -> None:
        self.holding.expire(now)
        self._countDropped()

    def _countDropped(self) -> None:
        for reason, count in self.holding.dropped.items():
            self._row[_NAMES[reason]] += count
        self._row["undecodable_bytes"] += self.holding.lost
        self.holding.dropped.clear()
        self.holding.lost = 0

    def _complete(self, answer: Answer) -> list[bytes]:
        """The packets whose payload has come; it is stored, too."""
        cache, told = self._caches.get(answer.cache), self._acknowledging.get(answer.cache)
        # a merge may have taken the cache away meanwhile
        newest = 0 if told is None else told.newest
        id = nearest(answer.id, newest if cache is None else cache.decoder.store.next)
        seed = (answer.epoch << 48) % (1 << 64) ^ id
        if not answer.payload or hashOf(answer.payload, seed) & 0xFFFFFFFF != answer.checksum:
            return []
        packets = self.holding.answered(answer)
        if packets and cache is not None and answer.epoch == cache.epoch and _fits(answer, cache):
            cache.decoder.store.insert(id, answer.payload)
            self.completed.append((answer.cache, id))
            self._acknowledging.setdefault(answer.cache, Acknowledging()).noteStored(1, self._now)
        self._row["recovered"] += len(packets)
        self._row["payload_in"] += len(packets) * len(answer.payload)
        return [held.envelope.around(held.transport + answer.payload, held.protocol) for held in packets]

    def _message(self, envelope: Envelope, message: Message) -> bytes:
        return envelope.reversed().around(buildMessage(message))


def _fits(answer: Answer, cache: DecodingCache) -> bool:
    return len(answer.payload) <= cache.decoder.store.slotBytes
