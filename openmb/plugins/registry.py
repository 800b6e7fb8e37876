"""Looks up kinds of middlebox among the drop-ins that C{twisted.plugin} finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twisted.plugin import getCache, getPlugins

import openmb.plugins
from openmb.errors import ConfigurationError
from openmb.interfaces import IMiddleboxPlugin


def allPlugins() -> Iterator[IMiddleboxPlugin]:
    """Every kind there is, by name."""
    found: Iterable[IMiddleboxPlugin] = getPlugins(IMiddleboxPlugin, openmb.plugins)
    yield from sorted(found, key=lambda plugin: plugin.kind)


def _named(kind: str) -> Iterator[IMiddleboxPlugin]:
    """What the drop-in C{<kind>_kind} has: no other one need be imported then, with all that its kind needs."""
    for dropin in getCache(openmb.plugins).values():
        if dropin.moduleName.rpartition(".")[2] == f"{kind}_kind":
            for cached in dropin.plugins:
                if IMiddleboxPlugin in cached.provided:
                    yield cached.load()


def findPlugin(kind: str) -> IMiddleboxPlugin:
    """
    The plugin of a kind.

    @raise ConfigurationError: there is none; the text names those that were found.  A drop-in that cannot be imported
        is not among them: C{twisted.plugin} only logs why.
    """
    try:
        plugins = list(_named(kind))
    except Exception:  # noqa: BLE001 - whatever its import raises: it is tried again below, and logged there
        plugins = []
    if not any(plugin.kind == kind for plugin in plugins):
        plugins = list(allPlugins())
    for plugin in plugins:
        if plugin.kind == kind:
            return plugin
    names = ", ".join(plugin.kind for plugin in plugins) or "none at all"
    raise ConfigurationError(f"no plugin {kind!r}; found: {names}")
