"""
The messages that concern no operation: how much state there is, configuration, introspection events.

They are part of C{openmb.wire.messages}.  C{operation} serves as the id of the request, or of the subscription.
"""

from __future__ import annotations

from dataclasses import dataclass

from openmb.errors import OperationError, Refusal
from openmb.state.announcements import Datum
from openmb.state.configuration import Tree
from openmb.state.taxonomy import Cell


@dataclass(frozen=True, slots=True)
class Stats:
    """How much state matches C{flows}?  C{operation} serves as the request's id."""

    operation: int
    flows: str


@dataclass(frozen=True, slots=True)
class CellStats:
    """How much of one cell's state matches, and how much of that operations have marked."""

    cell: Cell
    records: int
    bytes: int
    marked: int
    estimated: bool = False  # the bytes are: of many variable parts only some were measured


@dataclass(frozen=True, slots=True)
class StatsAnswer:
    """Answer to L{Stats}: one entry for each cell that has state."""

    operation: int
    cells: tuple[CellStats, ...]


@dataclass(frozen=True, slots=True)
class ConfigurationEntry:
    """One key of a configuration and its values, in order."""

    key: str
    values: tuple[str, ...]


def packTree(tree: Tree) -> tuple[ConfigurationEntry, ...]:
    """A configuration, or a part of it, as it travels."""
    return tuple(ConfigurationEntry(key, values) for key, values in tree.items())


def unpackTree(entries: tuple[ConfigurationEntry, ...]) -> Tree:
    """
    The other way round.

    @raise OperationError: a key stands there twice.
    """
    tree = {entry.key: entry.values for entry in entries}
    if len(tree) < len(entries):
        raise OperationError(Refusal.BAD_REQUEST, "a key stands there twice")
    return tree


@dataclass(frozen=True, slots=True)
class GetConfiguration:
    """What stands at C{key} and below?  C{operation} serves as the request's id, here and below."""

    operation: int
    key: str


@dataclass(frozen=True, slots=True)
class ConfigurationAnswer:
    """Answer to L{GetConfiguration}."""

    operation: int
    entries: tuple[ConfigurationEntry, ...]


@dataclass(frozen=True, slots=True)
class SetConfiguration:
    """Change these keys, all of them or, if one cannot be changed, none."""

    operation: int
    entries: tuple[ConfigurationEntry, ...]


@dataclass(frozen=True, slots=True)
class DeleteConfiguration:
    """Put C{key} and what is below back to what the middlebox was started with."""

    operation: int
    key: str


@dataclass(frozen=True, slots=True)
class Configured:
    """Answer to L{SetConfiguration} and L{DeleteConfiguration}: done; C{governing} is as in HELLO, from now on."""

    operation: int
    governing: bytes


@dataclass(frozen=True, slots=True)
class EnableEvents:
    """Announce these introspection events of matching flows from now on.  C{operation} is the subscription's id."""

    operation: int
    events: tuple[str, ...]  # empty: all that the kind has
    flows: str


@dataclass(frozen=True, slots=True)
class EventsEnabled:
    """Answer to L{EnableEvents}."""

    operation: int


@dataclass(frozen=True, slots=True)
class DisableEvents:
    """End this subscription; nothing answers it."""

    operation: int


@dataclass(frozen=True, slots=True)
class EventField:
    """One field of an introspection event."""

    name: str
    value: Datum


@dataclass(frozen=True, slots=True)
class Event:
    """One introspection event: its name, packet time in nanoseconds, and fields."""

    name: str
    stamp: int
    fields: tuple[EventField, ...]


@dataclass(frozen=True, slots=True)
class Events:
    """
    Introspection events of the subscription C{operation}, in order.

    C{first} is the number of the first one among all that the subscription has selected here since it was enabled;
    where it is greater than expected, those between were dropped.
    """

    operation: int
    first: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Learn:
    """
    Another instance of the kind has announced these: take them as known, put nothing out for them.  All or none.

    C{operation} serves as the request's id.
    """

    operation: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Warnings:
    """What an operator must know of a middlebox: everything that holds now, in place of what was said before."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """Answer to L{Learn}: done; so many were news."""

    operation: int
    news: int
