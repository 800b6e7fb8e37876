"""
The kind C{smartre}: redundancy elimination by an encoder and a decoder in line.
"""

from __future__ import annotations

from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from openmb.interfaces import IMiddlebox, IMiddleboxPlugin
from openmb.plugins.smartre.configuring import ConfiguredDecoder, ConfiguredEncoder
from openmb.plugins.smartre.core import SmartreCore
from openmb.plugins.smartre.options import SmartreOptions, settingsOf
from openmb.plugins.smartre.settings import Role
from openmb.plugins.smartre.warming import warmUp


@implementer(IMiddlebox)
class SmartreEncoder(ConfiguredEncoder, SmartreCore):
    """A running encoder."""


@implementer(IMiddlebox)
class SmartreDecoder(ConfiguredDecoder, SmartreCore):  # type: ignore[misc]
    """A running decoder."""


@implementer(IPlugin, IMiddleboxPlugin)
class SmartrePlugin:
    """Makes encoders and decoders."""

    kind = "smartre"
    summary = "redundancy elimination: an encoder refers to what it has sent before, a decoder puts it back"
    readsDatagrams = False

    def warmUp(self) -> None:
        """See C{IMiddleboxPlugin}."""
        warmUp()

    def makeOptions(self) -> SmartreOptions:
        """See C{IMiddleboxPlugin}."""
        return SmartreOptions()

    def makeMiddlebox(self, options: Any) -> SmartreEncoder | SmartreDecoder:
        """See C{IMiddleboxPlugin}."""
        settings = settingsOf(options)
        return SmartreEncoder(settings) if settings.role is Role.ENCODER else SmartreDecoder(settings)
