"""
The half of a Bro middlebox that clones and merges what its connections share.

A change of it follows from a connection's whole history, never from one packet alone: a clone is told of changes as
records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from openmb.errors import OperationError, Refusal
from openmb.interfaces import CellUsage
from openmb.plugins.bro.policies.ledger import Changes, Ledger
from openmb.plugins.bro.policies.policies import Policies
from openmb.plugins.bro.policies.records import COUNTERS, FACT, QUIET, SUSPICION, TOKEN
from openmb.plugins.bro.policies.transfer import batchesOf, parseBatch
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell

_LENGTH = 2


@dataclass(slots=True)
class Coming:
    """
    State from elsewhere that is not committed.

    @ivar isMerge: the source gives it away.  A clone is not judged: the source goes on with the same suspicions, and
        notices for itself.
    @ivar forgotten: records that were too many.
    """

    isMerge: bool
    ledger: Ledger = field(default_factory=Ledger)
    forgotten: int = 0


class PolicySharing:
    """Provides C{ISharedState}."""

    policies: Policies
    _coming: dict[int, Coming]

    def getShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        self.policies.watches[operation] = Changes()
        yield from batchesOf(self.policies.own.copy(), limit)

    def sharedChanges(self, operation: int) -> tuple[RecordBatch, ...]:
        """See C{ISharedState}."""
        changes = self.policies.watches.get(operation)
        if changes is None or not (changes.suspicions or changes.facts or changes.matters):
            return ()
        self.policies.watches[operation] = Changes()
        return tuple(batch for step in batchesOf(changes.of(self.policies.own), 256) for batch in step)

    def takeShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        yield from batchesOf(self.policies.take(operation, cells), limit)

    def delShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        self.policies.watches.pop(operation, None)
        return len(self.policies.taken.pop(operation, ()))

    def giveBack(self, operation: int) -> None:
        """What C{ISharedState.unmark} does for shared state."""
        self.policies.watches.pop(operation, None)
        if (taken := self.policies.taken.pop(operation, None)) is not None:
            self.policies.fold(taken)
            self.policies.judge(taken)

    def prepareShared(self, operation: int, cells: Sequence[Cell]) -> None:
        """See C{ISharedState}."""
        self._coming.setdefault(operation, Coming(Cell.REPORTING_SHARED in cells))

    def putShared(self, operation: int, batch: RecordBatch) -> None:
        """See C{ISharedState}."""
        if operation not in self._coming:
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {operation:016x} was not prepared")
        ledger, coming = parseBatch(batch), self._coming[operation]
        self.policies.check(ledger)
        coming.ledger.fold(ledger)
        coming.forgotten += coming.ledger.bound(self.policies.settings.most)

    def commitShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        if operation not in self._coming:
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {operation:016x} was not prepared")
        coming = self._coming.pop(operation)
        records = self.policies.fold(coming.ledger, coming.forgotten)
        if coming.isMerge:
            self.policies.judge(coming.ledger)
        return records

    def sharedUsage(self) -> tuple[CellUsage, ...]:
        """What C{IMiddlebox.usage} says of shared state: all of it, what was taken included, and that is marked."""
        own, taken = self.policies.own, [*self.policies.taken.values()]
        watched = own.supporting if self.policies.watches else 0
        away, counters = sum(each.supporting for each in taken), sum(len(each.counters) for each in taken)
        size = _supportingBytes(own) + sum(map(_supportingBytes, taken))
        counted = len(own.counters) + counters
        return (
            CellUsage(Cell.SUPPORTING_SHARED, own.supporting + away, size, away + watched),
            CellUsage(Cell.REPORTING_SHARED, counted, counted * COUNTERS.size, counters),
        )


def _supportingBytes(ledger: Ledger) -> int:
    tails = sum(_LENGTH + TOKEN * len(each.tokens) for each in ledger.observations.values())
    fixed = len(ledger.observations) * SUSPICION.size + len(ledger.known) * FACT.size + len(ledger.quiet) * QUIET.size
    return tails + fixed
