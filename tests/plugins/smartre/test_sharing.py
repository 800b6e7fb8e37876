"""Clones and merges of a decoder's caches, while encoded traffic flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import OperationError, Refusal
from openmb.packets.batch import PacketBatch, packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.smartre.decoder import DecoderEnd
from openmb.plugins.smartre.encoder import EncoderEnd
from openmb.plugins.smartre.packs import countersBatch
from openmb.plugins.smartre.plugin import SmartreDecoder
from openmb.plugins.smartre.records import COUNTERS, COUNTS, PACK, PACKED
from openmb.plugins.smartre.settings import Role, SmartreSettings
from openmb.plugins.smartre.statistics import undecodable
from openmb.state.headers import EVERYTHING
from openmb.state.origins import Tallies, originOf
from openmb.state.records import RecordBatch, recordBytes
from openmb.state.taxonomy import Cell
from tests.plugins.smartre.ends import contents, makeEnds, pieces, through
from tests.plugins.smartre.feedback.path import Path
from tests.plugins.smartre.frames import generate

SUPPORTING, BOTH = (Cell.SUPPORTING_SHARED,), (Cell.SUPPORTING_SHARED, Cell.REPORTING_SHARED)
OPERATION, OTHER = 7, 8
#: A small ring that goes round; every packet that does not get shorter is announced.
SETTINGS = SmartreSettings(Role.ENCODER, slots=256, entries=1 << 12, gated=False, mtu=1500)


def encoded(seed: int, packets: int, size: int = 16) -> tuple[list[PacketBatch], list[PacketBatch]]:
    """Traffic in batches of C{size}, and what an encoder makes of it."""
    plain = list(pieces(generate(seed, packets), size))
    return plain, list(through(makeEnds(SETTINGS)[0], plain))


def decoder(name: str = "offline") -> SmartreDecoder:
    """An empty one."""
    made = SmartreDecoder(replace(SETTINGS, role=Role.DECODER))
    made.identify(name, name.encode().ljust(16, b"."))
    return made


def follow(source: SmartreDecoder, clone: SmartreDecoder, batches: Iterable[PacketBatch]) -> list[PacketBatch]:
    """Packets at the source of a clone, and what they change, at the destination, as hosts do it."""
    sent = []
    for batch in batches:
        processed = source.process(Decoder(checksums=False, reassemble=False).decode(batch), None)
        assert processed.forward is not None
        sent.append(processed.forward)
        if processed.shared is not None and processed.shared.any():
            events = batch.select(np.flatnonzero(processed.shared))
            clone.reprocess(OPERATION, Decoder(checksums=False, reassemble=False).decode(events))
        for changes in source.sharedChanges(OPERATION):
            clone.putShared(OPERATION, changes)
    return sent


def begin(source: SmartreDecoder, clone: SmartreDecoder, limit: int = 3) -> None:
    """The cut of a clone."""
    clone.prepareShared(OPERATION, SUPPORTING)
    for step in source.getShared(OPERATION, SUPPORTING, limit):
        for batch in step:
            clone.putShared(OPERATION, batch)


def merge(source: SmartreDecoder, destination: SmartreDecoder, operation: int = OTHER) -> None:
    """A whole merge."""
    destination.prepareShared(operation, BOTH)
    for step in source.takeShared(operation, BOTH, 3):
        for batch in step:
            destination.putShared(operation, batch)
    destination.commitShared(operation)
    source.delShared(operation)


def held(end: SmartreDecoder) -> dict[tuple[int, int], dict[int, bytes | None]]:
    """Every packet in every cache."""
    return {
        (number, cache.epoch): {int(id): cache.decoder.store.payload(int(id)) for id in cache.decoder.store.held()}
        for number, cache in end.caches.items()
    }


class FollowedPath(Path):
    """A path whose decoder is cloned."""

    isFollowed = False

    def makeDecoder(self) -> SmartreDecoder:
        """The source of the clone."""
        self.source = SmartreDecoder(replace(self.settings, role=Role.DECODER))
        self.clone = SmartreDecoder(replace(self.settings, role=Role.DECODER))
        return self.source

    def _through(self, end: EncoderEnd | DecoderEnd, packets: list[bytes]) -> list[bytes]:
        if end is not self.source or not self.isFollowed or not packets:
            return super()._through(end, packets)
        batch = packetBatch(packets, [self._now] * len(packets))
        return [sent.packet(place) for sent in follow(self.source, self.clone, [batch]) for place in range(len(sent))]


class CloneTests(SynchronousTestCase):
    """A second decoder takes over in the middle of the traffic."""

    def scenario(self, seed: int, follows: bool) -> tuple[SmartreDecoder, bool]:
        """
        A cut after a third, a switch after another; the clone that decodes the last third, and whether that is the
        traffic as it was.
        """
        plain, batches = encoded(seed, 1500)
        third = len(batches) // 3
        source, clone = decoder("a"), decoder("b")
        before = list(through(source, batches[:third]))
        begin(source, clone)
        if follows:
            before += follow(source, clone, batches[third : 2 * third])
        else:
            before += list(through(source, batches[third : 2 * third]))
        clone.commitShared(OPERATION)
        source.delShared(OPERATION)
        if follows:
            self.assertEqual(held(source), held(clone))
        sent = contents([*before, *through(clone, batches[2 * third :])])
        return clone, sent == contents(plain)

    def test_nothingUndecodable(self) -> None:
        """With events everything is decoded, as if there had been one decoder."""
        for seed in range(3):
            clone, isWhole = self.scenario(seed, follows=True)
            self.assertEqual(0, undecodable(clone.statistics[0]))
            self.assertTrue(isWhole)

    def test_withoutEvents(self) -> None:
        """Without them it is not: what came between cut and switch is missing."""
        clone, isWhole = self.scenario(0, follows=False)
        self.assertGreater(undecodable(clone.statistics[0]), 20)
        self.assertFalse(isWhole)

    def test_bothWays(self) -> None:
        """Changes come by packets, and by records; reporting state never."""
        _, batches = encoded(2, 1500)
        source, clone, events, records = decoder("a"), decoder("b"), 0, 0
        list(through(source, batches[:40]))
        begin(source, clone)
        for batch in batches[40:]:
            processed = source.process(Decoder(checksums=False, reassemble=False).decode(batch), None)
            changes = source.sharedChanges(OPERATION)
            self.assertFalse(changes and processed.shared is not None and processed.shared.any())
            events += processed.shared is not None and int(processed.shared.sum()) > 0
            records += len(changes)
            self.assertEqual(set(), {each.cell for each in changes} - {Cell.SUPPORTING_SHARED})
        self.assertGreater(min(events, records), 5)

    def test_oneCut(self) -> None:
        """Packets between two steps are not in the copy."""
        _, batches = encoded(1, 900)
        source, other, copies = decoder("a"), decoder("b"), decoder("c")
        for each in (source, other):
            list(through(each, batches[:30]))
        begin(other, copies)
        steps = source.getShared(OPERATION, SUPPORTING, 1)
        clone = decoder("d")
        clone.prepareShared(OPERATION, SUPPORTING)
        for place, step in enumerate(steps):
            for batch in step:
                clone.putShared(OPERATION, batch)
            if place < 3:
                list(through(source, batches[30 + place : 31 + place]))
        for each in (clone, copies):
            each.commitShared(OPERATION)
        self.assertEqual(held(copies), held(clone))

    def test_answers(self) -> None:
        """Packets that an answer completed follow, too; what waits for one stays where it is."""
        path = FollowedPath()
        packets = [batch.packet(0) for batch in pieces(generate(6, 900), 1)]
        path.send(packets[:300])
        begin(path.source, path.clone)
        path.isFollowed = True
        path.send(packets[300:500])
        for end in (path.source, path.clone._coming[OPERATION].end):
            # some packets are gone, so that what refers to them cannot be decoded without an answer
            end.caches[0].decoder.store.ids[::3] = 0
        path.send(packets[500:])
        path.wait(100_000_000)
        path.clone.commitShared(OPERATION)
        self.assertGreater(int(path.source.statistics["recovered"][0]), 0)
        self.assertEqual(0, undecodable(path.source.statistics[0]))
        self.assertEqual(held(path.source), held(path.clone))

    def test_provisional(self) -> None:
        """Before it is committed nothing is seen of it, and a discard leaves nothing."""
        _, batches = encoded(1, 600)
        source, clone = decoder("a"), decoder("b")
        list(through(source, batches))
        begin(source, clone)
        self.assertEqual({}, held(clone))
        self.assertEqual(0, sum(each.records for each in clone.usage(EVERYTHING)))
        clone.discard(OPERATION)
        with self.assertRaises(OperationError):
            clone.commitShared(OPERATION)
        self.assertEqual({}, held(clone))
        self.assertFalse(clone.statistics.view(np.uint64).any())


class MergeTests(SynchronousTestCase):
    """Two decoders become one."""

    def parts(self) -> tuple[SmartreDecoder, SmartreDecoder, SmartreDecoder]:
        """One that has seen everything, and two that were one until the middle, each with a part of the rest."""
        _, batches = encoded(3, 1200, size=1)
        half = len(batches) // 2
        whole, one, two = decoder("w"), decoder("a"), decoder("b")
        list(through(whole, batches))
        list(through(one, batches[:half]))
        begin(one, two)
        two.commitShared(OPERATION)
        one.delShared(OPERATION)
        list(through(one, batches[half::2]))
        list(through(two, batches[half + 1 :: 2]))
        return whole, one, two

    def test_unites(self) -> None:
        """What either holds both hold together; in either order the same, and twice nothing more."""
        _, one, two = self.parts()
        expected = {**held(one)[0, 1]}
        found = []
        for turned in (False, True):
            _, first, second = self.parts()
            if turned:
                first, second = second, first
            merge(first, second)
            self.assertEqual({}, first.caches)
            found.append(held(second))
        self.assertEqual(*found)
        both = {**held(two)[0, 1], **expected}
        newest = {id % 256: id for id in sorted(both)}
        latest = {id: both[id] for id in newest.values()}
        self.assertEqual(latest, found[0][0, 1])

    def test_counters(self) -> None:
        """Counted once, by whatever way it comes."""
        _, one, two = self.parts()
        together = one.tallies.total + two.tallies.total
        merge(one, two)
        self.assertEqual(together.tolist(), two.tallies.total.tolist())
        self.assertFalse(one.tallies.total.any())
        third = decoder("c")
        merge(two, third, 9)
        self.assertEqual(together.tolist(), third.tallies.total.tolist())

    def test_aborted(self) -> None:
        """What was taken comes back, with what came meanwhile."""
        _, one, _ = self.parts()
        before, counted = held(one), one.tallies.total.tolist()
        list(one.takeShared(OTHER, BOTH, 3))
        self.assertEqual({}, one.caches)
        marked = {each.cell: (each.records, each.marked) for each in one.usage(EVERYTHING)}
        self.assertEqual(1, len(set(marked[Cell.SUPPORTING_SHARED])))
        one.unmark(OTHER)
        self.assertEqual(before, held(one))
        self.assertEqual(counted, one.tallies.total.tolist())

    def test_olderEpoch(self) -> None:
        """A newer epoch empties a cache, an older one says nothing."""
        _, one, two = self.parts()
        expected = held(two)[0, 1]
        two.caches[0].epoch = 2
        merge(one, two)
        self.assertEqual({(0, 2): expected}, held(two))
        _, one, two = self.parts()
        one.caches[0].epoch = 65535
        two.caches[0].epoch = 65534
        expected = held(one)[0, 65535]
        merge(one, two)
        self.assertEqual({(0, 65535): expected}, held(two))


def records() -> list[RecordBatch]:
    """One batch of packs, one of counters."""
    _, batches = encoded(1, 300)
    end = decoder()
    list(through(end, batches))
    found = [batch for step in end.takeShared(1, BOTH, 1) for batch in step]
    return [found[0], found[-1]]


def changed(batch: RecordBatch, field: str, value: Any) -> RecordBatch:
    """Another value in the one record."""
    layout = PACK if batch.layout == PACK.identifier else COUNTERS
    rows = layout.rows(batch.records).copy()
    rows[field] = value
    return replace(batch, records=recordBytes(rows))


@cache
def goodPacks() -> RecordBatch:
    """A batch of packs, made once."""
    return records()[0]


@cache
def someTraffic() -> tuple[PacketBatch, ...]:
    """Some of an encoder's, made once."""
    return tuple(encoded(4, 60)[1])


