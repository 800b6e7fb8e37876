"""
Looks up kinds of network among the drop-ins that C{twisted.plugin} finds: C{embedded:DIR} names a kind and a place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twisted.plugin import IPlugin, getPlugins
from twisted.python.reflect import namedAny
from zope.interface import implementer

import openmb.netctl
from openmb.errors import ConfigurationError
from openmb.interfaces import INetwork, INetworkKind


@implementer(IPlugin, INetworkKind)
@dataclass(frozen=True)
class NetworkKind:
    """
    A kind of network, as its drop-in names it.

    @ivar maker: the full name of a function of the place and a reactor that does what L{INetworkKind.connect} says; it
        is imported when a network of this kind is used.
    """

    name: str
    place: str
    summary: str
    maker: str

    def connect(self, place: str, reactor: Any) -> INetwork:
        """See C{INetworkKind}."""
        try:
            maker = namedAny(self.maker)
        except Exception as error:
            raise ConfigurationError(
                f"network {self.name!r} cannot be used: {type(error).__name__}: {error}"
            ) from error
        network: INetwork = maker(place, reactor)
        return network


def allNetworks() -> Iterator[INetworkKind]:
    """Every kind of network there is, by name."""
    found: list[INetworkKind] = list(getPlugins(INetworkKind, openmb.netctl))
    yield from sorted(found, key=lambda kind: kind.name)


def connectNetwork(text: str, reactor: Any) -> INetwork:
    """
    The network that C{text} names, as C{embedded:DIR}.

    @raise ConfigurationError: there is no such kind, or its place cannot be used.
    """
    name, colon, place = text.partition(":")
    kinds = list(allNetworks())
    for kind in kinds:
        if kind.name == name and colon and place:
            return kind.connect(place, reactor)
    forms = ", ".join(f"{kind.name}:{kind.place}" for kind in kinds) or "none at all"
    raise ConfigurationError(f"no network {text!r}; there are: {forms}")
