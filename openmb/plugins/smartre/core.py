"""
What makes an encoder or a decoder a middlebox beside its engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from openmb.interfaces import Announce, CellUsage
from openmb.plugins.smartre.announcing import ANNOUNCEMENTS, Announcer
from openmb.state.headers import HeaderFieldList
from openmb.state.taxonomy import Cell


class SmartreCore:
    """Its name, its record layouts, its announcements."""

    kind = "smartre"
    layouts: Sequence[tuple[Cell, int, int]] = ()
    announcements = ANNOUNCEMENTS
    announcer: Announcer

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        """See C{IAnnouncer}."""
        self.announcer.listen(wanted, announce)

    def usage(self, flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """See C{IMiddlebox}: unless it is a decoder, it keeps nothing that could be moved."""
        return ()
