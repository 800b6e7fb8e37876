"""
What the two halves of a Bro middlebox share: its tables, its logs, its settings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Announce
from openmb.plugins.bro.announcing import ANNOUNCEMENTS, NOTICE, Announcer, noticesTo
from openmb.plugins.bro.configuration import SETTINGS, settingsAfter, treeOf
from openmb.plugins.bro.policies.logs import PolicyLogs
from openmb.plugins.bro.policies.policies import Policies
from openmb.plugins.bro.policies.records import SHARED
from openmb.plugins.bro.policies.settings import Policy
from openmb.plugins.bro.policies.sharing import Coming
from openmb.plugins.bro.policies.witness import Witness
from openmb.plugins.bro.records import REPORTING, SUPPORTING
from openmb.plugins.bro.reporting.locality import PRIVATE
from openmb.plugins.bro.reporting.output import BroLogs
from openmb.plugins.bro.reporting.uid import ConnectionIDs
from openmb.plugins.bro.settings import BroSettings
from openmb.plugins.bro.tracking.talks import IOutput
from openmb.plugins.bro.tracking.tracker import Tracker
from openmb.state.announcements import Announced
from openmb.state.configuration import Configuration, Tree
from openmb.state.headers import HeaderFieldList

#: Changes with every change of the rules by which records live and end.
_RULES = b"bro connection rules 3"


class BroCore:
    """The tables: the middlebox's own, and one of provisional records for each operation."""

    kind = "bro"
    nativeKey = "5-tuple"
    announcements = ANNOUNCEMENTS
    layouts = tuple(layout.names for layout in (SUPPORTING, REPORTING, *SHARED))

    def __init__(self, settings: BroSettings) -> None:
        self.settings = settings
        self.configuration = Configuration(SETTINGS, treeOf(settings))
        self.governing = governingOf(settings)
        self._ids = ConnectionIDs(settings.uidKey)
        self.logs = BroLogs(
            settings.logs,
            settings.asJSON,
            self._ids,
            settings.append,
            settings.local,
            settings.rotation * 1_000_000,
            settings.level,
            settings.patience,
            settings.tunnelled,
        )
        shape = settings.asJSON, settings.append, settings.rotation * 1_000_000, settings.level
        self.policies = Policies(settings.policy, settings.local, PolicyLogs(settings.logs, *shape))
        self.logs.others = self.policies.logs.files
        self._own = Tracker(settings.maximumFlows, None, settings.capacity)
        self.policies.endured = self._own.endured
        self._wanted = frozenset[str]()
        self._announce: Announce = _nobody
        self._connect()
        self._provisional: dict[int, Tracker] = {}
        self._frozen: dict[int, HeaderFieldList] = {}
        self._coming: dict[int, Coming] = {}

    @property
    def fastRows(self) -> int:
        """Rows of http.log that the fast path has read (L{openmb.plugins.bro.fastpath})."""
        return self._own.fastRows

    def identify(self, name: str, incarnation: bytes) -> None:
        """See C{ISharedState}."""
        self.policies.identify(name, incarnation)

    def configure(self, tree: Tree) -> None:
        """See C{IConfigurable}."""
        self.settings = settings = settingsAfter(self.settings, tree)
        self.configuration.tree = tree
        self.governing = governingOf(settings)
        self.logs.adjust(settings.local, settings.patience, settings.tunnelled)
        self.policies.adjust(settings.policy, settings.local)
        self._own.table.maximum = settings.maximumFlows
        self._connect()

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        """See C{IAnnouncer}."""
        self._wanted, self._announce = wanted, announce
        self._connect()

    def _connect(self) -> None:
        """Put between tracker and logs who wants to know of rows, and nobody else."""
        wanted, announce, failed = self._wanted, self._announce, self._own.endured
        self.policies.announce = noticesTo(announce) if NOTICE.name in wanted else None
        followed = self.settings.policy.policies
        output: IOutput = Witness(self.logs, self.policies, failed) if followed else self.logs
        odd = self._weirds if Policy.WEIRD in followed else None
        if not wanted - {NOTICE.name}:
            self._own.reportTo(output, None, odd)
            return
        announcer = Announcer(output, self._ids, wanted, announce, failed)
        self._own.reportTo(announcer, announcer.found, odd)

    def _weirds(self, told: NDArray[Any]) -> None:
        try:
            self.policies.logs.weirds(told, self._ids)
        except Exception as error:  # noqa: BLE001 - whatever it is, packets must not suffer for it
            self._own.endured(error)

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
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {operation:016x} was not prepared") from None


def _nobody(events: Sequence[Announced]) -> None:
    """Nobody listens."""


def governingOf(settings: BroSettings) -> bytes:
    """What both ends of a move must agree on, in 32 bytes."""
    networks = b"" if settings.local.text == PRIVATE.text else settings.local.text
    rules = _RULES + (b" tunnelled" if settings.tunnelled else b"")
    rules += b" epochs %d %d" % (settings.policy.scanEpoch, settings.policy.guessEpoch)
    return hashlib.sha256(rules + settings.uidKey + networks).digest()
