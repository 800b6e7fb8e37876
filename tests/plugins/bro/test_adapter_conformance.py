"""The Bro kind passes the suite that every adapter passes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.interfaces import IMiddlebox
from openmb.plugins.bro.plugin import BroMiddlebox
from openmb.testing.adapters import PerflowMiddlebox
from openmb.testing.conformance import MiddleboxTestsMixin
from openmb.testing.simulation.kinds import BroKind
from openmb.testing.simulation.oracle import Row


class BroAdapterTests(MiddleboxTestsMixin, SynchronousTestCase):
    """Conformance of C{BroMiddlebox}."""

    def setUp(self) -> None:
        self._rows: dict[IMiddlebox, list[Row]] = {}

    def makeMiddlebox(self) -> PerflowMiddlebox:
        rows: list[Row] = []
        middlebox = BroKind().engine(rows.append)
        self._rows[middlebox] = rows
        return middlebox

    def rows(self, middlebox: IMiddlebox) -> list[str]:
        return [f"{row.log} {row.line}" for row in self._rows[middlebox]]

    def amounts(self, middlebox: IMiddlebox) -> object:
        """Nothing: without policies there is no shared state; with them it is compared in C{policies}."""
        assert isinstance(middlebox, BroMiddlebox)
        return len(middlebox.policies.own)
