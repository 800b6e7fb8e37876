"""
The encoder's engine: batches of packets in, batches of packets out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.packets.batch import PacketBatch
from openmb.packets.headers import Decoded
from openmb.packets.loads import plain, plainArrays
from openmb.plugins.smartre.caches import EncodingCache, makeEncodingCache, parseFlows
from openmb.plugins.smartre.encoding import Bodies
from openmb.plugins.smartre.end import End
from openmb.plugins.smartre.feedback.answering import Answering
from openmb.plugins.smartre.feedback.packing import appended, envelopeOf, inserted
from openmb.plugins.smartre.format import buildMessage
from openmb.plugins.smartre.framing import PENDING, Tally, framePackets, roomFor
from openmb.plugins.smartre.planning import FLOW, PLAN, Fate, planPackets
from openmb.plugins.smartre.secondstage import SecondStage, dictionaryOf
from openmb.plugins.smartre.settings import MOST_CACHES, SmartreSettings
from openmb.plugins.smartre.statistics import encoderText

#: Places in the table of flows.
FLOWS = 1 << 16
_PLANNED = {int(fate) for fate in (Fate.ENCODE, Fate.SHORT, Fate.CONTROL, Fate.LONG, Fate.BYPASSED, Fate.NO_CACHE)}
_HAS_PAYLOAD = np.array([fate in _PLANNED for fate in range(len(Fate))])


@dataclass(frozen=True, slots=True)
class Worked:
    """
    The bodies of all caches for one batch.

    @ivar places: C{int64[packets]}, the place of each packet in the arrays; -1: it has none.
    """

    places: NDArray[np.int64]
    bodies: Bodies
    flags: NDArray[np.uint8]


class EncoderEnd(End):
    """
    Provides C{IEngine} for the role of the encoder.

    @ivar caches: by number.
    """

    def __init__(self, settings: SmartreSettings) -> None:
        super().__init__(settings)
        self.caches = [makeEncodingCache(settings) for _ in range(settings.caches)]
        self._rules = parseFlows(settings.cacheFlows)
        self._flows = np.zeros(FLOWS if settings.bypass else 1, FLOW)
        self._answering = Answering(self.caches, self.statistics, self.announcer) if settings.feedback else None
        self._stage = SecondStage(dictionaryOf(settings)) if settings.secondStage else None
        self._pending = np.zeros(MOST_CACHES, PENDING)

    def advance(self, now: int) -> None:
        """See C{IEngine}: caches that were dropped are freed."""
        super().advance(now)
        if self._answering is not None:
            self._answering.expire(self.now)

    def forwarded(self, packets: Decoded) -> PacketBatch:
        """Encode a batch: what is sent on."""
        batch = packets.packets
        if self._answering is not None:
            self._answering.expire(self.now)
        plan = np.zeros(len(batch), PLAN)
        data, offsets, lengths, wire, _ = plainArrays(batch)
        headers = plain(packets.headers)
        planPackets(
            data,
            offsets,
            lengths,
            wire,
            int(batch.link),
            headers,
            self.settings.slotBytes,
            self.settings.mtu,
            self._rules,
            self._flows,
            plan,
        )
        if self._answering is None or not (plan["fate"] == Fate.ESCAPE).any():
            return self._framed(batch, packets.headers, plan)
        isOther, answers = self._answering.listen(batch, plan)
        sent = self._framed(batch.select(isOther), packets.headers[isOther], plan[isOther])
        return appended(sent, answers, int(batch.stamps.max()))

    def _framed(self, batch: PacketBatch, head: NDArray[Any], plan: NDArray[Any]) -> PacketBatch:
        """Encode and frame what is planned."""
        data, offsets, lengths, wire, stamps = plainArrays(batch)
        headers = plain(head)
        worked = self._work(data, plan)
        out = np.empty(roomFor(int(lengths.sum(dtype=np.int64)), len(batch), len(self.caches)), np.uint8)
        sent = np.empty((2 * len(batch) + MOST_CACHES, 4), np.int64)
        tally = np.zeros(len(Tally), np.int64)
        bodies = worked.bodies
        count, _ = framePackets(
            data,
            offsets,
            lengths,
            wire,
            stamps,
            int(batch.link),
            self.settings.mtu,
            headers,
            plan,
            worked.places,
            bodies.ids,
            bodies.matches,
            worked.flags,
            bodies.checksums,
            bodies.data,
            bodies.offsets,
            bodies.lengths,
            np.array([cache.epoch for cache in self.caches], np.int64),
            self.settings.gated,
            self._flows,
            self._pending[: len(self.caches)],
            out,
            sent,
            tally,
        )
        self._count(plan, tally)
        return inserted(sentBatch(batch, out, sent[:count]), self._forksToTell(batch, plan, sent[:count, 3]))

    def _forksToTell(
        self, batch: PacketBatch, plan: NDArray[Any], sources: NDArray[np.int64]
    ) -> list[tuple[int, bytes, int]]:
        """Forks in front of the first packets of their caches: place, packet and stamp; C{sources}: of what is sent."""
        told = []
        for number, cache in enumerate(self.caches):
            if cache.fork is None or not cache.fork.isDue(self.now):
                continue
            uses = np.flatnonzero((plan["fate"] == Fate.ENCODE) & (plan["cache"] == number))
            if len(uses):
                row, first = plan[uses[0]], int(uses[0])
                envelope = envelopeOf(batch, first, int(row["network"]), int(row["header"]))
                packet = envelope.around(buildMessage(cache.fork.message(number, cache.epoch)))
                told.append((int(np.searchsorted(sources, first)), packet, int(batch.stamps[first])))
                cache.fork.noteTold(self.now)
                self.statistics[0]["payload_out"] += len(packet)
        return told

    def _work(self, data: NDArray[np.uint8], plan: NDArray[Any]) -> Worked:
        """Encode the payloads that are to be, cache by cache."""
        places = np.full(len(plan), -1, np.int64)
        wanted = plan["fate"] == Fate.ENCODE
        parts: list[Bodies] = []
        begin = 0
        for number in np.unique(plan["cache"][wanted]):
            which = np.flatnonzero(wanted & (plan["cache"] == number))
            places[which] = np.arange(begin, begin + len(which))
            begin += len(which)
            parts.append(self._encode(self.caches[number], data, plan[which]))
        bodies = joinBodies(parts)
        if self._stage is None:
            return Worked(places, bodies, np.zeros(len(bodies.ids), np.uint8))
        return Worked(places, *self._stage.squeeze(bodies))

    def _encode(self, cache: EncodingCache, data: NDArray[np.uint8], plan: NDArray[Any]) -> Bodies:
        return cache.encoder.encode(data, plan["start"].copy(), plan["length"].astype(np.int64), cache.epoch)

    def _count(self, plan: NDArray[Any], tally: NDArray[np.int64]) -> None:
        row = self.statistics[0]
        row["passed"] += np.bincount(plan["fate"], minlength=len(Fate)).astype(np.uint64)
        payload = int(plan["length"][_HAS_PAYLOAD[plan["fate"]]].sum(dtype=np.int64))
        row["payload_in"] += payload
        row["payload_out"] += payload + int(tally[Tally.OVERHEAD] - tally[Tally.SAVED])
        for name, place in _COUNTED.items():
            row[name] += int(tally[place])

    def describe(self) -> str:
        """See L{End}."""
        text = encoderText(self.statistics)
        if self.settings.offline:
            return f"offline: no decoder acknowledges anything, so the gate is off\n{text}"
        return text


_COUNTED = {
    "encoded": Tally.ENCODED,
    "misses": Tally.RAW,
    "escaped": Tally.ESCAPED,
    "too_long": Tally.TOO_LONG,
    "announcements": Tally.ANNOUNCEMENTS,
    "hits": Tally.MATCHES,
}


def joinBodies(parts: list[Bodies]) -> Bodies:
    """All of them, in order."""
    if len(parts) == 1:
        return parts[0]
    bases = np.cumsum([0, *(len(part.data) for part in parts)])
    none = Bodies(
        np.empty(0, np.uint64),
        np.empty(0, np.uint8),
        np.empty(0, np.uint32),
        np.empty(0, np.uint8),
        np.empty(0, np.int64),
        np.empty(0, np.int64),
    )
    parts = [*parts, none]
    return Bodies(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.matches for part in parts]),
        np.concatenate([part.checksums for part in parts]),
        np.concatenate([part.data for part in parts]),
        np.concatenate([part.offsets + base for part, base in zip(parts, bases, strict=True)]),
        np.concatenate([part.lengths for part in parts]),
    )


def sentBatch(batch: PacketBatch, out: NDArray[np.uint8], sent: NDArray[np.int64]) -> PacketBatch:
    """What a kernel wrote, with the stamps of the packets that it came of."""
    lengths, wire = sent[:, 1].astype(np.uint32), sent[:, 2].astype(np.uint32)
    return PacketBatch(out, sent[:, 0].copy(), lengths, wire, batch.stamps[sent[:, 3]], batch.link)
