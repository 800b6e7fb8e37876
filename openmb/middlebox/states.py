"""
The states of the two ends of an operation; the tables of a move stand in C{docs/handover.md}.
"""

from __future__ import annotations

import enum


class SourceState(enum.Enum):
    """Where the source stands."""

    EXPORTING = "exporting"
    TAPPING = "tapping"
    DIVERTED = "diverted"
    RETURNING = "returning"
    WINDOW = "window"
    CLOSING = "closing"


class DestinationState(enum.Enum):
    """Where the destination stands."""

    RECEIVING = "receiving"
    HOLDING = "holding"
    CONFIRMED = "confirmed"
    COMMITTING = "committing"
    MERGING = "merging"
    MERGED = "merged"
    RETURNING = "returning"
    RETURNED = "returned"


#: Nothing is committed yet.
UNDECIDED = (
    DestinationState.RECEIVING,
    DestinationState.HOLDING,
    DestinationState.CONFIRMED,
    DestinationState.COMMITTING,
)
#: The source has voted, and the way is free.
VOTED = (DestinationState.CONFIRMED, DestinationState.COMMITTING)
#: Nothing more will happen here, but for late packets and what the other end has not yet acknowledged.
OVER = (DestinationState.MERGED, DestinationState.RETURNED)


class SharedSourceState(enum.Enum):
    """Where the source of a clone or merge stands; the tables stand in C{docs/protocol.md}."""

    EXPORTING = "exporting"
    FOLLOWING = "following"
    VOTED = "voted"


class SharedDestinationState(enum.Enum):
    """Where the destination of a clone or merge stands."""

    RECEIVING = "receiving"
    INSTALLED = "installed"
    CONFIRMED = "confirmed"
