"""
What makes an encoder or a decoder a middlebox beside its engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from openmb.interfaces import Announce
from openmb.plugins.smartre.announcing import ANNOUNCEMENTS, Announcer
from openmb.plugins.smartre.flowless import Flowless
from openmb.state.plain import Unlearning, Unshared
from openmb.state.taxonomy import Cell


class SmartreCore(Flowless, Unshared, Unlearning):
    """Adapter and announcements."""

    kind = "smartre"
    layouts: Sequence[tuple[Cell, int, int]] = ()
    announcements = ANNOUNCEMENTS
    announcer: Announcer

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        """See C{IAnnouncer}."""
        self.announcer.listen(wanted, announce)
