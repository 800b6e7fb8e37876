"""Looks up kinds of middlebox among the drop-ins that C{twisted.plugin} finds."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path

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


def _importAgain(kind: str) -> None:
    """
    Import the drop-in of a kind that was not found.

    @raise ConfigurationError: it cannot be imported, which C{twisted.plugin} only logs; the text says why.
    """
    if not any((Path(folder) / f"{kind}_kind.py").is_file() for folder in openmb.plugins.__path__):
        return
    try:
        importlib.import_module(f"{openmb.plugins.__name__}.{kind}_kind")
    except Exception as error:
        raise ConfigurationError(f"plugin {kind!r} cannot be used: {type(error).__name__}: {error}") from error


def findPlugin(kind: str) -> IMiddleboxPlugin:
    """
    The plugin of a kind.

    @raise ConfigurationError: there is none; the text names those that were found.  Or its drop-in cannot be imported;
        the text says why.
    """
    try:
        plugins = list(_named(kind))
    except Exception as error:
        raise ConfigurationError(f"plugin {kind!r} cannot be used: {type(error).__name__}: {error}") from error
    if not any(plugin.kind == kind for plugin in plugins):
        plugins = list(allPlugins())
    for plugin in plugins:
        if plugin.kind == kind:
            return plugin
    _importAgain(kind)
    names = ", ".join(plugin.kind for plugin in plugins) or "none at all"
    raise ConfigurationError(f"no plugin {kind!r}; found: {names}")
