"""
What every kind with shared state must do, as a mixin for trial: the rules of clones and merges.

A kind without shared state passes too; there is nothing to go wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openmb.errors import OperationError
from openmb.packets.batch import PacketBatch
from openmb.state.headers import EVERYTHING, HeaderFieldList
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell, Partition
from openmb.testing.adapters import FIRST, OPERATION, OTHER, PerflowMiddlebox, StateAdapterTestsMixin
from openmb.testing.damage import SHARED_DAMAGE

SUPPORTING, REPORTING = (Cell.SUPPORTING_SHARED,), (Cell.REPORTING_SHARED,)
BOTH = (*SUPPORTING, *REPORTING)


class SharedStateTestsMixin(StateAdapterTestsMixin):
    """The rules of shared state; hooks as in L{StateAdapterTestsMixin}, and L{amounts}."""

    def amounts(self, middlebox: PerflowMiddlebox) -> object:
        """
        Hook, for kinds with shared state: what it amounts to, for comparisons, whoever counted it: origins added up,
        lists sorted.  It may not change anything.
        """
        shared = [cell for cell, _, _ in middlebox.layouts if cell.partition is Partition.SHARED]
        self.assertEqual([], shared, "this kind has shared state: a subclass provides amounts")
        return ()

    # -- tools

    def instance(self, name: str, packets: PacketBatch | None = None) -> PerflowMiddlebox:
        """A middlebox of that name which has seen packets."""
        middlebox = self.makeMiddlebox()
        middlebox.identify(name, name.encode().ljust(16, b"."))
        if packets is not None:
            self.feed(middlebox, packets)
        return middlebox

    def thirds(self) -> tuple[PacketBatch, PacketBatch, PacketBatch]:
        """The traffic in three parts, each of all flows."""
        traffic = self.traffic()
        third = len(traffic) // 3
        cuts = (slice(0, third), slice(third, 2 * third), slice(2 * third, len(traffic)))
        first, second, last = (traffic.select(cut) for cut in cuts)
        return first, second, last

    def taken(
        self, middlebox: PerflowMiddlebox, operation: int = OPERATION, cells: Sequence[Cell] = BOTH
    ) -> list[RecordBatch]:
        """What a merge takes."""
        return [batch for step in middlebox.takeShared(operation, cells, 3) for batch in step]

    def copied(self, middlebox: PerflowMiddlebox, operation: int = OPERATION) -> list[RecordBatch]:
        """The cut of a clone."""
        return [batch for step in middlebox.getShared(operation, SUPPORTING, 3) for batch in step]

    def fold(
        self,
        middlebox: PerflowMiddlebox,
        batches: Sequence[RecordBatch],
        operation: int = OPERATION,
        cells: Sequence[Cell] = BOTH,
    ) -> None:
        """As the destination of an operation that succeeds."""
        middlebox.prepareShared(operation, cells)
        for batch in batches:
            middlebox.putShared(operation, batch)
        middlebox.commitShared(operation)

    def merge(self, source: PerflowMiddlebox, destination: PerflowMiddlebox, operation: int = OPERATION) -> None:
        """A whole merge."""
        self.fold(destination, self.taken(source, operation), operation)
        source.delShared(operation)

    def follow(self, source: PerflowMiddlebox, destination: PerflowMiddlebox, packets: PacketBatch) -> None:
        """Packets at the source of a clone, and what they change, at the destination, as hosts do it."""
        decoded = self.decode(packets)
        processed = source.process(decoded, None)
        if processed.shared is not None and processed.shared.any():
            destination.reprocess(OPERATION, self.decode(packets.select(np.flatnonzero(processed.shared))))
        self.changes(source, destination)

    def changes(self, source: PerflowMiddlebox, destination: PerflowMiddlebox) -> None:
        """What changed otherwise."""
        for batch in source.sharedChanges(OPERATION):
            destination.putShared(OPERATION, batch)

    # -- the rule

    def test_foldTwice(self) -> None:
        """What comes a second time, in the same operation or in another, is not counted again."""
        first, second, _ = self.thirds()
        once, often = self.instance("d", second), self.instance("d", second)
        batches = self.taken(self.instance("a", first))
        self.fold(once, batches)
        self.fold(often, [*batches, *batches])
        self.fold(often, batches, OTHER)
        self.assertEqual(self.amounts(once), self.amounts(often))

    def test_foldInAnyOrder(self) -> None:
        """Two merges into one instance are commutative."""
        first, second, last = self.thirds()
        found = []
        for names in ("ab", "ba"):
            sources = {"a": self.instance("a", first), "b": self.instance("b", second)}
            destination = self.instance("d", last)
            for operation, name in enumerate(names, OPERATION):
                self.merge(sources[name], destination, operation)
            found.append(self.amounts(destination))
        self.assertEqual(*found)

    def test_foldByWay(self) -> None:
        """Merges are associative: through another instance, or directly."""
        first, second, last = self.thirds()
        direct, byWay = self.instance("d", last), self.instance("d", last)
        for name, packets in (("a", first), ("b", second)):
            self.merge(self.instance(name, packets), direct)
        between = self.instance("b", second)
        self.merge(self.instance("a", first), between)
        self.merge(between, byWay)
        self.assertEqual(self.amounts(direct), self.amounts(byWay))

    # -- clone

    def test_cloneFollows(self) -> None:
        """A copy that has followed every change is what a copy made at the end would be; the source notices nothing."""
        first, second, last = self.thirds()
        source, untouched = self.instance("a", first), self.instance("a", first)
        followed, fresh = self.instance("d"), self.instance("d")
        followed.prepareShared(OPERATION, SUPPORTING)
        for batch in self.copied(source):
            followed.putShared(OPERATION, batch)
        for packets in (second, last):
            self.follow(source, followed, packets)
            self.feed(untouched, packets)
        now = int(last.stamps.max()) + int(self.idleSeconds * 3e9)
        source.advance(now)
        untouched.advance(now)
        self.changes(source, followed)
        followed.commitShared(OPERATION)
        source.delShared(OPERATION)
        self.fold(fresh, self.copied(untouched), cells=SUPPORTING)
        untouched.unmark(OPERATION)
        self.assertEqual(self.amounts(fresh), self.amounts(followed))
        self.assertEqual(self.amounts(untouched), self.amounts(source))
        self.assertEqual(self.finished(untouched), self.finished(source))

    def test_cloneIsOneCut(self) -> None:
        """Packets between two steps of a clone are not in the copy: the hosts send them after it."""
        first, second, _ = self.thirds()
        source, cut, expected = self.instance("a", first), self.instance("d"), self.instance("d")
        self.fold(expected, self.copied(self.instance("a", first)), cells=SUPPORTING)
        steps = source.getShared(OPERATION, SUPPORTING, 1)
        batches = list(next(steps, ()))
        self.feed(source, second)
        batches += [batch for step in steps for batch in step]
        self.fold(cut, batches, cells=SUPPORTING)
        self.assertEqual(self.amounts(expected), self.amounts(cut))

    def test_cloneThenMerge(self) -> None:
        """A merge after a clone counts nothing twice, neither of the cut nor of what followed it."""
        first, second, last = self.thirds()
        found = []
        for cloned in (False, True):
            source, destination = self.instance("a", first), self.instance("d", self.packets())
            if cloned:
                destination.prepareShared(OPERATION, SUPPORTING)
                for batch in self.copied(source):
                    destination.putShared(OPERATION, batch)
                self.follow(source, destination, second)
                destination.commitShared(OPERATION)
                source.delShared(OPERATION)
            else:
                self.feed(source, second)
            self.feed(source, last)
            self.merge(source, destination, OTHER)
            found.append(self.amounts(destination))
        self.assertEqual(*found)

    def test_onlySupportingIsCloned(self) -> None:
        """No reporting state leaves with a clone, whatever there is and whatever changes."""
        first, second, last = self.thirds()
        source = self.instance("a", first)
        source.advance(int(first.stamps.max()) + int(self.idleSeconds * 3e9))
        batches = self.copied(source)
        for packets in (second, last):
            self.feed(source, packets)
            batches += source.sharedChanges(OPERATION)
        self.assertEqual(set(), {batch.cell for batch in batches} - {Cell.SUPPORTING_SHARED})

    def test_reprocessTouchesOnlyShared(self) -> None:
        """Re-processing for a clone touches nothing per-flow and nothing reported, and puts nothing out."""
        first, second, _ = self.thirds()
        source, destination, untouched = self.instance("a", first), self.instance("d"), self.instance("d")
        destination.prepareShared(OPERATION, SUPPORTING)
        for batch in self.copied(source):
            destination.putShared(OPERATION, batch)
        self.follow(source, destination, second)
        self.assertEqual((0, 0), self.count(destination))
        self.assertEqual(self.amounts(untouched), self.amounts(destination))
        self.assertFalse(destination.owns(self.decode(second)).any())
        destination.commitShared(OPERATION)
        reporting = self.taken(destination, OTHER, REPORTING)
        self.assertEqual(self.contents(self.taken(untouched, OTHER, REPORTING)), self.contents(reporting))
        self.assertEqual(self.finished(untouched), self.finished(destination))

    # -- merge

    def test_takenIsGone(self) -> None:
        """What was taken is at the destination alone, in the end; whatever came meanwhile comes with the next merge."""
        first, second, last = self.thirds()
        whole, source, destination = self.instance("a", first), self.instance("a", first), self.instance("d")
        steps = source.takeShared(OPERATION, BOTH, 1)
        batches = list(next(steps, ()))
        for middlebox in (whole, source):
            self.feed(middlebox, second)
        batches += [batch for step in steps for batch in step]
        self.fold(destination, batches)
        source.delShared(OPERATION)
        for middlebox in (whole, source):
            self.feed(middlebox, last)
        self.merge(source, destination, OTHER)
        self.assertEqual(self.amounts(self.instance("e")), self.amounts(source))
        self.assertEqual(self.amounts(whole), self.amounts(destination))

    def test_foldsBack(self) -> None:
        """A merge that is aborted changes nothing, whatever came meanwhile."""
        first, second, last = self.thirds()
        source, untouched = self.instance("a", first), self.instance("a", first)
        for operation, packets in ((OPERATION, second), (OTHER, last)):
            self.taken(source, operation)
            self.feed(source, packets)
            self.feed(untouched, packets)
            source.unmark(operation)
        self.assertEqual(self.amounts(untouched), self.amounts(source))
        self.assertEqual(self.finished(untouched), self.finished(source))

    def test_usageOfShared(self) -> None:
        """What was taken still counts, as marked, until it is dropped; the flows asked for make no difference."""
        source = self.instance("a", self.traffic())
        records = sum(map(len, self.taken(source)))
        some = HeaderFieldList.parse("nw_src=10.0.1.0/30")
        marked = {each.cell: each.marked for each in source.usage(some) if each.cell in BOTH}
        self.assertEqual(records, sum(marked.values()))
        self.assertEqual(records, source.delShared(OPERATION))
        self.assertEqual(0, sum(each.marked for each in source.usage(EVERYTHING) if each.cell in BOTH))

    # -- the destination

    def test_provisionalShared(self) -> None:
        """Before COMMIT nothing is seen of it, and a discard leaves nothing behind."""
        first, second, _ = self.thirds()
        destination, untouched = self.instance("d", second), self.instance("d", second)
        for batches, cells in ((self.taken(self.instance("a", first)), BOTH), ([], SUPPORTING)):
            destination.prepareShared(OPERATION, cells)
            destination.prepareShared(OPERATION, cells)
            for batch in batches:
                destination.putShared(OPERATION, batch)
            self.assertEqual(self.amounts(untouched), self.amounts(destination))
            destination.discard(OPERATION)
        self.assertEqual(self.amounts(untouched), self.amounts(destination))
        self.assertEqual(self.finished(untouched), self.finished(destination))

    def test_malformedShared(self) -> None:
        """Records that cannot be accepted are refused, per-flow ones among them."""
        destination, first = self.instance("d"), self.thirds()[0]
        destination.prepareShared(OPERATION, BOTH)
        perFlow = next(batch for batch in self.exported(self.fed()) if batch.cell is FIRST)
        good = self.taken(self.instance("a", first))[:1]
        bad = [perFlow, *(change(batch) for batch in good for change in SHARED_DAMAGE)]
        for batch in bad:
            with self.assertRaises(OperationError):
                destination.putShared(OPERATION, batch)
        self.assertEqual(0, destination.commitShared(OPERATION))
