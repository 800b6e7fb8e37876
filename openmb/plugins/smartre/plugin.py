"""
The kind C{smartre}: redundancy elimination by an encoder and a decoder in line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from openmb.interfaces import (
    INTERFACE_VERSION,
    IAnnouncer,
    IConfigurable,
    IMiddlebox,
    IMiddleboxPlugin,
    ISharedState,
    RunTerms,
)
from openmb.plugins.smartre.configuring import ConfiguredDecoder, ConfiguredEncoder
from openmb.plugins.smartre.core import SmartreCore
from openmb.plugins.smartre.options import SmartreOptions, settingsOf
from openmb.plugins.smartre.settings import Role
from openmb.plugins.smartre.warming import warmUp


@implementer(IMiddlebox, IConfigurable, IAnnouncer)
class SmartreEncoder(ConfiguredEncoder, SmartreCore):
    """A running encoder."""


@implementer(IMiddlebox, ISharedState, IConfigurable, IAnnouncer)
class SmartreDecoder(ConfiguredDecoder, SmartreCore):  # type: ignore[misc]
    """A running decoder."""


@implementer(IPlugin, IMiddleboxPlugin)
class SmartrePlugin:
    """Makes encoders and decoders."""

    interfaceVersion = INTERFACE_VERSION
    kind = "smartre"
    summary = "redundancy elimination: an encoder refers to what it has sent before, a decoder puts it back"

    def warmUp(self) -> None:
        """See C{IMiddleboxPlugin}."""
        warmUp()

    def makeOptions(self) -> SmartreOptions:
        """See C{IMiddleboxPlugin}."""
        return SmartreOptions()

    def terms(self, options: Any) -> RunTerms:
        """See C{IMiddleboxPlugin}."""
        reads = {} if options["dictionary"] is None else {"dictionary": Path(options["dictionary"])}
        output = None if options["out"] is None else Path(options["out"])
        return RunTerms(reassemble=False, checksums=False, inline=True, output=output, reads=reads)

    def makeMiddlebox(self, options: Any, append: bool = False) -> SmartreEncoder | SmartreDecoder:
        """See C{IMiddleboxPlugin}."""
        settings = settingsOf(options)
        return SmartreEncoder(settings) if settings.role is Role.ENCODER else SmartreDecoder(settings)
