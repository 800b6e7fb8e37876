"""
The messages of a session itself: who connects, what it still knows, whether it is there, when it goes.

They are part of C{openmb.wire.messages}.
"""

from __future__ import annotations

from dataclasses import dataclass

from openmb.state.taxonomy import Cell
from openmb.wire.types import Side

#: Bytes of a session's secret; all zeros: none was given.
SECRET_SIZE = 32
NO_SECRET = bytes(SECRET_SIZE)
#: Record layouts and operations that one HELLO may name.
LAYOUTS_LIMIT = 256
OPERATIONS_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class LayoutVersion:
    """One record layout that a middlebox understands."""

    cell: Cell
    layout: int
    version: int


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """What a middlebox still knows of an operation when it (re)connects."""

    operation: int
    side: Side
    state: str  # "ended": over here, its last answer is kept until CLOSE
    received: int  # number of the last stream frame received from the other end, -1 for none
    sent: int  # number of the last stream frame made, -1 for none


@dataclass(frozen=True, slots=True)
class Hello:
    """Middlebox to controller, first message: who it is, what it speaks, what it remembers."""

    lowest: int
    highest: int
    name: str
    kind: str
    incarnation: bytes
    governing: bytes  # SHA-256 of the configuration that governs records (time-outs); equal at both ends of a move
    layouts: tuple[LayoutVersion, ...]
    operations: tuple[OperationStatus, ...]
    secret: bytes = NO_SECRET  # what the last WELCOME of this incarnation said


@dataclass(frozen=True, slots=True)
class Welcome:
    """Controller to middlebox: the session exists from here on."""

    version: int
    epoch: int
    keepAlive: int  # milliseconds between PINGs; three missed end the connection
    secret: bytes = NO_SECRET  # what the next HELLO of this incarnation has to show


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""

    token: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to L{Ping}, with its token."""

    token: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The sender closes on purpose."""

    reason: str
