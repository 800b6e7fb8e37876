"""
What a subscription tells its application, in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from openmb.errors import Refusal
from openmb.wire.messages import Event


@dataclass(frozen=True, slots=True)
class Happened:
    """A middlebox has announced something."""

    middlebox: str
    event: Event


@dataclass(frozen=True, slots=True)
class Lost:
    """So many events are missing here: of one middlebox on the way, or (None) because the application was slow."""

    middlebox: str | None
    number: int


@dataclass(frozen=True, slots=True)
class Went:
    """A middlebox has disconnected."""

    middlebox: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A middlebox has registered, and was asked for its events (again)."""

    middlebox: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A middlebox does not announce this; the others do."""

    middlebox: str
    refusal: Refusal
    reason: str


Happening = Happened | Lost | Went | Returned | Refused
#: What a happening, an event's field and a value count for, beside the text in them.
_HEAD, _FIELD = 128, 64


def sizeOf(happening: Happening) -> int:
    """About how many bytes it takes."""
    if not isinstance(happening, Happened):
        return _HEAD
    fields = happening.event.fields
    return _HEAD + sum(_FIELD + len(each.value) if isinstance(each.value, str) else _FIELD for each in fields)
