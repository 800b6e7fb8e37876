"""
What makes an encoder or a decoder a middlebox beside its engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from openmb.plugins.smartre.flowless import Flowless
from openmb.state.plain import Silent, Unconfigurable, Unshared
from openmb.state.taxonomy import Cell


class SmartreCore(Flowless, Unshared, Unconfigurable, Silent):
    """Adapter, configuration and announcements."""

    kind = "smartre"
    layouts: Sequence[tuple[Cell, int, int]] = ()
    governing = bytes(32)
