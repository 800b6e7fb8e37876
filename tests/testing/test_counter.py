"""The counting kind passes the suite that every adapter passes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from openmb.interfaces import IMiddlebox
from openmb.testing.adapters import PerflowMiddlebox
from openmb.testing.conformance import MiddleboxTestsMixin
from openmb.testing.counter import CounterMiddlebox
from openmb.testing.simulation.kinds import CounterKind
from openmb.testing.simulation.oracle import Row
from openmb.testing.totals import SHARED


class CounterAdapterTests(MiddleboxTestsMixin, SynchronousTestCase):
    """Conformance of C{CounterMiddlebox}."""

    idleSeconds = 2.0

    def setUp(self) -> None:
        self._rows: dict[IMiddlebox, list[Row]] = {}

    def makeMiddlebox(self) -> PerflowMiddlebox:
        rows: list[Row] = []
        middlebox = CounterKind().engine(rows.append)
        self._rows[middlebox] = rows
        return middlebox

    def rows(self, middlebox: IMiddlebox) -> list[str]:
        return [f"{row.flow} {row.line}" for row in self._rows[middlebox]]

    def amounts(self, middlebox: IMiddlebox) -> object:
        assert isinstance(middlebox, CounterMiddlebox)
        return [middlebox.totals.own.sum(layout) for layout in SHARED]
