"""Looks up kinds of middlebox among the drop-ins that C{twisted.plugin} finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twisted.plugin import getPlugins

import openmb.plugins
from openmb.errors import ConfigurationError
from openmb.interfaces import IMiddleboxPlugin


def allPlugins() -> Iterator[IMiddleboxPlugin]:
    """Every kind there is, by name."""
    found: Iterable[IMiddleboxPlugin] = getPlugins(IMiddleboxPlugin, openmb.plugins)
    yield from sorted(found, key=lambda plugin: plugin.kind)


def findPlugin(kind: str) -> IMiddleboxPlugin:
    """
    The plugin of a kind.

    @raise ConfigurationError: there is none; the text names those that were found.  A drop-in that cannot be imported
        is not among them: C{twisted.plugin} only logs why.
    """
    plugins = list(allPlugins())
    for plugin in plugins:
        if plugin.kind == kind:
            return plugin
    names = ", ".join(plugin.kind for plugin in plugins) or "none at all"
    raise ConfigurationError(f"no plugin {kind!r}; found: {names}")
