"""
Introspection events: what a kind of middlebox can announce, in its own terms, and one announcement.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: One value of an announcement; None is unset.
Datum = int | float | bool | str | None
#: Names of events and of their fields.
EVENT_PATTERN = re.compile(r"[a-z][a-z0-9_-]*")
#: Bytes of a name, fields of an event, bytes of a text (longer ones are cut).
EVENT_LIMIT, FIELDS_LIMIT, TEXT_LIMIT = 64, 32, 2048


class FieldType(enum.Enum):
    """What values a field takes; any of them may be unset."""

    WHOLE = "whole number"
    REAL = "number"
    TRUTH = "truth"
    TEXT = "text"

    @property
    def values(self) -> tuple[type, ...]:
        """The types of Python that go with it."""
        return {
            FieldType.WHOLE: (int, type(None)),
            FieldType.REAL: (int, float, type(None)),
            FieldType.TRUTH: (bool, type(None)),
            FieldType.TEXT: (str, type(None)),
        }[self]


class Subject(enum.Enum):
    """What an event is about, and so which header field lists select it."""

    FLOW = "flow"  # key: C{FLOW_KEY}, 40 bytes
    HOST = "host"  # key: C{HOST_KEY}, 16 bytes; selected by the prefixes of a list
    MIDDLEBOX = "middlebox"  # no key: only a list without constraints selects it


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event."""

    name: str
    type: FieldType
    meaning: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """
    One event that a kind can announce.

    @ivar name: how applications call it.
    @ivar subject: what it is about.
    @ivar meaning: when it is announced.
    @ivar fields: what it says, in order.
    """

    name: str
    subject: Subject
    meaning: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        names = [self.name, *(each.name for each in self.fields)]
        if not all(EVENT_PATTERN.fullmatch(name) and len(name) <= EVENT_LIMIT for name in names):
            raise ValueError(f"{self.name}: not names of an event and its fields")
        if len(self.fields) > FIELDS_LIMIT or len(set(names[1:])) < len(self.fields):
            raise ValueError(f"{self.name}: too many fields, or one twice")

    def fits(self, values: tuple[Datum, ...]) -> bool:
        """Are C{values} of this event's types?"""
        if len(values) != len(self.fields):
            return False
        return all(type(value) in each.type.values for value, each in zip(values, self.fields, strict=True))


@dataclass(frozen=True, slots=True)
class Announced:
    """
    One event.

    @ivar name: which.
    @ivar stamp: packet time, nanoseconds.
    @ivar key: of the flow or host that it is about; empty for the middlebox.
    @ivar values: as the announcement declares them.
    """

    name: str
    stamp: int
    key: bytes
    values: tuple[Datum, ...]


def documentAnnouncements(announcements: Iterable[Announcement]) -> str:
    """Markdown: a section for each event."""
    return "\n\n".join(_section(each) for each in announcements)


def _section(event: Announcement) -> str:
    head = f"### {event.name}\n\n{event.meaning} About a {event.subject.value}.\n"
    rows = "\n".join(f"| {each.name} | {each.type.value} | {each.meaning} |" for each in event.fields)
    return f"{head}\n| field | type | meaning |\n|---|---|---|\n{rows}"
