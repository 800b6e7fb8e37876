"""
Bases for kinds of middleboxes that have no settings, or nothing to announce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from openmb.state.announcements import Announced, Announcement
from openmb.state.configuration import Configuration, Schema, Tree

_NOTHING = Schema()


class Unconfigurable:
    """A kind without settings."""

    configuration = Configuration(_NOTHING)

    def configure(self, tree: Tree) -> None:
        """See C{IConfigurable}: the one tree there can be is empty."""


class Silent:
    """A kind that announces nothing."""

    announcements: Sequence[Announcement] = ()

    def listen(self, wanted: frozenset[str], announce: Callable[[Sequence[Announced]], None]) -> None:
        """See C{IAnnouncer}: nothing is ever wanted."""
