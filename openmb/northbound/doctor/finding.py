"""
What a check says.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass


class Level(enum.Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One line.

    @ivar subject: what was looked at.
    @ivar text: what was found and, unless all is well, what to do.
    """

    level: Level
    subject: str
    text: str


#: What every check gives: at least one finding.
Findings = Iterator[Finding]


def ok(subject: object, text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, str(subject), text)


def warning(subject: object, text: str) -> Finding:
    """It works, but perhaps not for long, or not as it should."""
    return Finding(Level.WARNING, str(subject), text)


def wrong(subject: object, text: str) -> Finding:
    """It cannot work, or is not safe."""
    return Finding(Level.WRONG, str(subject), text)
