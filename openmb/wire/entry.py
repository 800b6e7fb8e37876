"""
What C{openmb.wire.formats} says of each message type, and what it is said with.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from construct import Struct, Terminated

from openmb.wire.fields import Value
from openmb.wire.types import MessageType


class End(enum.Enum):
    """The two ends of a southbound connection."""

    CONTROLLER = "controller"
    MIDDLEBOX = "middlebox"


class Carries(enum.Enum):
    """What the operation field of the frame header holds for a message type."""

    NOTHING = "0"
    REQUEST = "operation, or 0"
    OPERATION = "operation, not 0"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One message type.

    @ivar senders: the ends that may send it.
    @ivar body: fields of the body in order, without the end mark.
    @ivar codec: the compiled body; must meet the end of the input.
    """

    type: MessageType
    message: Callable[..., Any]
    senders: frozenset[End]
    carries: Carries
    meaning: str
    body: tuple[Any, ...]
    codec: Any
    names: tuple[str, ...]


DOWN = frozenset({End.CONTROLLER})
UP = frozenset({End.MIDDLEBOX})
BOTH = DOWN | UP


def entry(type: MessageType, message: type[Any], senders: frozenset[End], meaning: str, *body: Any) -> Entry:
    """An entry; fields of the body are those of C{message} in its order, the operation apart."""
    names = tuple(field.name for field in fields(message))
    carries = Carries.OPERATION if "operation" in names else Carries.NOTHING
    if type in (MessageType.REFUSED, MessageType.STATS, MessageType.STATS_ANSWER):
        carries = Carries.REQUEST
    return Entry(type, message, senders, carries, meaning, body, Struct(*body, Terminated).compile(), names)


def value(message: type[Any], *subcons: Any) -> Value:
    """The form of a dataclass inside messages."""
    return Value(message, Struct(*subcons))
