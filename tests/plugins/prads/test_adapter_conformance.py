"""The PRADS kind passes the suite that every kind passes."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from openmb.interfaces import IMiddlebox
from openmb.plugins.prads.output import CONNECTIONS
from openmb.plugins.prads.plugin import PradsMiddlebox
from openmb.plugins.prads.records import HOST
from openmb.testing.conformance import MiddleboxTestsMixin
from tests.plugins.prads.running import makePrads


class PradsAdapterTests(MiddleboxTestsMixin, SynchronousTestCase):
    """Conformance of C{PradsMiddlebox}."""

    copies = frozenset({HOST.identifier})
    expires = False

    def setUp(self) -> None:
        self._folders: dict[IMiddlebox, Path] = {}

    def makeMiddlebox(self) -> IMiddlebox:
        folder = Path(self.mktemp())
        middlebox = cast(IMiddlebox, makePrads(folder))
        self._folders[middlebox] = folder
        return middlebox

    def rows(self, middlebox: IMiddlebox) -> list[str]:
        """Ended connections, without their ids: those of two instances are not those of one."""
        middlebox.flush()
        lines = (self._folders[middlebox] / CONNECTIONS).read_text(encoding="utf-8").splitlines()
        return [line[:10] + line[line.index("|") :] for line in lines if not line.endswith("[New]")]

    def amounts(self, middlebox: IMiddlebox) -> object:
        """The counters; the connection id goes on where they begin again."""
        assert isinstance(middlebox, PradsMiddlebox)
        return middlebox.shares.total.tolist()
