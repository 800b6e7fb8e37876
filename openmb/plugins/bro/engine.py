"""
The half of a Bro middlebox that processes packets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Processed
from openmb.packets.headers import Decoded
from openmb.plugins.bro.core import BroCore
from openmb.plugins.bro.settings import BroSettings

#: A full table is emptied by at least this part, so that this does not happen with every packet.
_EVICTED_PART = 16


class BroEngine(BroCore):
    """Provides C{IEngine}."""

    def __init__(self, settings: BroSettings) -> None:
        super().__init__(settings)
        self._clock = 0
        self._sweepDue = 0

    def process(self, packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """See C{IEngine}."""
        marks = self._own.process(packets, births, self._makeRoom)
        if len(packets):
            self.advance(int(packets.headers["clock"].max()))
        return Processed(marks, failed=self._own.takeFailed())

    def reprocess(self, operation: int, packets: Decoded) -> None:
        """See C{IEngine}."""
        tracker = self._provisionalOf(operation)
        tracker.process(packets, None)
        if failed := tracker.takeFailed():
            raise OperationError(Refusal.ENGINE_FAILED, failed[0].reason)

    def advance(self, now: int) -> None:
        """See C{IEngine}."""
        self._clock = max(self._clock, now)
        if self._clock >= self._sweepDue:
            self._sweepDue = self._clock + int(self.settings.sweep * 1_000_000_000)
            self._own.agreements.expire(self._clock // 1000)
            grace = int(self.settings.grace * 1_000_000)
            self._own.finish(self._removable(self._own.expired(self._clock // 1000 - grace)))
            self.policies.advance(self._clock // 1000)

    def _makeRoom(self, wanted: int) -> None:
        """Report and remove the records that have been idle the longest, as many as can be of those wanted."""
        slots = self._removable(self._own.table.slots())
        wanted = min(max(wanted, self._own.table.maximum // _EVICTED_PART), len(slots))
        if wanted:
            idle = np.argsort(self._own.table.rows["last"][slots], kind="stable")
            self._own.finish(slots[idle[:wanted]])

    def finish(self) -> None:
        """See C{IEngine}."""
        slots = self._removable(self._own.table.slots())
        order = np.argsort(self._own.table.rows["start"][slots], kind="stable")
        self._own.finish(slots[order])
        self.policies.conclude(self._clock // 1000)
        self.logs.close()
        if failed := self._own.takeFailed():
            raise OperationError(Refusal.ENGINE_FAILED, f"{len(failed)} rows are missing: {failed[0].reason}")

    def flush(self) -> None:
        """See C{IEngine}."""
        self.logs.flush()
