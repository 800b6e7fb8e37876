"""
Bases for kinds of middleboxes that have no settings, nothing to announce, or nothing that flows share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from openmb.errors import OperationError, Refusal
from openmb.state.announcements import Announced, Announcement
from openmb.state.configuration import Configuration, Schema, Tree
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell

_NOTHING = Schema()


class Unconfigurable:
    """A kind without settings."""

    configuration = Configuration(_NOTHING)

    def configure(self, tree: Tree) -> None:
        """See C{IConfigurable}: the one tree there can be is empty."""


class Unlearning:
    """A kind that can learn nothing from what others announce."""

    def learn(self, events: Sequence[Announced]) -> int:
        """See C{IAnnouncer}: not even nothing, so that who asks learns it."""
        raise OperationError(Refusal.BAD_REQUEST, "this kind learns nothing from events")


class Silent(Unlearning):
    """A kind that announces nothing."""

    announcements: Sequence[Announcement] = ()

    def listen(self, wanted: frozenset[str], announce: Callable[[Sequence[Announced]], None]) -> None:
        """See C{IAnnouncer}: nothing is ever wanted."""


class Unshared:
    """A kind without shared state: a clone and a merge find no records."""

    def identify(self, name: str, incarnation: bytes) -> None:
        """See C{IEngine}: nothing is counted that others might count too."""

    def getShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{IStateAdapter}: there is none."""
        return iter(())

    def sharedChanges(self, operation: int) -> tuple[RecordBatch, ...]:
        """See C{IStateAdapter}: there are none."""
        return ()

    def takeShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{IStateAdapter}: there is none."""
        return iter(())

    def delShared(self, operation: int) -> int:
        """See C{IStateAdapter}: nothing was taken."""
        return 0

    def prepareShared(self, operation: int, cells: Sequence[Cell]) -> None:
        """See C{IStateAdapter}: none will come."""

    def putShared(self, operation: int, batch: RecordBatch) -> None:
        """See C{IStateAdapter}: this cannot be from the same kind."""
        raise OperationError(Refusal.INCOMPATIBLE_RECORDS, "this kind has no shared state")

    def commitShared(self, operation: int) -> int:
        """See C{IStateAdapter}: none came."""
        return 0
