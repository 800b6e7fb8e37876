"""
The half of a PRADS middlebox that processes packets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Processed
from openmb.packets.headers import Decoded
from openmb.plugins.prads.core import PradsCore
from openmb.plugins.prads.statistics import statisticsText

#: A full table is emptied by at least this part, so that this does not happen with every packet.
_ENDED_PART = 16


class PradsEngine(PradsCore):
    """Provides C{IEngine}."""

    _isOver = False

    def process(self, packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """See C{IEngine}: packets are read as they came, whatever the host has made of them."""
        marks = self._own.process(packets.packets, births, self._makeRoom)
        return Processed(marks, failed=self._own.takeFailed())

    def reprocess(self, operation: int, packets: Decoded) -> None:
        """See C{IEngine}."""
        if operation in self._coming:
            return  # counters and ids do not follow from packets
        tracker = self._provisionalOf(operation)
        tracker.process(packets.packets)
        if failed := tracker.takeFailed():
            raise OperationError(Refusal.ENGINE_FAILED, failed[0].reason)

    def advance(self, now: int) -> None:
        """See C{IEngine}: over captures the real program ends no connection before the end."""

    def _makeRoom(self, wanted: int) -> None:
        """End the connections that have been idle the longest, as many as can be of those wanted."""
        table = self._own.table
        slots = table.slots()
        slots = slots[table.marks[slots] == 0]
        wanted = min(max(wanted, table.maximum // _ENDED_PART), len(slots))
        if wanted:
            idle = np.argsort(table.rows["last"][slots], kind="stable")
            self._own.end(slots[idle[:wanted]])

    def finish(self) -> None:
        """See C{IEngine}."""
        table = self._own.table
        slots = table.slots()
        self._own.end(slots[table.marks[slots] == 0])
        if not self._isOver:
            self._isOver = True
            self.output.statistics.write(statisticsText(self.shares.total).encode())
        self.output.flush()
        if failed := self._own.takeFailed():
            raise OperationError(Refusal.ENGINE_FAILED, f"{len(failed)} lines are missing: {failed[0].reason}")

    def flush(self) -> None:
        """See C{IEngine}."""
        self.output.flush()
