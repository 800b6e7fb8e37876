"""
The per-flow half of the adapter of a kind that keeps nothing for any flow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from openmb.errors import OperationError, Refusal
from openmb.interfaces import CellUsage
from openmb.packets.headers import Decoded
from openmb.state.headers import HeaderFieldList
from openmb.state.records import RecordBatch


class Flowless:
    """Provides the per-flow calls of C{IStateAdapter}: there are never any records."""

    nativeKey = "none: no state belongs to a flow"

    def check(self, flows: HeaderFieldList) -> None:
        """See C{IStateAdapter}: any list selects nothing."""

    def getPerflow(self, flows: HeaderFieldList, operation: int, limit: int) -> Iterator[tuple[RecordBatch, ...]]:
        """See C{IStateAdapter}."""
        return iter(())

    def freeze(self, flows: HeaderFieldList, operation: int) -> None:
        """See C{IStateAdapter}."""

    def thaw(self, operation: int) -> None:
        """See C{IStateAdapter}."""

    def unmark(self, operation: int) -> None:
        """See C{IStateAdapter}."""

    def delPerflow(self, operation: int, flows: HeaderFieldList) -> int:
        """See C{IStateAdapter}."""
        return 0

    def prepare(self, operation: int, flows: HeaderFieldList) -> None:
        """See C{IStateAdapter}."""

    def putPerflow(self, operation: int, batch: RecordBatch) -> None:
        """See C{IStateAdapter}."""
        raise OperationError(Refusal.INCOMPATIBLE_RECORDS, "this kind has no per-flow state")

    def conflicts(self, operation: int) -> int:
        """See C{IStateAdapter}."""
        return 0

    def commit(self, operation: int) -> int:
        """See C{IStateAdapter}."""
        return 0

    def discard(self, operation: int) -> None:
        """See C{IStateAdapter}."""

    def owns(self, packets: Decoded) -> NDArray[np.bool_]:
        """See C{IStateAdapter}."""
        return np.zeros(len(packets), np.bool_)

    def usage(self, flows: HeaderFieldList) -> tuple[CellUsage, ...]:
        """See C{IStateAdapter}."""
        return ()
