"""
The half of a PRADS middlebox that processes packets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from twisted.logger import Logger

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Processed
from openmb.packets.headers import Decoded
from openmb.plugins.prads.core import PradsCore
from openmb.plugins.prads.statistics import statisticsText

#: A full table is emptied by at least this part, so that this does not happen with every packet.
_ENDED_PART = 16
#: Nanoseconds of packet time between two lines about forgotten hosts.
_QUIET = 60_000_000_000


class PradsEngine(PradsCore):
    """Provides C{IEngine}."""

    log = Logger()
    _isOver = False
    _told, _tellAgain = 0, 0  # forgotten hosts that were told of, and when more are told of

    def process(self, packets: Decoded, births: NDArray[np.uint64] | None) -> Processed:
        """See C{IEngine}: packets are read as they came, whatever the host has made of them."""
        marks = self._own.process(packets.packets, births, self._makeRoom)
        if self._own.hosts.forgotten > self._told and len(packets):
            self._tellForgotten(int(packets.headers["clock"].max()))
        return Processed(marks, failed=self._own.takeFailed())

    def _tellForgotten(self, now: int) -> None:
        """Say that hosts were forgotten, once in a minute of packet time."""
        if now < self._tellAgain:
            return
        hosts = self._own.hosts
        self._told, self._tellAgain = hosts.forgotten, now + _QUIET
        self.log.warn(
            "more hosts than --max-hosts {maximum}: {forgotten} that were not seen for the longest time are forgotten",
            maximum=hosts.maximum,
            forgotten=hosts.forgotten,
        )

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