BAD: tuple[tuple[int, Callable[[RecordBatch], RecordBatch]], ...] = (
    (0, lambda batch: replace(batch, version=9)),
    (0, lambda batch: replace(batch, layout=9)),
    (0, lambda batch: replace(batch, records=batch.records[:, 1:])),
    (0, lambda batch: replace(batch, keys=batch.keys + np.uint8(1))),
    (0, lambda batch: replace(batch, tails=None, tailLengths=None)),
    (0, lambda batch: replace(batch, tails=np.append(batch.tails, np.uint8(1)))),  # type: ignore[arg-type]
    (0, lambda batch: replace(batch, tails=batch.tails[::-1].copy())),  # type: ignore[index]
    (0, lambda batch: changed(batch, "slots", 512)),
    (0, lambda batch: changed(batch, "slotBytes", 1500)),
    (0, lambda batch: changed(batch, "cache", 16)),
    (0, lambda batch: changed(batch, "spare", 1)),
    (0, lambda batch: changed(batch, "epoch", 0)),
    (0, lambda batch: changed(batch, "count", PACKED + 1)),
    (0, lambda batch: changed(batch, "count", PACKED - 1)),
    (0, lambda batch: changed(batch, "size", 1)),
    (0, lambda batch: changed(batch, "size", (1 << 32) - 1)),
    (1, lambda batch: changed(batch, "counts", 1 << 63)),
    (1, lambda batch: changed(batch, "spare", 1)),
    (1, lambda batch: replace(batch, records=batch.records[:, 1:])),
)


