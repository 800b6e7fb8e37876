"""A Bro middlebox that follows every policy passes the suite that every kind passes."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from openmb.interfaces import IMiddlebox
from openmb.packets.batch import PacketBatch
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.testing.conformance import MiddleboxTestsMixin
from tests.plugins.bro.policies.scanning import watching
from tests.plugins.bro.policies.test_sharing import ScanTraffic
from tests.plugins.bro.running import readLog


class PolicyAdapterTests(MiddleboxTestsMixin, SynchronousTestCase):
    """Thresholds are out of reach: which instance passes them depends on the way that state takes."""

    def setUp(self) -> None:
        self._folders: dict[IMiddlebox, Path] = {}

    def makeMiddlebox(self) -> IMiddlebox:
        folder = Path(self.mktemp())
        middlebox = watching(folder, addresses=1000, ports=1000)
        self._folders[middlebox] = folder
        return middlebox

    def traffic(self) -> PacketBatch:
        return ScanTraffic.mixed()

    def rows(self, middlebox: IMiddlebox) -> list[str]:
        middlebox.flush()
        return ["\t".join(row.values()) for row in readLog(self._folders[middlebox] / "conn.log")]

    def amounts(self, middlebox: IMiddlebox) -> object:
        """Suspicions with their attempts, facts, and counters over all origins."""
        assert isinstance(middlebox, BroMiddlebox)
        own = middlebox.policies.own
        seen = sorted((each, found.first, found.last, sorted(found.tokens)) for each, found in own.observations.items())
        return seen, sorted(own.known.items()), sorted(own.quiet.items()), own.counters.total.tolist()
