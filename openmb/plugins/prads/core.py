"""
What the two halves of a PRADS middlebox share: its tables, its files, its settings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from openmb.errors import OperationError, Refusal
from openmb.interfaces import Announce
from openmb.plugins.prads.announcing import ANNOUNCEMENTS
from openmb.plugins.prads.configuration import SETTINGS, treeOf
from openmb.plugins.prads.homenets import parseHomes
from openmb.plugins.prads.learning import learn, lessonsOf
from openmb.plugins.prads.output import Output
from openmb.plugins.prads.records import LAYOUTS
from openmb.plugins.prads.settings import PradsSettings
from openmb.plugins.prads.shares import Share, Shares
from openmb.plugins.prads.signatures.tables import Signatures
from openmb.plugins.prads.tracker import Rules, Tracker
from openmb.state.announcements import Announced
from openmb.state.configuration import Configuration, Tree

#: Changes with every change of the rules by which records live.
_RULES = b"prads rules 1"


class PradsCore:
    """The tables: the middlebox's own, and one of provisional records for each operation."""

    kind = "prads"
    nativeKey = "5-tuple, and addresses of hosts"
    announcements = ANNOUNCEMENTS
    layouts = tuple(layout.names for layout in LAYOUTS)

    def __init__(self, settings: PradsSettings, rules: Rules | None = None) -> None:
        self.settings = settings
        signatures = Signatures.read(settings.signatures) if rules is None else rules.signatures
        self.rules = rules or Rules.of(signatures, settings.does, parseHomes(settings.homes))
        self.configuration = Configuration(SETTINGS, treeOf(settings, signatures.digest))
        self.governing = governingOf(settings, signatures)
        self.output = Output(settings.logs, settings.append)
        self._own = Tracker(self.rules, settings.maximumFlows, settings.maximumHosts, self.output)
        self.shares = Shares(self._own.counters)
        self._provisional: dict[int, Tracker] = {}
        self._ends: dict[int, set[bytes]] = {}  # addresses at the ends of the connections that came, by operation
        self._coming: dict[int, Share] = {}

    def configure(self, tree: Tree) -> None:
        """See C{IConfigurable}: only the bounds can change."""
        flows, hosts = (SETTINGS.find(name).value(tree[name]) for name in ("connections/maximum", "hosts/maximum"))
        self.settings = replace(self.settings, maximumFlows=flows, maximumHosts=hosts)
        self.configuration.tree = tree
        self._own.table.maximum = flows
        self._own.hosts.bound(hosts)

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        """See C{IAnnouncer}."""
        self._own.announcer.listen(wanted, announce)

    def learn(self, events: Sequence[Announced]) -> int:
        """See C{ILearner}."""
        return learn(self._own.hosts, lessonsOf(events, self.rules.signatures))

    def identify(self, name: str, incarnation: bytes) -> None:
        """See C{ISharedState}."""
        self.shares.identify(name, incarnation)

    def _comingOf(self, operation: int) -> Share:
        try:
            return self._coming[operation]
        except KeyError:
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {operation:016x} was not prepared") from None

    def _provisionalOf(self, operation: int) -> Tracker:
        try:
            return self._provisional[operation]
        except KeyError:
            raise OperationError(Refusal.UNKNOWN_OPERATION, f"operation {operation:016x} was not prepared") from None


def governingOf(settings: PradsSettings, signatures: Signatures) -> bytes:
    """What both ends of a move must agree on, in 32 bytes."""
    said = f"{int(settings.does)} {settings.homes}".encode()
    return hashlib.sha256(_RULES + said + signatures.digest).digest()
