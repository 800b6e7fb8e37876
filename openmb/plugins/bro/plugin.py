"""
The kind C{bro}: connection tracking and logs after the model of Bro, now Zeek.
"""

from __future__ import annotations

from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from openmb.interfaces import IMiddlebox, IMiddleboxPlugin
from openmb.plugins.bro.adapter import BroAdapter
from openmb.plugins.bro.engine import BroEngine
from openmb.plugins.bro.options import BroOptions, settingsOf


@implementer(IMiddlebox)
class BroMiddlebox(BroEngine, BroAdapter):
    """One running Bro: engine and adapter over the same tables."""


@implementer(IPlugin, IMiddleboxPlugin)
class BroPlugin:
    """Makes Bro middleboxes."""

    kind = "bro"
    summary = "connections and HTTP requests, logged as Zeek logs them"

    def makeOptions(self) -> BroOptions:
        """See C{IMiddleboxPlugin}."""
        return BroOptions()

    def makeMiddlebox(self, options: Any) -> BroMiddlebox:
        """See C{IMiddleboxPlugin}."""
        return BroMiddlebox(settingsOf(options))
