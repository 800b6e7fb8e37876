"""
The encoder's half: what the decoder holds may be referred to, what it refuses it gets as it was, and an epoch ends when
too much is refused.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch
from openmb.plugins.smartre.announcing import Announcer, Why
from openmb.plugins.smartre.caches import EncodingCache
from openmb.plugins.smartre.envelope import Envelope
from openmb.plugins.smartre.feedback.acknowledging import idsOf
from openmb.plugins.smartre.feedback.holding import LONGEST_HELD
from openmb.plugins.smartre.feedback.packing import envelopeOf, messageAt
from openmb.plugins.smartre.format import Acknowledge, Answer, Forked, Reason, Refuse, buildMessage, isNewer, nearest
from openmb.plugins.smartre.hashing import hashOf
from openmb.plugins.smartre.planning import Fate
from openmb.plugins.smartre.store import IDS, State

#: Packets answered in one batch at most: what is not answered is asked for again.
MOST_ANSWERED = 256
#: Of so many packets, so many refused end an epoch.
LAST, MOST_REFUSED = 64, 33
#: A packet that is not held, and so many behind the newest, will hardly come any more.
LATE = 64
#: Epochs to go ahead when a decoder is found to be ahead: a bit less than a quarter of them all.
_AHEAD = 0x3FFF
#: A cache that was dropped answers so long, nanoseconds of packet time: longer than a decoder holds a packet.
RETIREMENT = 2 * LONGEST_HELD


class Answering:
    """Feedback on the caches of an encoder."""

    def __init__(self, caches: list[EncodingCache], statistics: NDArray[Any], announcer: Announcer) -> None:
        self._caches, self._row, self._announcer = caches, statistics[0], announcer
        self._refused: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=MOST_REFUSED))
        self._retired: dict[tuple[int, int], tuple[EncodingCache, int]] = {}
        self._now = 0

    def retire(self, number: int, now: int) -> None:
        """A cache is dropped; for a while it answers."""
        cache = self._caches[number]
        self._retired[number, cache.epoch] = cache, now + RETIREMENT
        self._refused.pop(number, None)

    def expire(self, now: int) -> None:
        """Packet time has reached C{now}."""
        if self._retired:
            self._retired = {key: value for key, value in self._retired.items() if value[1] > now}

    def _isOurs(self, message: object) -> bool:
        if not isinstance(message, Acknowledge | Refuse | Forked):
            return False
        return message.cache < len(self._caches) or (message.cache, message.epoch) in self._retired

    def listen(self, batch: PacketBatch, plan: NDArray[Any]) -> tuple[NDArray[np.bool_], list[bytes]]:
        """
        Take in the messages of a batch.

        @param plan: C{PLAN[n]}, as planned.
        @return: C{bool[n]}, the packets that are no messages to us; and the answers, to be sent on.
        """
        isOther = np.ones(len(plan), np.bool_)
        answers: list[bytes] = []
        self._now = int(batch.stamps.max())
        for index in np.flatnonzero(plan["fate"] == Fate.ESCAPE):
            row = plan[index]
            message = messageAt(batch, int(row["start"]), int(row["length"]))
            if not self._isOurs(message):
                continue
            isOther[index] = False
            self._row["messages"] += 1
            if isinstance(message, Acknowledge | Forked):
                if message.cache < len(self._caches):
                    self._acknowledged(message)
            elif isinstance(message, Refuse) and len(answers) < MOST_ANSWERED:
                envelope = envelopeOf(batch, int(index), int(row["network"]), int(row["header"]))
                answers += self._answered(message, envelope.reversed())
        self._row["answered"] += len(answers)
        return isOther, answers

    def _acknowledged(self, message: Acknowledge | Forked) -> None:
        cache = self._caches[message.cache]
        store = cache.encoder.store
        if isNewer(message.epoch, cache.epoch):
            self._raise(message.cache, (message.epoch - cache.epoch) % 0xFFFF + 1, Why.DECODER_AHEAD)
            return
        newest = nearest(message.newest, store.next)
        if isinstance(message, Forked):
            self._forked(message, cache, newest)
            return
        if message.epoch != cache.epoch or not 0 < (store.next - newest) % IDS < IDS // 2:
            return
        held, others = idsOf(message, newest)
        isLost = np.uint64(newest) - others >= LATE
        if cache.fork is not None:
            # what was there before the fork comes with it, or not at all
            isLost = np.where(cache.fork.areInherited(others), cache.fork.isConfirmed, isLost)
        cache.encoder.mark(others[isLost], State.LOST)
        cache.encoder.mark(held[held >= cache.first], State.USABLE)
        self._row["acknowledgements"] += 1

    def _forked(self, message: Forked, cache: EncodingCache, newest: int) -> None:
        fork = cache.fork
        if fork is not None and message.epoch == cache.epoch and message.id == fork.id & 0xFFFFFFFF:
            fork.confirm(newest, cache.encoder)

    def _answered(self, message: Refuse, envelope: Envelope) -> list[bytes]:
        retired = self._retired.get((message.cache, message.epoch))
        cache = self._caches[message.cache] if retired is None else retired[0]
        store = cache.encoder.store
        id = nearest(message.id, store.next)
        payload = store.payload(id)
        self._row["refused"] += 1
        if message.epoch == cache.epoch and retired is None:
            self._judge(message, id)
        if not payload:
            self._row["unanswered"] += 1
            return []
        checksum = hashOf(payload, (message.epoch << 48) % (1 << 64) ^ id) & 0xFFFFFFFF
        return [envelope.around(buildMessage(Answer(message.cache, message.epoch, message.id, checksum, payload)))]

    def _judge(self, message: Refuse, id: int) -> None:
        """Is the source lost, or the epoch over?"""
        cache, refused = self._caches[message.cache], self._refused[message.cache]
        if message.reason is Reason.STALE_EPOCH:
            self._raise(message.cache, _AHEAD, Why.DECODER_AHEAD)
            return
        if message.reason is Reason.MISSING:
            source = np.array([nearest(message.missing, cache.encoder.store.next)], np.uint64)
            if cache.fork is not None and cache.fork.areInherited(source).any():
                cache.fork.doubt(self._now, cache.encoder)
                if not cache.fork.isConfirmed:
                    return
            cache.encoder.mark(source, State.LOST)
        if id not in refused:
            refused.append(id)
        if len(refused) == MOST_REFUSED and max(refused) - min(refused) < LAST:
            self._raise(message.cache, 1, Why.REFUSED)

    def _raise(self, number: int, by: int, why: Why) -> None:
        cache = self._caches[number]
        before = cache.epoch
        cache.raiseEpoch(by)
        self._announcer.epoch(self._now, number, cache.epoch, before, why)
        self._refused[number].clear()
        self._row["epochs"] += 1
