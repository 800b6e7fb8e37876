"""
The kind C{prads}: a passive asset detector whose output is that of the real PRADS.
"""

from __future__ import annotations

from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from openmb.interfaces import (
    INTERFACE_VERSION,
    IAnnouncer,
    IConfigurable,
    ILearner,
    IMiddlebox,
    IMiddleboxPlugin,
    IPerflowState,
    ISelector,
    ISharedState,
    RunTerms,
)
from openmb.plugins.prads.adapter import PradsAdapter
from openmb.plugins.prads.engine import PradsEngine
from openmb.plugins.prads.options import PradsOptions, settingsOf
from openmb.plugins.prads.warming import warmUp


@implementer(IMiddlebox, IPerflowState, ISelector, ISharedState, IConfigurable, IAnnouncer, ILearner)
class PradsMiddlebox(PradsEngine, PradsAdapter):
    """One running PRADS: engine and adapter over the same tables."""


@implementer(IPlugin, IMiddleboxPlugin)
class PradsPlugin:
    """Makes PRADS middleboxes."""

    interfaceVersion = INTERFACE_VERSION
    kind = "prads"
    summary = "hosts, their systems and services, logged as PRADS logs them"

    def warmUp(self) -> None:
        """See C{IMiddleboxPlugin}."""
        warmUp()

    def makeOptions(self) -> PradsOptions:
        """See C{IMiddleboxPlugin}."""
        return PradsOptions()

    def terms(self, options: Any) -> RunTerms:
        """See C{IMiddleboxPlugin}."""
        return RunTerms(reassemble=False, checksums=False)

    def makeMiddlebox(self, options: Any, append: bool = False) -> PradsMiddlebox:
        """See C{IMiddleboxPlugin}."""
        return PradsMiddlebox(settingsOf(options, append))
