"""
What the two halves of a Bro middlebox share: its tables, its logs, its settings.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Announce
from openmb.plugins.bro.announcing import ANNOUNCEMENTS, Announcer
from openmb.plugins.bro.configuration import SETTINGS, settingsAfter, treeOf
from openmb.plugins.bro.records import REPORTING, SUPPORTING
from openmb.plugins.bro.reporting.locality import PRIVATE
from openmb.plugins.bro.reporting.output import BroLogs
from openmb.plugins.bro.reporting.uid import ConnectionIDs
from openmb.plugins.bro.settings import BroSettings
from openmb.plugins.bro.tracking.tracker import Tracker
from openmb.state.configuration import Configuration, Tree
from openmb.state.headers import HeaderFieldList

#: Changes with every change of the rules by which records live and end.
_RULES = b"bro connection rules 3"


class BroCore:
    """The tables: the middlebox's own, and one of provisional records for each operation."""

    kind = "bro"
    nativeKey = "5-tuple"
    announcements = ANNOUNCEMENTS
    layouts = tuple(layout.names for layout in (SUPPORTING, REPORTING))

    def __init__(self, settings: BroSettings) -> None:
        self.settings = settings
        self.configuration = Configuration(SETTINGS, treeOf(settings))
        self.governing = governingOf(settings)
        self.logs = BroLogs(
            settings.logs,
            settings.asJSON,
            ConnectionIDs(settings.uidKey),
            settings.append,
            settings.local,
            settings.rotation * 1_000_000,
            settings.level,
            settings.patience,
            settings.tunnelled,
        )
        self._own = Tracker(settings.maximumFlows, self.logs, settings.capacity)
        self._provisional: dict[int, Tracker] = {}
        self._frozen: dict[int, HeaderFieldList] = {}

    def configure(self, tree: Tree) -> None:
        """See C{IConfigurable}."""
        self.settings = settings = settingsAfter(self.settings, tree)
        self.configuration.tree = tree
        self.governing = governingOf(settings)
        self.logs.adjust(settings.local, settings.patience, settings.tunnelled)
        self._own.table.maximum = settings.maximumFlows

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        """See C{IAnnouncer}."""
        if not wanted:
            self._own.reportTo(self.logs)
            return
        ids = ConnectionIDs(self.settings.uidKey)
        announcer = Announcer(self.logs, ids, wanted, announce, self._own.endured)
        self._own.reportTo(announcer, announcer.found)

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


def governingOf(settings: BroSettings) -> bytes:
    """What both ends of a move must agree on, in 32 bytes."""
    networks = b"" if settings.local.text == PRIVATE.text else settings.local.text
    rules = _RULES + (b" tunnelled" if settings.tunnelled else b"")
    return hashlib.sha256(rules + settings.uidKey + networks).digest()