class RecordTests(SynchronousTestCase):
    """Bytes."""

    def test_refused(self) -> None:
        """Everything that no decoder could have written, or one with caches of another shape; nothing is stored."""
        good = records()
        end = decoder()
        end.prepareShared(1, BOTH)
        for place, change in BAD:
            with self.assertRaises(OperationError) as caught:
                end.putShared(1, change(good[place]))
            self.assertIn(caught.exception.refusal, (Refusal.BAD_REQUEST, Refusal.INCOMPATIBLE_RECORDS))
        self.assertEqual(0, end.commitShared(1))

    def test_ownCounters(self) -> None:
        """Nobody else knows what this decoder is counting; what it handed over may come back."""
        end, tallies = decoder(), Tallies(COUNTS)
        end.identify("me", bytes(16))
        tallies.of((originOf("me", bytes(16)), 0))[:] = 3
        end.prepareShared(1, BOTH)
        with self.assertRaises(OperationError) as caught:
            end.putShared(1, countersBatch(tallies))
        self.assertIs(Refusal.BAD_REQUEST, caught.exception.refusal)
        list(end.takeShared(2, BOTH, 9))
        end.delShared(2)
        end.putShared(1, countersBatch(tallies))
        self.assertEqual(1, end.commitShared(1))

    @given(some.binary(min_size=PACK.size, max_size=PACK.size), some.binary(max_size=80), some.booleans())
    @settings(max_examples=150)
    def test_junk(self, octets: bytes, tail: bytes, isTail: bool) -> None:
        """Any bytes are refused, or are packets that a decoder can live with."""
        good = goodPacks()
        junk = replace(good, records=np.frombuffer(octets, np.uint8).reshape(1, PACK.size))
        if isTail:
            lengths = np.array([len(tail)], np.uint32)
            junk = replace(good, tails=np.frombuffer(tail, np.uint8), tailLengths=lengths)
        end = decoder()
        end.prepareShared(1, BOTH)
        try:
            end.putShared(1, junk)
        except OperationError:
            return
        end.commitShared(1)
        list(through(end, someTraffic()))
