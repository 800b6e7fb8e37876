"""
The half of a Bro middlebox that hands its records out and takes others' in.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from openmb.errors import FinerThanNative, OperationError, Refusal
from openmb.interfaces import CellUsage
from openmb.packets.headers import Decoded, Kind
from openmb.plugins.bro.core import BroCore
from openmb.plugins.bro.policies.sharing import PolicySharing
from openmb.plugins.bro.records import REPORTING, SUPPORTING
from openmb.plugins.bro.tracking.tracker import Tracker
from openmb.plugins.bro.transfer import adopt, exportSlots, importBatch, meetings, tailBytes
from openmb.state.flowkey import flowKeys
from openmb.state.headers import HeaderFieldList
from openmb.state.records import RecordBatch

#: Header fields that are no part of a connection's key.
_FINER = frozenset({"dl_vlan"})
_TRACKED = (Kind.TCP, Kind.UDP, Kind.ICMP, Kind.OTHER)


class BroAdapter(BroCore, PolicySharing):
    """Provides C{IPerflowState}, and C{IMiddlebox.usage}."""

    def check(self, flows: HeaderFieldList) -> None:
        """See C{IPerflowState}."""
        for field in sorted(flows.constrained & _FINER):
            raise FinerThanNative(field, self.nativeKey)

    def getPerflow(self, flows: HeaderFieldList, operation: int, limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{IPerflowState}."""
        self.check(flows)
        found = True
        while found:
            found, start = False, 0
            while start < self._own.table.capacity:
                slots = self._own.table.select(flows, start, start + limit)
                start += limit
                slots = slots[self._own.table.marks[slots] == 0]
                if len(slots):
                    found = True
                    self._own.table.mark(slots, operation)
                    yield exportSlots(self._own, slots)
                else:
                    yield ()

    def freeze(self, flows: HeaderFieldList, operation: int) -> None:
        """See C{IPerflowState}."""
        self._frozen[operation] = flows

    def thaw(self, operation: int) -> None:
        """See C{IPerflowState}."""
        self._frozen.pop(operation, None)

    def unmark(self, operation: int) -> None:
        """See C{IStateAdapter}."""
        self._own.table.mark(self._own.table.marked(operation), 0)
        self._frozen.pop(operation, None)
        self.giveBack(operation)

    def delPerflow(self, operation: int, flows: HeaderFieldList) -> int:
        """See C{IPerflowState}."""
        return self._own.remove(self._own.table.marked(operation))

    def prepare(self, operation: int, flows: HeaderFieldList) -> None:
        """See C{IPerflowState}."""
        self._provisional.setdefault(operation, Tracker(self.settings.maximumFlows, None, self.settings.capacity))

    def putPerflow(self, operation: int, batch: RecordBatch) -> None:
        """See C{IPerflowState}."""
        importBatch(self._provisionalOf(operation), batch)

    def conflicts(self, operation: int) -> int:
        """See C{IPerflowState}."""
        return len(meetings(self._own, self._provisionalOf(operation))[1])

    def commit(self, operation: int) -> int:
        """See C{IPerflowState}."""
        provisional = self._provisionalOf(operation)
        ended, live = meetings(self._own, provisional)
        if len(live):
            raise OperationError(Refusal.CONFLICTING_RECORD, f"{len(live)} live records are in the way")
        self._own.table.reserve(len(provisional.table))
        self._own.finish(ended)
        del self._provisional[operation]
        return adopt(self._own, provisional)

    def discard(self, operation: int) -> None:
        """See C{IStateAdapter}."""
        self._provisional.pop(operation, None)
        self._coming.pop(operation, None)

    def owns(self, packets: Decoded) -> NDArray[np.bool_]:
        """See C{IPerflowState}."""
        keys, _ = flowKeys(packets.headers)
        owned: NDArray[np.bool_] = self._own.table.find(keys) >= 0
        return owned & np.isin(packets.headers["kind"], _TRACKED)

    def usage(self, flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """See C{IMiddlebox}."""
        self.check(flows)
        slots = self._own.table.select(flows)
        marked, count = int(np.count_nonzero(self._own.table.marks[slots])), len(slots)
        tails, isEstimated = tailBytes(self._own, slots)
        return (
            CellUsage(SUPPORTING.cell, count, count * SUPPORTING.size + tails, marked, isEstimated),
            CellUsage(REPORTING.cell, count, count * REPORTING.size, marked),
            *self.sharedUsage(),
        )
