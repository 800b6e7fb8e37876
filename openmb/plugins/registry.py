"""
Looks up kinds of middlebox among the drop-ins that C{twisted.plugin} finds.

A drop-in names its kinds with L{Kind}, so that what a kind is made of is imported when the kind is used and not before;
or it provides C{IMiddleboxPlugin} itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.plugin import IPlugin, getCache, getPlugins
from twisted.python.reflect import namedAny
from zope.interface import Interface, implementer
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import openmb.plugins
from openmb.errors import ConfigurationError
from openmb.interfaces import (
    INTERFACE_VERSION,
    IAnnouncer,
    IConfigurable,
    ILearner,
    IMiddlebox,
    IMiddleboxKind,
    IMiddleboxPlugin,
    IPerflowState,
    ISelector,
    ISharedState,
)

#: What a middlebox may provide besides C{IMiddlebox}.
_OPTIONAL = (IPerflowState, ISharedState, ISelector, IConfigurable, IAnnouncer, ILearner)


@implementer(IPlugin, IMiddleboxKind)
@dataclass(frozen=True)
class Kind:
    """
    A kind of middlebox, as its drop-in names it.

    @ivar plugin: the full name of a class without arguments that provides C{IMiddleboxPlugin}.
    """

    kind: str
    summary: str
    plugin: str

    def load(self) -> IMiddleboxPlugin:
        """See C{IMiddleboxKind}."""
        try:
            return checkPlugin(self.kind, namedAny(self.plugin)())
        except ConfigurationError:
            raise
        except Exception as error:
            raise _unusable(self.kind, error) from error


@implementer(IMiddleboxKind)
@dataclass(frozen=True)
class _Loaded:
    """A drop-in that is the plugin itself."""

    plugin: IMiddleboxPlugin

    @property
    def kind(self) -> str:
        """See C{IMiddleboxKind}."""
        return self.plugin.kind

    @property
    def summary(self) -> str:
        """See C{IMiddleboxKind}."""
        return self.plugin.summary

    def load(self) -> IMiddleboxPlugin:
        """See C{IMiddleboxKind}."""
        return checkPlugin(self.kind, self.plugin)


def checkPlugin(kind: str, plugin: Any) -> IMiddleboxPlugin:
    """
    Is C{plugin} one that this OpenMB can use?

    @raise ConfigurationError: it was written for another version of the interfaces, or lacks something; each of these
        in a line.
    """
    version = getattr(plugin, "interfaceVersion", 1)
    if version != INTERFACE_VERSION:
        raise ConfigurationError(
            f"plugin {kind!r} cannot be used: it was written for version {version} of the interfaces "
            f"(openmb.interfaces), and this OpenMB has version {INTERFACE_VERSION}"
        )
    _verify(f"plugin {kind!r}", IMiddleboxPlugin, plugin)
    checked: IMiddleboxPlugin = plugin
    return checked


def checkMiddlebox(middlebox: Any) -> IMiddlebox:
    """
    Does C{middlebox} have what it says it provides?

    @raise ConfigurationError: something is missing or takes other arguments; each of these in a line.
    """
    what = f"the middlebox of kind {getattr(middlebox, 'kind', '?')!r}"
    _verify(what, IMiddlebox, middlebox)
    for interface in _OPTIONAL:
        if interface.providedBy(middlebox):
            _verify(what, interface, middlebox)
    checked: IMiddlebox = middlebox
    return checked


def _verify(what: str, interface: type[Interface], provider: object) -> None:
    try:
        verifyObject(interface, provider)
    except Invalid as error:
        raise _faulty(what, getattr(error, "exceptions", (error,))) from error


def _faulty(what: str, errors: Any) -> ConfigurationError:
    lines = [" ".join(str(error).split()) for error in errors]
    return ConfigurationError("\n  ".join([f"{what} does not provide what it should:", *lines]))


def _unusable(kind: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"plugin {kind!r} cannot be used: {type(error).__name__}: {error}")


def allKinds() -> Iterator[IMiddleboxKind]:
    """Every kind there is, by name."""
    found: list[IMiddleboxKind] = list(getPlugins(IMiddleboxKind, openmb.plugins))
    found += [_Loaded(plugin) for plugin in getPlugins(IMiddleboxPlugin, openmb.plugins)]
    yield from sorted(found, key=lambda kind: kind.kind)


def _named(name: str) -> Iterator[IMiddleboxKind]:
    """What the drop-in C{<name>_kind} has: no other one need be imported then."""
    for dropin in getCache(openmb.plugins).values():
        if dropin.moduleName.rpartition(".")[2] == f"{name}_kind":
            for cached in dropin.plugins:
                if IMiddleboxKind in cached.provided:
                    yield cached.load()
                elif IMiddleboxPlugin in cached.provided:
                    yield _Loaded(cached.load())


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
        raise _unusable(kind, error) from error


def findPlugin(kind: str) -> IMiddleboxPlugin:
    """
    The plugin of a kind.

    @raise ConfigurationError: there is none; the text names those that were found.  Or it cannot be imported or used;
        the text says why.
    """
    try:
        kinds = list(_named(kind))
    except Exception as error:
        raise _unusable(kind, error) from error
    if not any(each.kind == kind for each in kinds):
        kinds = list(allKinds())
    for each in kinds:
        if each.kind == kind:
            return each.load()
    _importAgain(kind)
    names = ", ".join(each.kind for each in kinds) or "none at all"
    raise ConfigurationError(f"no plugin {kind!r}; found: {names}")
