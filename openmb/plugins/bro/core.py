"""
What the two halves of a Bro middlebox share: its tables, its logs, its settings.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.plugins.bro.records import REPORTING, SUPPORTING
from openmb.plugins.bro.reporting.locality import PRIVATE, LocalNetworks
from openmb.plugins.bro.reporting.output import BroLogs
from openmb.plugins.bro.reporting.uid import DEFAULT_KEY, ConnectionIDs
from openmb.plugins.bro.tracking.tracker import Tracker
from openmb.state.headers import HeaderFieldList

#: Changes with every change of the rules by which records live and end.
_RULES = b"bro connection rules 2"


@dataclass(frozen=True, slots=True)
class BroSettings:
    """
    How a Bro middlebox runs.

    @ivar logs: directory for the logs; None: they are not written.
    @ivar asJSON: JSON lines in place of tab-separated values.
    @ivar maximumFlows: records at most; when more are needed the longest idle are reported and removed.
    @ivar grace: seconds of packet time that a record stays after its end before a sweep removes it.
    @ivar sweep: seconds of packet time between two sweeps.
    @ivar capacity: records for which there is room from the start.
    @ivar append: go on with logs that are there, in place of writing over them.
    @ivar uidKey: the key of the hash that makes connection ids; the same in all of a deployment.
    @ivar local: which addresses are local; the same in all of a deployment.
    @ivar level: of the logs' compression, 1 to 9; 0: none.
    @ivar patience: seconds that rows may wait before the operating system gets them.
    @ivar rotation: seconds of packet time after which a log goes on in a new file; 0: never.
    """

    logs: Path | None = None
    asJSON: bool = False
    maximumFlows: int = 1 << 20
    grace: float = 5.0
    sweep: float = 5.0
    capacity: int = 1024
    append: bool = False
    uidKey: bytes = DEFAULT_KEY
    local: LocalNetworks = PRIVATE
    rotation: int = 0
    level: int = 0
    patience: float = 0.0


class BroCore:
    """The tables: the middlebox's own, and one of provisional records for each operation."""

    kind = "bro"
    nativeKey = "5-tuple"
    layouts = tuple((layout.cell, layout.identifier, layout.version) for layout in (SUPPORTING, REPORTING))

    def __init__(self, settings: BroSettings) -> None:
        self.settings = settings
        networks = b"" if settings.local.text == PRIVATE.text else settings.local.text
        self.governing = hashlib.sha256(_RULES + settings.uidKey + networks).digest()
        self.logs = BroLogs(
            settings.logs,
            settings.asJSON,
            ConnectionIDs(settings.uidKey),
            settings.append,
            settings.local,
            settings.rotation * 1_000_000,
            settings.level,
            settings.patience,
        )
        self._own = Tracker(settings.maximumFlows, self.logs, settings.capacity)
        self._provisional: dict[int, Tracker] = {}
        self._frozen: dict[int, HeaderFieldList] = {}

    def _removable(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of C{slots} whose record neither an operation has marked nor a hand-over has frozen."""
        table = self._own.table
        slots = slots[table.marks[slots] == 0]
        for flows in self._frozen.values():
            if len(slots):
                slots = slots[~flows.matchKeys(table.keys[slots])]
        return slots

    def _provisionalOf(self, operation: int) -> Tracker:
        try:
            return self._provisional[operation]
        except KeyError:
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {operation:x} was not prepared") from None
