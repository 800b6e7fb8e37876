"""
What one middlebox provides, and what stands in the place of what it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from openmb.errors import OperationError, Refusal
from openmb.interfaces import (
    Announce,
    IAnnouncer,
    IConfigurable,
    ILearner,
    IMiddlebox,
    IPerflowState,
    ISharedState,
)
from openmb.packets.headers import Decoded
from openmb.state.announcements import Announced, Announcement
from openmb.state.configuration import Configuration, Schema, Tree
from openmb.state.headers import HeaderFieldList
from openmb.state.records import RecordBatch
from openmb.state.taxonomy import Cell


@dataclass(frozen=True, slots=True)
class Capabilities:
    """
    One middlebox, asked for each interface.  A move of a kind without per-flow state finds no records, a clone or merge
    of one without shared state neither; there is nothing to set, to announce, or to learn.
    """

    perflow: IPerflowState
    shared: ISharedState
    configurable: IConfigurable
    announcer: IAnnouncer
    learner: ILearner


def capabilitiesOf(middlebox: IMiddlebox) -> Capabilities:
    """Ask C{middlebox} what it provides."""
    return Capabilities(
        IPerflowState(middlebox, None) or NoPerflowState(),
        ISharedState(middlebox, None) or NoSharedState(),
        IConfigurable(middlebox, None) or NoConfiguration(),
        IAnnouncer(middlebox, None) or NoAnnouncements(),
        ILearner(middlebox, None) or NoLearning(),
    )


@implementer(IPerflowState)
class NoPerflowState:
    """No state belongs to a flow: any flows select nothing."""

    nativeKey = "none: no state belongs to a flow"

    def check(self, flows: HeaderFieldList) -> None:
        """See C{IPerflowState}."""

    def getPerflow(self, flows: HeaderFieldList, operation: int, limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{IPerflowState}."""
        return iter(())

    def freeze(self, flows: HeaderFieldList, operation: int) -> None:
        """See C{IPerflowState}."""

    def thaw(self, operation: int) -> None:
        """See C{IPerflowState}."""

    def unmark(self, operation: int) -> None:
        """See C{IStateAdapter}."""

    def delPerflow(self, operation: int, flows: HeaderFieldList) -> int:
        """See C{IPerflowState}."""
        return 0

    def prepare(self, operation: int, flows: HeaderFieldList) -> None:
        """See C{IPerflowState}."""

    def putPerflow(self, operation: int, batch: RecordBatch) -> None:
        """See C{IPerflowState}: this cannot be from the same kind."""
        raise OperationError(Refusal.INCOMPATIBLE_RECORDS, "this kind has no per-flow state")

    def conflicts(self, operation: int) -> int:
        """See C{IPerflowState}."""
        return 0

    def commit(self, operation: int) -> int:
        """See C{IPerflowState}."""
        return 0

    def discard(self, operation: int) -> None:
        """See C{IStateAdapter}."""

    def owns(self, packets: Decoded) -> NDArray[np.bool_]:
        """See C{IPerflowState}."""
        return np.zeros(len(packets), np.bool_)


@implementer(ISharedState)
class NoSharedState:
    """No state is shared by flows."""

    def identify(self, name: str, incarnation: bytes) -> None:
        """See C{ISharedState}: nothing is counted that others might count too."""

    def getShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        return iter(())

    def sharedChanges(self, operation: int) -> tuple[RecordBatch, ...]:
        """See C{ISharedState}."""
        return ()

    def takeShared(self, operation: int, cells: Sequence[Cell], limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{ISharedState}."""
        return iter(())

    def delShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        return 0

    def unmark(self, operation: int) -> None:
        """See C{IStateAdapter}."""

    def prepareShared(self, operation: int, cells: Sequence[Cell]) -> None:
        """See C{ISharedState}."""

    def putShared(self, operation: int, batch: RecordBatch) -> None:
        """See C{ISharedState}: this cannot be from the same kind."""
        raise OperationError(Refusal.INCOMPATIBLE_RECORDS, "this kind has no shared state")

    def commitShared(self, operation: int) -> int:
        """See C{ISharedState}."""
        return 0

    def discard(self, operation: int) -> None:
        """See C{IStateAdapter}."""


@implementer(IConfigurable)
class NoConfiguration:
    """There is nothing to set."""

    configuration = Configuration(Schema())

    def configure(self, tree: Tree) -> None:
        """See C{IConfigurable}: the one tree there can be is empty."""


@implementer(IAnnouncer)
class NoAnnouncements:
    """There is nothing to announce."""

    announcements: Sequence[Announcement] = ()

    def listen(self, wanted: frozenset[str], announce: Announce) -> None:
        """See C{IAnnouncer}: nothing is ever wanted."""


@implementer(ILearner)
class NoLearning:
    """There is nothing to learn."""

    def learn(self, events: Sequence[Announced]) -> int:
        """See C{ILearner}; no events are refused too, so that whoever asks knows."""
        raise OperationError(Refusal.BAD_REQUEST, "this kind learns nothing from events")
